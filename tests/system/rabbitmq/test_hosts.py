"""A stranger's GPU host over a real RabbitMQ: real work through a real node process, whatever happens to the broker.

The host looks for work by itself once an hour, so whatever it does here a doorbell told it to; and it is never started again.
"""

import pickle
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import amqp
import httpx
import pytest
from nacl.signing import SigningKey
from sqlalchemy import select

from app.adapters.rabbitmq import RabbitMQ as Administration
from app.config import Settings
from app.core import fleet
from app.db import Database, make_engine
from app.flows import broker_access
from app.flows.broker_access import Office
from app.models.nodes import Node
from tests.e2e.test_dispatched_jobs import SMALL, Renter
from tests.e2e.test_real_render import blend
from tests.factories.rabbitmq import RabbitMQ
from tests.factories.stacks import wait_until
from tests.factories.strangers import Stranger, dial, revoke
from tests.system.rabbitmq.conftest import CONNECTIONS

pytestmark = [pytest.mark.system, pytest.mark.timeout(400)]
REF = "s3://theirs/key"
SLOW = SMALL.replace("samples = 'CYCLES', 2", "samples = 'CYCLES', 400")


@pytest.fixture(scope="module")
def host(stranger: Stranger, rabbit: RabbitMQ) -> Iterator["subprocess.Popen[bytes]"]:
    process = stranger.start_host()
    wait_until(lambda: listens(rabbit, stranger), "the host listens")
    yield process
    process.terminate()
    assert process.wait(60) == 0, stranger.log[-3000:]


def listens(rabbit: RabbitMQ, stranger: Stranger) -> bool:
    return consumers(rabbit, stranger.queue("echo")) == 1


