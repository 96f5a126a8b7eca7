"""A whole node with a real podman, against a small hub that speaks the protocol: what is claimed, told, delivered and left."""

import hashlib
import io
import os
import signal
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gpu_node.agent import Agent
from gpu_node.config import read_settings
from gpu_node.doctor import containers as examine
from gpu_node.runners.blender.runner import Host
from gpu_node.runners.container.engine import Engine
from gpu_node.runners.container.runner import ContainerRunner
from tests.factories.stacks import wait_until
from tests.gpu_node.fake_hub import FakeHub
from tests.system.containers.conftest import RULES
from tests.system.containers.podman import Podman

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    with FakeHub() as served:
        yield served


@pytest.fixture
def node(hub: FakeHub, engine: Engine, podman: Podman, tmp_path: Path) -> Iterator[Callable[..., Agent]]:
    """A node whose children are no Blender's: it is here for containers. Its home lies where podman sees mounts."""
    agents: list[Agent] = []

    def start(**settings: Any) -> Agent:
        home = podman.folder / "homes" / f"{tmp_path.name}-{len(agents)}"
        environment = {"HUB_URL": hub.url, "NODE_HOME": str(home), "NODE_NAME": home.name, "NODE_CAPABILITIES": "compute",
                       "NODE_CONTAINER_ENGINE": podman.address, "NODE_POLL_SECONDS": "0.2", "NODE_PROGRESS_SECONDS": "0.1",
                       "NODE_SPARE_CHILD": "off", "NODE_CONTAINER_GRACE_SECONDS": "0.5", "NODE_DRAIN_SECONDS": "0.5"}
        agent = Agent(read_settings({**environment, **settings}), Host(python=sys.executable, sandbox="none"), None)
        agents.append(agent)
        agent.join()
        agent.start()
        return agent

    yield start
    for agent in agents:
        agent.close()


def ended(hub: FakeHub, job_id: str) -> Callable[[], bool]:
    return lambda: hub.of(job_id)[0].state in ("completed", "failed")


def test_a_task_is_claimed_run_told_and_delivered(hub: FakeHub, node: Callable[..., Agent]) -> None:
    job_id = hub.add_task(command=["sh", "-c", "echo one; echo two >&2; sleep 2; echo done > /results/answer"])
    agent = node()
    hub.wait(ended(hub, job_id), 120)
    [unit] = hub.of(job_id)
    assert unit.state == "completed", unit.failures
    bytes_ = hub.files[f"/files/result/{unit.attempt_id}"]
    assert unit.result is not None and unit.result["sha256"] == hashlib.sha256(bytes_).hexdigest()
    assert unit.result["content_type"] == "application/gzip" and unit.result["seconds"] >= 2
    with tarfile.open(fileobj=io.BytesIO(bytes_)) as archive:
        assert archive.extractfile("answer").read() == b"done\n"  # type: ignore[union-attr]
    assert [(line["number"], line["level"], line["message"]) for line in unit.lines] in (
        [(1, "INFO", "one"), (2, "ERROR", "two")], [(1, "ERROR", "two"), (2, "INFO", "one")])
    assert unit.metrics and unit.metrics[0]["memory_used_bytes"] > 0
    told = [path for path, _ in hub.calls]
    assert told.index("/node/v1/logs") < told.index("/node/v1/results"), "the log is there before the end is heard of"
    wait_until(lambda: not any((agent.settings.home / "containers").iterdir()), "nothing is left once it is delivered")
    registered = next(body for path, body in hub.calls if path == "/node/v1/nodes")
    machine = registered["machine"]["container_engine"]
    assert registered["capabilities"] == ["compute"]
    assert (machine["name"], machine["gpus"], machine["network"], machine["user_namespace"]) == ("podman", 0, False, True)
    hub.wait(lambda: any(body["machine"].get("disk_bytes", 0) > 10**9 for path, body in hub.calls if path.endswith("heartbeat")))


