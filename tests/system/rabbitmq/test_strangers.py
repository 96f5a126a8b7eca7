"""What a stranger can do with the credential out of a real registration: read its own queues, and nothing that harms anybody."""

import base64
import pickle
import ssl
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import amqp
import httpx
import pytest
from amqp.exceptions import AccessRefused, NotAllowed, NotFound
from celery import Celery
from nacl.signing import SigningKey

from app.adapters.rabbitmq import RabbitMQ as Administration
from app.config import Settings
from app.db import Database, make_engine
from app.flows import broker_access
from app.flows.broker_access import Office
from app.stack.doctor import FAIL, OK, servers
from app.stack.doctor.place import look_around
from app.wiring import make_celery
from gpu_node.celery_app import listen_at, make_app
from gpu_node.config import read_settings
from tests.factories.rabbitmq import RabbitMQ
from tests.factories.stacks import wait_until
from tests.factories.strangers import HeldHandshake, Stranger, dial, revoke
from tests.system.rabbitmq.conftest import CONNECTIONS

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]
QUORUM = {"x-queue-type": "quorum"}


@pytest.fixture(scope="module")
def key() -> SigningKey:
    return SigningKey.generate()


@pytest.fixture(scope="module")
def url(stranger: Stranger, key: SigningKey) -> str:
    answer = stranger.register(key)
    assert answer["queues"] == {name: stranger.queue(name) for name in ("render", "compute")}
    return str(answer["broker"]["url"])


@pytest.fixture(scope="module")
def victim(endpoints: dict[str, str], url: str, tmp_path_factory: pytest.TempPathFactory) -> Stranger:
    """Another provider, with queues of its own."""
    other = Stranger(endpoints, tmp_path_factory.mktemp("victim"), "victim")
    assert other.register(SigningKey.generate())["broker"]["url"]
    return other


@pytest.fixture(scope="module")
def trusted_url(endpoints: dict[str, str]) -> str:
    """What a host gets that registers with the operator's key: the shared queues exist from then on."""
    answer = operators_registration(endpoints)
    assert answer["queues"] == {"render": "render", "compute": "compute"}
    return str(answer["broker"]["url"])


def operators_registration(endpoints: dict[str, str]) -> dict[str, Any]:
    public_key = base64.b64encode(bytes(SigningKey.generate().verify_key)).decode()
    body = {"name": "own", "public_key": public_key, "capabilities": ["render", "compute"]}
    headers = {"Authorization": f"Bearer {endpoints['operator_api_key']}"}
    answer = httpx.post(f"{endpoints['api_url']}/node/v1/nodes", json=body, headers=headers, timeout=30)
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


Attempt = Callable[[amqp.Channel, str, str], Any]
OWN: dict[str, Attempt] = {
    "publish to its own queue": lambda channel, own, _: channel.basic_publish(amqp.Message("x"), "", own),
    "send pickle": lambda channel, own, _: channel.basic_publish(
        amqp.Message(pickle.dumps("x"), content_type="application/x-python-serialize"), "", own
    ),
    "publish to an exchange": lambda channel, own, _: channel.basic_publish(amqp.Message("x"), "amq.topic", own),
    "delete its own queue": lambda channel, own, _: channel.queue_delete(own),
    "declare its own queue": lambda channel, own, _: channel.queue_declare(own, durable=True, arguments=QUORUM),
    "declare a new queue": lambda channel, own, _: channel.queue_declare(own + ".more"),
    "declare a queue that the server names": lambda channel, *_: channel.queue_declare("", exclusive=True),
    "declare an exchange": lambda channel, *_: channel.exchange_declare("mine", "fanout"),
    "delete an exchange": lambda channel, *_: channel.exchange_delete("amq.topic"),
    "bind its own queue": lambda channel, own, _: channel.queue_bind(own, "amq.topic", "#"),
    "listen to remote control": lambda channel, *_: channel.exchange_declare("celery.pidbox", "fanout", durable=False),
    "listen to events": lambda channel, *_: channel.exchange_declare("celeryev", "topic", durable=True),
    "listen to the broker's log": lambda channel, own, _: channel.queue_bind(own, "amq.rabbitmq.log", "#"),
}
OTHERS: dict[str, Attempt] = {
    "publish": lambda channel, _, other: channel.basic_publish(amqp.Message("x"), "", other),
    "get": lambda channel, _, other: channel.basic_get(other),
    "consume": lambda channel, _, other: channel.basic_consume(other),
    "purge": lambda channel, _, other: channel.queue_purge(other),
    "delete": lambda channel, _, other: channel.queue_delete(other),
    "bind": lambda channel, _, other: channel.queue_bind(other, "amq.topic", "#"),
}