@pytest.fixture(scope="module", autouse=True)
def farm(endpoints: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Stranger:
    """Another provider, here from the beginning: RabbitMQ may lose a queue that is made seconds before it is killed
    (docs/brokers.md)."""
    made = Stranger(endpoints, tmp_path_factory.mktemp("farm"), "early")
    made.enrol()
    return made


def consumers(rabbit: RabbitMQ, queue: str) -> int:
    """How many listen; 0 while the broker or the queue is away."""
    try:
        answer = rabbit.http.get(f"/queues/nodes/{queue}")
    except httpx.TransportError:
        return 0
    return int(answer.json().get("consumers", 0)) if answer.status_code == 200 else 0


@pytest.fixture(scope="module")
def renter(endpoints: dict[str, str], host: object) -> Renter:
    return Renter(endpoints, "renter@example.com")


def order(renter: Renter, kind: str = "echo", ref: str = REF) -> str:
    answer = renter.http.post("/jobs/dispatch", json={"job_type": kind, "payload_ref": ref})
    assert answer.status_code == 200, answer.text
    return str(answer.json()["job_id"])


def status(renter: Renter, job_id: str) -> str:
    return str(renter.http.get(f"/jobs/{job_id}").raise_for_status().json()["status"])


def completes(renter: Renter, *job_ids: str, seconds: float = 150) -> None:
    for job_id in job_ids:
        wait_until(lambda job_id=job_id: status(renter, job_id) == "COMPLETED", f"job {job_id} completes", seconds)


def test_a_doorbell_over_rabbitmq_brings_a_stranger_work(renter: Renter, rabbit: RabbitMQ, stranger: Stranger) -> None:
    assert renter.result(renter.dispatch("echo", REF)) == REF.encode()
    assert rabbit.queue(stranger.queue("echo"), "nodes")["type"] == "quorum"
    assert rabbit.queue("hub", "/")["type"] == "quorum"


def test_a_scene_is_rendered_while_the_broker_is_killed_and_started_again(
    renter: Renter, rabbit: RabbitMQ, tmp_path: Path
) -> None:
    scene = renter.upload(blend(tmp_path / "a.blend", SLOW), "a.blend")
    job_id = order(renter, "render", scene)
    wait_until(lambda: status(renter, job_id) == "RUNNING", "the render runs")
    rabbit.kill()
    asked_meanwhile = order(renter)
    rabbit.start()
    completes(renter, job_id, asked_meanwhile)
    completes(renter, order(renter))


def test_a_broker_out_of_memory_holds_up_doorbells_and_nobody_else(renter: Renter, rabbit: RabbitMQ) -> None:
    rabbit.set_memory_alarm(True)
    try:
        jobs = [order(renter) for _ in range(3)]
        assert "COMPLETED" not in [status(renter, job_id) for job_id in jobs]
    finally:
        rabbit.set_memory_alarm(False)
    completes(renter, *jobs)


def test_a_frozen_broker_holds_up_doorbells_and_nobody_else(renter: Renter, rabbit: RabbitMQ, stranger: Stranger) -> None:
    """Every request is answered before the broker says anything again, a registration too."""
    rabbit.freeze()
    try:
        jobs = [order(renter) for _ in range(3)]
        told = stranger.register(SigningKey.generate())
    finally:
        rabbit.thaw()
    assert told["broker"] is None and told["broker_retry_seconds"] > 0
    completes(renter, *jobs)
    assert stranger.register(SigningKey.generate())["broker"]["url"], "the next registration gets it"


def test_a_connection_that_is_lost_comes_back(renter: Renter, rabbit: RabbitMQ, stranger: Stranger) -> None:
    rabbit.http.delete(f"/connections/username/node.{stranger.provider_id}").raise_for_status()
    completes(renter, order(renter))


def test_a_queue_that_is_deleted_comes_back(renter: Renter, rabbit: RabbitMQ, stranger: Stranger) -> None:
    rabbit.delete_queue(stranger.queue("echo"), "nodes")
    completes(renter, order(renter))


def test_all_that_the_broker_kept_may_be_lost(renter: Renter, rabbit: RabbitMQ, stranger: Stranger) -> None:
    """The virtual host and the user with it: the host's next registration makes them anew."""
    rabbit.http.delete("/vhosts/nodes").raise_for_status()
    rabbit.http.delete(f"/users/node.{stranger.provider_id}").raise_for_status()
    completes(renter, order(renter))


def test_pickle_is_refused_and_harms_nobody(renter: Renter, rabbit: RabbitMQ, stranger: Stranger, tmp_path: Path) -> None:
    """Put there by the hub's own user: nobody else could."""
    wait_until(lambda: listens(rabbit, stranger), "the host listens")
    mark = tmp_path / "executed"
    message = amqp.Message(
        pickle.dumps(Bomb(str(mark))), content_type="application/x-python-serialize", content_encoding="binary",
        application_headers={"task": "gpu_node.ring", "id": "1", "lang": "py"},
    )
    with dial(rabbit.url, vhost="nodes") as connection:
        connection.channel().basic_publish(message, "", stranger.queue("echo"))
    completes(renter, order(renter))
    assert "Refusing to deserialize" in stranger.log and not mark.exists()


class Bomb:
    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path(self.path),)


def test_a_host_may_empty_and_hold_its_providers_queue_and_harms_only_that(
    renter: Renter, rabbit: RabbitMQ, stranger: Stranger
) -> None:
    """Reading is what it is there for. What it swallows is rung again, and comes to who listens when it has gone."""
    wait_until(lambda: listens(rabbit, stranger), "the host listens")
    own = stranger.queue("echo")
    url = stranger.register(SigningKey.generate())["broker"]["url"]
    with dial(url) as connection:
        connection.channel().queue_purge(own)
        connection.channel().basic_consume(own, callback=swallow)
        jobs = [order(renter) for _ in range(4)]
        completes(renter, *jobs)
    with dial(url) as connection:
        connection.channel().basic_consume(own, exclusive=True, callback=swallow)
        jobs = [order(renter) for _ in range(2)]
    completes(renter, *jobs)


def swallow(_: amqp.Message) -> None:
    """Never acknowledges."""


