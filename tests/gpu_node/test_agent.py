"""The node against a strict hub: claims, keeps leases, delivers, survives, and leaves nothing behind."""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from gpu_node.agent import Agent
from gpu_node.client import HubAway
from gpu_node.session import Session
from tests.gpu_node.fake_hub import FakeHub

SLOW = {"width": 640, "height": 480, "samples": 100_000}


def all_in(hub: FakeHub, job_id: str, state: str) -> Callable[[], bool]:
    return lambda: all(unit.state == state for unit in hub.of(job_id))


def test_an_animation_is_claimed_in_growing_batches_and_delivered_whole(
    hub: FakeHub, start_agent: Callable[..., Agent], scenes: dict[str, Path]
) -> None:
    job_id = hub.add_job(scenes["turntable"], list(range(1, 13)))
    agent = start_agent()
    hub.wait(all_in(hub, job_id, "completed"))
    assert agent.slots[0].runner.loads == 1
    assert hub.claim_sizes[:3] == [1, 1, 2] and max(hub.claim_sizes) > 2
    result = hub.units[0].result
    assert result is not None and result["device"] == "CPU" and result["seconds"] > 0
    assert hub.files[f"/files/result/{hub.units[0].attempt_id}"][:8] == b"\x89PNG\r\n\x1a\n"


def test_the_next_claim_of_a_job_finds_its_scene_loaded(
    hub: FakeHub, start_agent: Callable[..., Agent], scenes: dict[str, Path]
) -> None:
    job_id = hub.add_job(scenes["turntable"], [1])
    agent = start_agent(NODE_POLL_SECONDS="60")
    hub.wait(all_in(hub, job_id, "completed"))
    with hub.lock:
        again = hub.of(job_id)[0]
        again.state, again.result = "queued", None
    agent.ring().done.wait(30)
    hub.wait(all_in(hub, job_id, "completed"))
    assert agent.slots[0].runner.loads == 1


def test_frames_spread_over_several_nodes(hub: FakeHub, start_agent: Callable[..., Agent], scenes: dict[str, Path]) -> None:
    job_id = hub.add_job(scenes["turntable"], list(range(1, 25)))
    start_agent()
    start_agent()
    hub.wait(all_in(hub, job_id, "completed"))
    assert {unit.node for unit in hub.of(job_id)} == {"node-0", "node-1"}


def test_an_inspection_is_reported(hub: FakeHub, start_agent: Callable[..., Agent], scenes: dict[str, Path]) -> None:
    job_id = hub.add_job(scenes["textured_missing"], None)
    start_agent()
    hub.wait(all_in(hub, job_id, "completed"))
    result = hub.of(job_id)[0].result
    assert result is not None and result["report"]["missing_files"] == ["//textures/wood.png"]


def test_a_scenes_fault_is_reported_for_every_frame_after_one_look(
    hub: FakeHub, start_agent: Callable[..., Agent], scenes: dict[str, Path]
) -> None:
    job_id = hub.add_job(scenes["no_camera"], [1, 2, 3])
    start_agent()
    hub.wait(all_in(hub, job_id, "failed"))
    assert {unit.failures[0]["code"] for unit in hub.of(job_id)} == {"NO_CAMERA"}


def test_an_input_with_another_hash_is_refused(hub: FakeHub, start_agent: Callable[..., Agent], scenes: dict[str, Path]) -> None:
    job_id = hub.add_job(scenes["turntable"], [1])
    hub.jobs[job_id]["inputs"][0]["sha256"] = "0" * 64
    start_agent()
    hub.wait(all_in(hub, job_id, "failed"))
    assert hub.of(job_id)[0].failures[0]["code"] == "INPUT_CORRUPT"


def test_names_with_path_tricks_stay_in_their_folder(
    hub: FakeHub, start_agent: Callable[..., Agent], scenes: dict[str, Path], tmp_path: Path
) -> None:
    job_id = hub.add_job(scenes["turntable"], [1], name="../../../escape.blend")
    start_agent()
    hub.wait(all_in(hub, job_id, "completed"))
    assert {path.parent.name for path in tmp_path.rglob("escape.blend")} == {"files", "in"}, "the cache, and the child's own link"


def test_a_long_frame_keeps_its_lease_and_a_cancelled_one_stops(
    hub: FakeHub, start_agent: Callable[..., Agent], scenes: dict[str, Path]
) -> None:
    hub.lease_seconds = 2.0
    slow = hub.add_job(scenes["studio"], [1], settings=SLOW)
    agent = start_agent()
    hub.wait(lambda: sum(path.endswith("/progress") for path, _ in hub.calls) >= 6)
    assert hub.of(slow)[0].fence == 1, "the lease was never lost"
    hub.cancel(slow)
    light = hub.add_job(scenes["turntable"], [1])
    hub.wait(all_in(hub, light, "completed"))
    assert slow not in {attempt.job.job_id for attempt in agent.held.all()}
    assert hub.of(slow)[0].result is None


def test_frames_finished_while_the_hub_is_away_are_delivered_when_it_is_back(
    hub: FakeHub, start_agent: Callable[..., Agent], scenes: dict[str, Path]
) -> None:
    job_id = hub.add_job(scenes["turntable"], list(range(1, 9)))
    agent = start_agent()
    hub.wait(lambda: sum(unit.state == "completed" for unit in hub.of(job_id)) >= 2)
    hub.go_away()
    rendered = agent.slots[0].runner.loads
    threading.Timer(1.5, hub.come_back).start()
    hub.wait(all_in(hub, job_id, "completed"))
    assert agent.slots[0].runner.loads == rendered == 1
    assert [unit.fence for unit in hub.of(job_id)] == [1] * 8, "no frame was rendered twice"


