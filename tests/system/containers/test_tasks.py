"""A compute task from the client's order to the download: a real hub, a real node, a real container."""

import hashlib
import io
import sys
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from werkzeug.serving import make_server

from app.config import Settings
from app.core import accounts, audit, ledger
from app.core.ledger import Party
from app.factory import create_app
from app.stack.ports import free_port
from gpu_node.agent import Agent
from gpu_node.config import read_settings
from gpu_node.runners.blender.runner import Host
from gpu_node.runners.container.engine import Engine
from tests.api.robocompute.conftest import Person, become_provider
from tests.system.containers.podman import Podman

pytestmark = [pytest.mark.system, pytest.mark.timeout(400)]
ENDS = ("completed", "failed", "cancelled", "timeout")
ORDER = {"name": "a task", "type": "cpu", "docker_image": "localhost/tiny", "max_price_per_hour": "36.00", "timeout_seconds": 100,
         "resource_requirements": {"cpu_cores": 0.5, "ram_gb": 0.1, "storage_gb": 0.05}}


@pytest.fixture
def app(database_url: str, redis_url: str, tmp_path: Path) -> Iterator[Any]:
    """The hub's API, also on a port of its own."""
    port = free_port()
    made = create_app(Settings(lightyard_home=str(tmp_path / "hub"), database_url=database_url, redis_url=redis_url, port=port,
                               public_url=f"http://127.0.0.1:{port}", allow_private_endpoints=True, rate_limits=False))
    server = make_server("127.0.0.1", port, made, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield made
    server.shutdown()
    thread.join()
    server.server_close()
    made.extensions["lightyard"].database.engine.dispose()


@pytest.fixture
def buyer(app: Any) -> Person:
    person = Person(app.test_client(), app.extensions["lightyard"])
    person.fund("10")
    return person


@pytest.fixture
def provider(app: Any) -> Person:
    return become_provider(Person(app.test_client(), app.extensions["lightyard"]))


@pytest.fixture
def node(app: Any, provider: Person, engine: Engine, podman: Podman) -> Iterator[Agent]:
    """The provider's host."""
    hub = app.extensions["lightyard"]
    with hub.database.unit_of_work() as session:  # a host signs nothing: not a key of RoboCompute's
        key = accounts.create_key(session, provider.account_id, "host", ["nodes:read", "nodes:write"], "ly_")
    agent = Agent(read_settings({
        "HUB_URL": hub.settings.public_url, "NODE_HOME": str(podman.folder / "homes" / f"tasks-{free_port()}"), "ENROL_KEY": key,
        "NODE_CAPABILITIES": "compute", "NODE_CONTAINER_ENGINE": podman.address, "NODE_CONTAINER_PULL": "off",
        "NODE_POLL_SECONDS": "0.3", "NODE_SPARE_CHILD": "off", "NODE_DRAIN_SECONDS": "1",
    }), Host(python=sys.executable, sandbox="none"), None)
    agent.join()
    agent.start()
    yield agent
    agent.close()


def ordered(buyer: Person, *command: str, **more: Any) -> str:
    answer = buyer.post("tasks", json={**ORDER, "command": list(command), **more})
    assert answer.status_code == 201, answer.json
    return str(answer.json["task_id"])


def wait_for(buyer: Person, task_id: str, holds: Callable[[dict[str, Any]], bool], seconds: float = 200) -> dict[str, Any]:
    """Asks, as a client does."""
    deadline = time.monotonic() + seconds
    while True:
        found: dict[str, Any] = buyer.get(f"tasks/{task_id}").json
        if holds(found):
            return found
        assert time.monotonic() < deadline, found
        time.sleep(0.2)


def balance_of(person: Person) -> int:
    """In millionths of a dollar."""
    with person.hub.database.unit_of_work() as session:
        return ledger.balance(session, Party("balance", person.account_id), "USDC").minor


def is_over(found: dict[str, Any]) -> bool:
    return found["status"] in ENDS


def test_a_task_is_bought_run_paid_for_and_downloaded(app: Any, buyer: Person, provider: Person, node: Agent) -> None:
    script = "echo begun; sleep 2; echo $ANSWER > /results/answer; echo trouble >&2"
    task_id = ordered(buyer, "sh", "-c", script, environment={"ANSWER": "42"})
    done = wait_for(buyer, task_id, is_over)
    assert done["status"] == "completed", done
    results = buyer.get(f"tasks/{task_id}/results").json
    data = buyer.client.get(results["result_url"]).data
    assert hashlib.sha256(data).hexdigest() == results["result_hash"]
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        assert archive.extractfile("answer").read() == b"42\n"  # type: ignore[union-attr]
    logs = buyer.get(f"tasks/{task_id}/logs").json["logs"]
    assert {(line["level"], line["message"]) for line in logs} == {("INFO", "begun"), ("ERROR", "trouble")}
    assert buyer.get(f"tasks/{task_id}/metrics").json["metrics"]["memory_used_bytes"] > 0
    assert 20_000 <= 10**7 - balance_of(buyer) <= 10**6, "2 s at a cent each at least, never more than was set aside"
    with app.extensions["lightyard"].database.unit_of_work() as session:
        assert audit.differences(session) == []


def test_what_a_container_does_wrong_is_told_to_its_owner(buyer: Person, node: Agent) -> None:
    unknown = ordered(buyer, "true", docker_image="localhost/no-such-image")
    found = wait_for(buyer, unknown, is_over)
    assert found["status"] == "failed", found
    assert balance_of(buyer) == 10**7, "what failed for want of its image costs nothing"
    typo = wait_for(buyer, ordered(buyer, "sh", "-c", "sleep 1; exit 3"), is_over)
    assert (typo["status"], typo["exit_code"], typo["attempts"]) == ("failed", 3, 1) and typo["billed_seconds"] >= 1, typo
    assert balance_of(buyer) < 10**7, "the seconds that it ran"


def test_a_running_task_can_be_called_off(buyer: Person, node: Agent) -> None:
    task_id = ordered(buyer, "sh", "-c", "echo begun; sleep 90")
    wait_for(buyer, task_id, lambda found: bool(buyer.get(f"tasks/{task_id}/logs").json["logs"]))
    assert buyer.delete(f"tasks/{task_id}").json["status"] == "cancelled"
    assert wait_for(buyer, ordered(buyer, "true"), is_over)["status"] == "completed", "the host is free again"