def test_each_failure_has_its_code_and_its_last_words(hub: FakeHub, node: Callable[..., Agent]) -> None:
    tasks = {
        "EXECUTION_ERROR": hub.add_task(command=["sh", "-c", "echo last words; exit 9"]),
        "IMAGE_NOT_FOUND": hub.add_task(docker_image="localhost/no-such-image", command=["true"]),
        "GPU_UNAVAILABLE": hub.add_task(command=["true"], gpu_count=1),
        "PAYLOAD_INVALID": hub.add_task(command=["true"], cpu_cores=-1),
    }
    node(NODE_CONTAINER_PULL="off")
    for code, job_id in tasks.items():
        hub.wait(ended(hub, job_id), 120)
        [failure] = hub.of(job_id)[0].failures
        assert failure["code"] == code and failure.get("exit_code") == (9 if code == "EXECUTION_ERROR" else None)
        assert code != "EXECUTION_ERROR" or ("status 9" in failure["message"] and failure["log_tail"] == "last words\n")


def test_a_cancelled_task_is_stopped_and_the_next_one_runs(hub: FakeHub, node: Callable[..., Agent]) -> None:
    first = hub.add_task(command=["sh", "-c", "echo begun; sleep 600"], timeout_seconds=600)
    node()
    hub.wait(lambda: bool(hub.of(first)[0].lines), 120)
    hub.cancel(first)
    second = hub.add_task(command=["true"])
    hub.wait(ended(hub, second), 120)
    assert hub.of(second)[0].state == "completed", hub.of(second)[0].failures


def test_a_drain_gives_a_long_task_back(hub: FakeHub, node: Callable[..., Agent], podman: Podman) -> None:
    job_id = hub.add_task(command=["sh", "-c", "echo begun; sleep 600"], timeout_seconds=600)
    agent = node()
    hub.wait(lambda: bool(hub.of(job_id)[0].lines), 120)
    agent.close()
    assert hub.of(job_id)[0].state == "queued", "unharmed, for another host"
    assert podman.command("ps", "--all", "--quiet") == ""


def test_without_its_engine_a_node_offers_the_small_runs_alone(hub: FakeHub, node: Callable[..., Agent]) -> None:
    echo = hub.add_run("echo", b"hello")
    node(NODE_CONTAINER_ENGINE="off")
    hub.wait(ended(hub, echo), 60)
    registered = next(body for path, body in hub.calls if path == "/node/v1/nodes")
    assert registered["capabilities"] == ["echo", "cpu_benchmark"] and registered["machine"]["container_engine"] is None


KILLED = """
import sys, pathlib
from gpu_node.runners.container import engine
from gpu_node.runners.container.runner import ContainerRunner, Rules
from gpu_node.session import Limits
engine.SUBORDINATE = (pathlib.Path(sys.argv[3]),) * 2
found = engine.find_engine(sys.argv[1], False)
settings = {"docker_image": "localhost/tiny", "command": ["sh", "-c", "echo begun; sleep 600"], "ram_gb": 0.1, "storage_gb": 0.05}
ContainerRunner(found, pathlib.Path(sys.argv[2]), "killed", Rules()).run(
    settings, Limits(), lambda: False, lambda lines: print("begun", flush=True))
"""


def test_what_a_killed_node_left_is_removed_at_its_next_start(engine: Engine, podman: Podman) -> None:
    folder = podman.folder / "homes" / "killed"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", KILLED, podman.address, str(folder), str(podman.folder / "subordinate")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as process:
        assert process.stdout is not None and process.stdout.readline() == b"begun\n"
        os.kill(process.pid, signal.SIGKILL)
    running = podman.command("ps", "--quiet")
    assert running and str(folder) in Path("/proc/mounts").read_text()
    ContainerRunner(engine, podman.folder / "homes" / "other", "another", RULES)
    assert podman.command("ps", "--quiet") == running, "another node's are left alone"
    ContainerRunner(engine, folder, "killed", RULES)
    wait_until(lambda: podman.command("ps", "--all", "--quiet") == "", "the container is gone")
    assert str(folder) not in Path("/proc/mounts").read_text() and list(folder.iterdir()) == []


def test_the_doctor_tells(engine: Engine, podman: Podman) -> None:
    environment = {"NODE_CAPABILITIES": "compute", "NODE_CONTAINER_ENGINE": podman.address}
    [found] = examine(read_settings(environment))
    assert (found.mark, found.name) == ("OK", "containers") and "podman" in found.text
    [absent] = examine(read_settings({**environment, "NODE_CONTAINER_ENGINE": "unix:///nothing.sock"}))
    assert absent.mark == "WARN" and "podman.socket" in absent.advice
    assert examine(read_settings({})) == []