def test_a_time_out_of_the_brokers_while_the_host_works_is_survived(
    renter: Renter, rabbit: RabbitMQ, stranger: Stranger
) -> None:
    """RabbitMQ ends a channel with a message that is not acknowledged in time: a bell that waits behind a long job."""
    for name, value in (("consumer_timeout", "1000"), ("channel_tick_interval", "500")):
        rabbit.control("eval", f"application:set_env(rabbit, {name}, {value}).")
    try:
        rabbit.http.delete(f"/connections/username/node.{stranger.provider_id}").raise_for_status()
        wait_until(lambda: listens(rabbit, stranger), "the host listens on a channel with these limits")
        job_id = order(renter, "cpu_benchmark", renter.upload(b'{"seconds": 8}', "b.json"))
        wait_until(lambda: status(renter, job_id) == "RUNNING", "the long job runs")
        with dial(rabbit.url, vhost="nodes") as connection:
            channel = connection.channel()
            for _ in range(3):
                channel.basic_publish(bell(), "", stranger.queue("echo"))
        wait_until(lambda: "PRECONDITION_FAILED" in stranger.log, "the broker's time-out")
        completes(renter, job_id)
    finally:
        for name, value in (("consumer_timeout", "1800000"), ("channel_tick_interval", "60000")):
            rabbit.control("eval", f"application:set_env(rabbit, {name}, {value}).")
    completes(renter, order(renter))


def bell() -> amqp.Message:
    """As the hub rings."""
    headers = {"task": "gpu_node.ring", "id": "5c7b3f8e-0000-4000-8000-000000000000", "lang": "py", "root_id": None}
    return amqp.Message(
        '[[null], {}, {"callbacks": null, "errbacks": null, "chain": null, "chord": null}]',
        content_type="application/json", content_encoding="utf-8", application_headers=headers,
    )


def test_a_host_whose_password_was_revoked_gets_the_next_one(renter: Renter, rabbit: RabbitMQ, stranger: Stranger) -> None:
    revoke(stranger, rabbit)
    completes(renter, order(renter))


def test_a_host_that_starts_while_the_broker_is_away_asks_for_work_and_listens_later(
    rabbit: RabbitMQ, farm: Stranger, renter: Renter
) -> None:
    rabbit.kill()
    process = farm.start_host(NODE_POLL_SECONDS="0.5")
    try:
        wait_until(lambda: "asking the hub for work meanwhile" in farm.log, "the host says what it does")
        completes(renter, order(renter))
        rabbit.start()
        wait_until(lambda: listens(rabbit, farm), f"the host listens: {farm.log[-500:]}", 150)
    finally:
        process.terminate()
        code = process.wait(60)
    assert code == 0, farm.log[-3000:]


def test_the_operators_own_host_listens_to_the_shared_queue(
    endpoints: dict[str, str], rabbit: RabbitMQ, tmp_path: Path
) -> None:
    own = Stranger(endpoints, tmp_path, "own")  # nothing is strange about it but where it runs: the key is the operator's
    process = own.start_host("render", ENROL_KEY=endpoints["operator_api_key"], NODE_CAPABILITIES="render")
    try:
        wait_until(lambda: consumers(rabbit, "render") == 1, "the host listens")
        wait_until(lambda: "nodes.trusted" in users(rabbit), "it came in as one that the operator trusts")
    finally:
        process.terminate()
        code = process.wait(60)
    assert code == 0, own.log[-3000:]


def test_a_running_host_that_is_trusted_no_more_goes_back_to_its_providers_queues(
    endpoints: dict[str, str], rabbit: RabbitMQ, farm: Stranger
) -> None:
    engine = make_engine(Settings(database_url=endpoints["database_url"]))
    database = Database(engine)

    def trust(is_trusted: bool) -> None:
        with database.unit_of_work() as session:
            node_id = session.scalars(select(Node.id).where(Node.provider_id == uuid.UUID(farm.provider_id))).one()
            assert fleet.trust(session, node_id, is_trusted)

    trust(True)
    process = farm.start_host("render")
    try:
        wait_until(lambda: consumers(rabbit, "render") == 1, "the host listens to what it was told")
        trust(False)
        office = Office(database, Administration(rabbit.api_url, rabbit.url, "", "nodes", CONNECTIONS), "")
        broker_access.revoke(office, None, lambda _: None)
        wait_until(lambda: consumers(rabbit, farm.queue("render")) == 1, f"the host listens there: {farm.log[-500:]}", 60)
        wait_until(lambda: consumers(rabbit, "render") == 0, "the broker counts it there no more")
    finally:
        process.terminate()
        code = process.wait(60)
        engine.dispose()
    assert code == 0, farm.log[-3000:]


def users(rabbit: RabbitMQ) -> set[str]:
    found = rabbit.http.get("/connections").raise_for_status().json()
    return {connection["user"] for connection in found if "user" in connection}