@pytest.mark.parametrize("what", OWN)
def test_refused(url: str, stranger: Stranger, rabbit: RabbitMQ, what: str) -> None:
    with dial(url) as connection, pytest.raises(AccessRefused):
        OWN[what](connection.channel(), stranger.queue("render"), "")
    assert rabbit.queue(stranger.queue("render"), "nodes")["name"]


@pytest.mark.parametrize("what", OTHERS)
@pytest.mark.parametrize("whose", ["victim's", "shared"])
def test_refused_at_others_queues(url: str, victim: Stranger, trusted_url: str, whose: str, what: str) -> None:
    other = victim.queue("render") if whose == "victim's" else "render"
    with dial(url) as connection, pytest.raises(AccessRefused):
        OTHERS[what](connection.channel(), "", other)


def test_the_hubs_own_virtual_host_and_the_management_are_closed(url: str, rabbit: RabbitMQ) -> None:
    with pytest.raises(NotAllowed):
        dial(url, vhost="/")
    user, password = httpx.URL(url).username, httpx.URL(url).password
    assert httpx.get(f"{rabbit.http.base_url}overview", auth=(user, password), timeout=10).status_code == 401


def test_remote_control_ends_in_a_refusal(url: str, rabbit: RabbitMQ, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(rabbit.certificate))
    with Celery("stranger", broker=url, set_as_current=False) as app, pytest.raises((AccessRefused, NotFound)):
        app.control.ping(timeout=1)


def test_what_leaks_is_how_full_a_queue_is(url: str, victim: Stranger) -> None:
    """RabbitMQ asks for no permission to declare passively. docs/brokers.md says so."""
    with dial(url) as connection:
        found = connection.channel().queue_declare(victim.queue("render"), passive=True)
    assert (found.message_count, found.consumer_count) == (0, 0)


def test_connections_and_channels_are_counted(url: str) -> None:
    opened = [dial(url) for _ in range(CONNECTIONS)]
    try:
        with pytest.raises(NotAllowed):
            dial(url)
        with pytest.raises(NotAllowed):
            for _ in range(CONNECTIONS * 4 + 1):
                opened[0].channel()
    finally:
        for connection in opened:
            connection.collect()