def test_a_hub_that_forgot_the_node_is_joined_again(
    hub: FakeHub, start_agent: Callable[..., Agent], scenes: dict[str, Path]
) -> None:
    start_agent()
    with hub.lock:
        hub.tokens.clear()
    job_id = hub.add_job(scenes["turntable"], [1])
    hub.wait(all_in(hub, job_id, "completed"))
    assert hub.registrations == 2


def test_a_drain_ends_the_frame_under_way_and_gives_the_rest_back(
    hub: FakeHub, start_agent: Callable[..., Agent], scenes: dict[str, Path]
) -> None:
    job_id = hub.add_job(scenes["turntable"], list(range(1, 41)), settings={"samples": 64})
    agent = start_agent()
    hub.wait(lambda: sum(unit.state == "completed" for unit in hub.of(job_id)) >= 4)
    agent.close()
    states = {unit.state for unit in hub.of(job_id)}
    assert states == {"completed", "queued"}, "nothing is left assigned to a node that is gone"
    assert not [child for child in psutil.Process().children(recursive=True) if "bwrap" in child.name()]


def test_a_drain_with_no_patience_left_gives_the_frame_back(
    hub: FakeHub, start_agent: Callable[..., Agent], scenes: dict[str, Path]
) -> None:
    job_id = hub.add_job(scenes["studio"], [1], settings=SLOW)
    agent = start_agent(NODE_DRAIN_SECONDS="0.5")
    hub.wait(lambda: agent.slots[0].runner.job_id == job_id)
    agent.close()
    assert hub.of(job_id)[0].state == "queued"


def test_the_heartbeat_tells_what_is_held(hub: FakeHub, start_agent: Callable[..., Agent], scenes: dict[str, Path]) -> None:
    hub.add_job(scenes["studio"], [1], settings=SLOW)
    agent = start_agent(NODE_DRAIN_SECONDS="0.5")

    def told() -> list[dict[str, Any]]:
        return [body for path, body in hub.calls if path.endswith("/heartbeat") and body["attempts"]]

    hub.wait(lambda: bool(told()))
    assert told()[0]["attempts"] == [attempt.attempt_id for attempt in agent.held.all()]
    assert 0.0 <= told()[0]["current_load"] <= 1.0


def test_a_bell_that_rings_during_a_drain_is_answered_at_once(hub: FakeHub, start_agent: Callable[..., Agent]) -> None:
    agent = start_agent()
    waiting = agent.ring()
    agent.drain()
    assert waiting.done.wait(20) and agent.ring().done.is_set()


@pytest.mark.parametrize(("said", "verbs"), [
    (b"<html>We will be back soon</html>", ("heartbeat", "progress", "claims", "results")), (b"{}", ("progress",)),
    (b'{"dead_attempts": 1}', ("heartbeat",)),
])
def test_an_answer_that_is_not_the_hubs_stops_no_node(
    hub: FakeHub, start_agent: Callable[..., Agent], scenes: dict[str, Path], said: bytes, verbs: tuple[str, ...]
) -> None:
    """A proxy may answer in the place of a hub that is away."""
    first = hub.add_job(scenes["turntable"], list(range(1, 9)))
    start_agent(NODE_DRAIN_SECONDS="0.5")
    hub.wait(lambda: any(unit.state == "completed" for unit in hub.of(first)))
    hub.babbling = dict.fromkeys(verbs, said)
    threading.Timer(2.5, hub.babbling.clear).start()
    hub.wait(all_in(hub, first, "completed"))
    assert [unit.fence for unit in hub.of(first)] == [1] * 8, "no finished frame was lost"
    hub.calls.clear()
    hub.add_job(scenes["studio"], [1], settings=SLOW)
    hub.wait(lambda: {"heartbeat", "progress"} <= {path.rsplit("/", 1)[1] for path, _ in hub.calls})


def test_a_node_that_cannot_write_works_again_when_it_can(
    hub: FakeHub, start_agent: Callable[..., Agent], scenes: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk shows wherever the node writes; here at the spare child's folder, between two jobs."""
    first = hub.add_job(scenes["turntable"], [1])
    agent = start_agent()
    hub.wait(all_in(hub, first, "completed"))
    runner, tries = agent.slots[0].runner, []

    def full(folder: Path | None) -> Session:
        tries.append(folder)
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(runner, "_start", full)
        runner.close_all()
        assert all(agent.ring().done.wait(20) for _ in range(3)) and tries
    second = hub.add_job(scenes["turntable"], [2])
    hub.wait(all_in(hub, second, "completed"))


def test_a_node_whose_broker_refuses_it_while_its_hub_is_away_is_not_stuck(
    hub: FakeHub, start_agent: Callable[..., Agent], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It asks the hub for its broker in Celery's own thread, which also takes the signal to end; and the token is still good."""
    agent = start_agent(NODE_POLL_SECONDS="60")
    monkeypatch.setattr("gpu_node.agent.CLAIM_PATIENCE_SECONDS", 0.1)
    hub.go_away()
    asking: list[Exception] = []

    def ask() -> None:
        try:
            agent.rejoin()
        except HubAway as away:
            asking.append(away)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(30)
    assert len(asking) == 1
    hub.come_back()
    known = agent.registration["token"]
    assert agent.client.call("/heartbeat", agent._heartbeat(), 30)["status"] == "HEALTHY" and agent.registration["token"] == known
    agent.rejoin()
    assert agent.registration["token"] != known
    assert agent.client.call("/heartbeat", agent._heartbeat(), 30)["status"] == "HEALTHY"
