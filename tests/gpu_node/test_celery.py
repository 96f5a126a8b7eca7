"""`celery -A gpu_node worker -Q render` as a process of its own, against a real Valkey and the strict hub."""

from __future__ import annotations

import os
import signal
import subprocess
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from celery import Celery

from gpu_node.celery_app import NoBroker, granted_queues, listen_to, make_app
from gpu_node.config import read_settings
from tests.factories.scenes import ROOT
from tests.gpu_node.fake_hub import FakeHub
from tests.gpu_node.test_agent import SLOW, all_in

WORKER = ("-m", "celery", "-A", "gpu_node", "worker", "-Q", "render")
Spawn = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def publisher(hub: FakeHub, redis_url: str) -> Iterator[Celery]:
    """Rings as the hub does; the node is granted a queue of another name than the one on its command line."""
    hub.broker_url = redis_url
    hub.queues = {"render": "render.provider-1"}
    with Celery("publisher", broker=redis_url, set_as_current=False) as app:
        yield app


def ring(publisher: Celery, hint: str) -> None:
    publisher.send_task("gpu_node.ring", args=[hint], queue="render.provider-1")


def test_the_doorbell_of_the_granted_queue_starts_the_work_and_sigterm_drains(
    hub: FakeHub, publisher: Celery, spawn: Spawn, node_environment: dict[str, str], scenes: dict[str, Path]
) -> None:
    worker = spawn(*WORKER, environment={**node_environment, "NODE_POLL_SECONDS": "3600"})
    hub.wait(lambda: bool(hub.claim_sizes))
    first = hub.add_job(scenes["turntable"], [1, 2, 3])
    for unit in hub.of(first):
        ring(publisher, unit.unit_id)
    hub.wait(all_in(hub, first, "completed"))
    second = hub.add_job(scenes["turntable"], list(range(1, 2001)))  # more than any node renders before it hears the signal
    for _ in range(3):
        ring(publisher, str(uuid.uuid4()))
    hub.wait(lambda: sum(unit.state == "completed" for unit in hub.of(second)) > 3)
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(40) == 0
    assert {unit.state for unit in hub.of(second)} == {"completed", "queued"}


def test_a_lost_doorbell_costs_only_the_idle_poll(
    hub: FakeHub, publisher: Celery, spawn: Spawn, node_environment: dict[str, str], scenes: dict[str, Path]
) -> None:
    spawn(*WORKER, environment=node_environment)
    hub.wait(lambda: bool(hub.claim_sizes))
    job_id = hub.add_job(scenes["turntable"], [1])
    hub.wait(all_in(hub, job_id, "completed"))


def test_killing_the_node_kills_its_blender(
    hub: FakeHub, spawn: Spawn, node_environment: dict[str, str], scenes: dict[str, Path]
) -> None:
    hub.add_job(scenes["studio"], [1], settings=SLOW)
    node = spawn("-m", "gpu_node", "run", "--poll", environment=node_environment)
    hub.wait(lambda: any(path.endswith("/progress") for path, _ in hub.calls))
    children = psutil.Process(node.pid).children(recursive=True)
    assert any("child.py" in " ".join(child.cmdline()) for child in children)
    os.kill(node.pid, signal.SIGKILL)
    _, alive = psutil.wait_procs(children, timeout=10)
    assert alive == []


@pytest.mark.parametrize("name", ["node.claimed", "node.frame_rendered", "node.uploaded", "node.announced"])
def test_a_node_killed_at_a_failpoint_loses_nothing(
    hub: FakeHub, spawn: Spawn, node_environment: dict[str, str], scenes: dict[str, Path], name: str
) -> None:
    hub.lease_seconds = 2.0
    job_id = hub.add_job(scenes["turntable"], [1, 2, 3])
    node = spawn("-m", "gpu_node", "run", "--poll", environment={**node_environment, "LIGHTYARD_FAILPOINTS": f"{name}=kill"})
    assert node.wait(60) == -signal.SIGKILL
    spawn("-m", "gpu_node", "run", "--poll", environment=node_environment)
    hub.wait(all_in(hub, job_id, "completed"))


def test_a_node_without_broker_says_what_to_do(
    hub: FakeHub, node_environment: dict[str, str], blender_python: str
) -> None:
    asked = subprocess.run([blender_python, *WORKER], env=node_environment, capture_output=True, text=True, timeout=60)
    assert asked.returncode != 0
    assert "lightyard-node --relay" in asked.stderr


def test_a_node_without_broker_asks_the_hub_itself(
    hub: FakeHub, spawn: Spawn, node_environment: dict[str, str], scenes: dict[str, Path]
) -> None:
    job_id = hub.add_job(scenes["turntable"], [1])
    node = spawn("-m", "gpu_node", "run", environment=node_environment)
    hub.wait(all_in(hub, job_id, "completed"))
    node.send_signal(signal.SIGTERM)
    assert node.wait(40) == 0


def test_a_node_that_waits_for_its_hub_leaves_when_told(
    hub: FakeHub, node_environment: dict[str, str], blender_python: str
) -> None:
    hub.go_away()
    with subprocess.Popen([blender_python, "-m", "gpu_node", "run", "--poll"], env=node_environment, cwd=ROOT,
                          stderr=subprocess.PIPE, text=True) as node:
        assert node.stderr is not None
        for line in node.stderr:
            if "did not answer" in line:
                node.send_signal(signal.SIGTERM)
                break
        assert node.wait(20) == 0


def test_only_granted_queues_are_consumed() -> None:
    granted = {"render": "render.p1", "compute": "compute"}
    assert granted_queues(["render"], granted) == ["render.p1"]
    assert granted_queues(["render.p1", "inference"], granted) == ["render.p1"]
    with pytest.raises(SystemExit, match="none of the queues"):
        granted_queues(["inference"], granted)


def test_another_registration_may_grant_other_queues(tmp_path: Path) -> None:
    """As when an operator ceases to trust a node that runs: it listens to its provider's queues from its next connection on."""
    with make_app(read_settings({"NODE_HOME": str(tmp_path)})) as app:
        app.asked_queues = ["render"]
        for queue in ("render", "render.p1"):
            assert listen_to(app, {"queues": {"render": queue}}) == [queue]
            assert list(app.amqp.queues.consume_from) == [queue]
        with pytest.raises(NoBroker):
            listen_to(app, {"queues": {"compute": "compute"}})
        assert list(app.amqp.queues.consume_from) == ["render.p1"], "what it has is kept"