def test_a_host_speaks_only_to_the_broker_that_it_was_told_of(
    url: str, rabbit: RabbitMQ, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Over TLS: the certificate must be signed by who is trusted here, and be of that host."""
    def listen(address: str) -> None:
        with make_app(read_settings({"NODE_HOME": str(tmp_path)})) as app:
            listen_at(app, address)
            with app.connection_for_read() as connection:
                connection.connect()

    assert url.startswith("amqps://")
    with pytest.raises(ssl.SSLCertVerificationError, match="self-signed"):
        listen(url)
    monkeypatch.setenv("SSL_CERT_FILE", str(rabbit.certificate))
    listen(url)
    with pytest.raises(ssl.SSLCertVerificationError, match="127.0.0.2"):
        listen(url.replace("@127.0.0.1", "@127.0.0.2"))


def test_the_hub_too_speaks_only_to_its_own_broker(rabbit: RabbitMQ, monkeypatch: pytest.MonkeyPatch) -> None:
    def connect(host: str) -> None:
        url = rabbit.url.replace("amqp://", "amqps://").replace(f"127.0.0.1:{rabbit.port}", f"{host}:{rabbit.tls_port}")
        with make_celery(Settings(broker_url=url)) as app, app.connection_for_write() as connection:
            connection.connect()

    with pytest.raises(ssl.SSLCertVerificationError, match="self-signed"):
        connect("127.0.0.1")
    monkeypatch.setenv("SSL_CERT_FILE", str(rabbit.certificate))
    connect("127.0.0.1")
    with pytest.raises(ssl.SSLCertVerificationError, match="127.0.0.2"):
        connect("127.0.0.2")


def test_the_doctor_knows_who_may_give_hosts_their_users(rabbit: RabbitMQ, tmp_path: Path) -> None:
    def look(api_url: str) -> dict[str, tuple[str, str]]:
        settings = Settings(lightyard_home=str(tmp_path), broker_url=rabbit.url, rabbitmq_api_url=api_url)
        found = servers.broker(look_around(settings))
        return {item.name: (item.mark, item.text) for item in found}

    assert [mark for mark, _ in look(rabbit.api_url).values()] == [OK, OK]
    rabbit.http.put("/users/monitor", json={"password": "does not matter", "tags": "monitoring"}).raise_for_status()
    for user, said in (("monitor:does%20not%20matter", "no administrator"), ("monitor:wrong-password", "status 401")):
        mark, text = look(rabbit.api_url.replace(f"{rabbit.user}:{rabbit.password}", user))["management"]
        assert mark == FAIL and said in text and "wrong-password" not in text, text


def test_the_operators_hosts_have_a_user_of_their_own(trusted_url: str, url: str, stranger: Stranger) -> None:
    with dial(trusted_url) as connection:
        assert connection.channel().basic_get("render") is None
        with pytest.raises(AccessRefused):
            connection.channel().basic_get(stranger.queue("render"))
        with pytest.raises(AccessRefused):
            connection.channel().basic_publish(amqp.Message("x"), "", "render")


def test_only_who_speaks_for_the_provider_is_told(stranger: Stranger, url: str, key: SigningKey) -> None:
    """A public key is no secret: registering with it tells nobody the password, and breaks nothing."""
    told = stranger.register(key, is_enrolment=False)
    assert told["broker"] is None and told["broker_retry_seconds"] is None
    assert stranger.register(SigningKey.generate(), is_enrolment=False)["broker"] is None
    with dial(url) as connection:
        assert connection.channel().basic_get(stranger.queue("render")) is None
    assert stranger.register(SigningKey.generate())["broker"]["url"] == url, "its hosts share one user"


def test_kinds_of_work_that_a_stranger_makes_up_have_no_queue(stranger: Stranger, rabbit: RabbitMQ) -> None:
    names = [f"kind-{number}" for number in range(15)]
    answer = stranger.register(SigningKey.generate(), capabilities=["render", *names])
    assert answer["queues"] == {"render": stranger.queue("render")}
    assert rabbit.http.get(f"/queues/nodes/{stranger.queue('kind-1')}").status_code == 404


def test_a_revoked_password_is_void_at_once(endpoints: dict[str, str], rabbit: RabbitMQ, tmp_path: Path) -> None:
    farm = Stranger(endpoints, tmp_path, "leaky")
    old = str(farm.register(SigningKey.generate())["broker"]["url"])
    held = dial(old)
    held.channel()
    revoke(farm, rabbit)
    with pytest.raises(AccessRefused):
        dial(old)
    wait_until(lambda: is_closed(held), "the connection with the old password is closed")
    new = str(farm.register(SigningKey.generate())["broker"]["url"])
    assert new != old
    dial(new).close()


def test_a_handshake_that_was_held_back_ends_with_the_revocation(
    endpoints: dict[str, str], rabbit: RabbitMQ, tmp_path: Path
) -> None:
    """RabbitMQ looks at the password as a handshake begins and at nothing of it as the connection opens, seconds later."""
    farm = Stranger(endpoints, tmp_path, "patient")
    url = str(farm.register(SigningKey.generate())["broker"]["url"])
    engine = make_engine(Settings(database_url=endpoints["database_url"]))
    office = Office(Database(engine), Administration(rabbit.api_url, rabbit.url, "", "nodes", CONNECTIONS), "")
    user = unquote(urlsplit(url).username or "")

    def is_listed() -> bool:
        return any(found.get("user") == user for found in rabbit.http.get("/connections").raise_for_status().json())

    def open_meanwhile(_: float) -> None:
        """And so early that the broker's list of connections, which comes after them, has it when the wait is over."""
        held.open("nodes")
        wait_until(is_listed, "the broker lists the connection that has opened")

    with HeldHandshake(rabbit.port, url) as held:
        broker_access.revoke(office, uuid.UUID(farm.provider_id), open_meanwhile)
        assert held.is_closed()
    engine.dispose()


def is_closed(connection: amqp.Connection) -> bool:
    try:
        connection.drain_events(timeout=0.1)
    except TimeoutError:
        return False
    except (OSError, amqp.exceptions.AMQPError):
        return True
    return False
