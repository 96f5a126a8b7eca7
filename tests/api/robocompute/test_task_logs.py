"""Logs and figures of tasks over HTTP: told by nodes, read by owners, waited for."""

import threading
import uuid
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient

from app.adapters.task_news import TaskNews
from app.core import task_logs
from app.values import clock
from app.wiring import Hub
from tests.api.conftest import FakeNode, Market
from tests.api.robocompute.conftest import Person
from tests.factories.followed_tasks import FollowedTask
from tests.factories.stacks import wait_until


@pytest.fixture
def task(buyer: Person) -> FollowedTask:
    return FollowedTask(buyer.hub.database, buyer.account_id)


@pytest.fixture(autouse=True)
def _stop_news(hub: Hub) -> Iterator[None]:
    yield
    hub.task_news.stop()


def logs(person: Person, task: FollowedTask, query: str = "") -> Any:
    return person.get(f"tasks/{task.id}/logs{query}")


def test_what_a_node_tells_its_owner_reads(buyer: Person, task: FollowedTask, node: FakeNode) -> None:
    attempt = task.attempt(uuid.UUID(node.id))
    lines = [
        {"number": 1, "timestamp": "2026-01-01T00:00:00Z", "level": "info", "message": "begun"},
        {"number": 2, "timestamp": clock.now().isoformat(), "level": "ERROR", "message": "ünïcode"},
    ]
    figures = {"cpu_usage_percent": 50, "gpu_usage": None}
    for _ in range(2):  # an answer that was lost
        told = node.post("logs", attempt_id=str(attempt), fence=1, lines=lines, metrics=figures)
        assert (told.status_code, told.json) == (200, {"attempt_id": str(attempt), "live": True, "next": 3})
    found = logs(buyer, task)
    assert found.status_code == 200, found.json
    shown = [(line["sequence"], line["level"], line["message"]) for line in found.json["logs"]]
    assert shown == [(1, "INFO", "begun"), (2, "ERROR", "ünïcode")]
    assert all(line["timestamp"].endswith("Z") for line in found.json["logs"])
    rest = {name: value for name, value in found.json.items() if name != "logs"}
    assert rest == {"task_id": str(task.id), "status": "accepted", "next": 2, "skipped": 0, "lost": 0, "is_over": False}
    assert [line["message"] for line in logs(buyer, task, "?lines=1").json["logs"]] == ["ünïcode"]
    assert logs(buyer, task, "?after=1&follow=False").json["logs"][0]["sequence"] == 2  # as the reference's SDK writes False


def test_figures_are_shown_with_what_nobody_said(buyer: Person, task: FollowedTask) -> None:
    empty = buyer.get(f"tasks/{task.id}/metrics").json
    assert (empty["metrics"]["cpu_usage_percent"], empty["metrics"]["gpu_usage_percent"], empty["samples"]) == (None, None, [])
    now = clock.now()
    with buyer.hub.database.unit_of_work() as session:
        task_logs.note_metrics(session, task.id, {"cpu_usage_percent": 90.0, "tokens": 5}, now - timedelta(seconds=5))
        task_logs.note_metrics(session, task.id, {"cpu_usage_percent": 40.0, "memory_used_bytes": 1024}, now)
    found = buyer.get(f"tasks/{task.id}/metrics").json
    assert (found["metrics"]["cpu_usage_percent"], found["peak"]["cpu_usage_percent"], found["peak"]["tokens"]) == (40.0, 90.0, 5)
    assert (found["metrics"]["memory_used_bytes"], found["metrics"]["gpu_usage_percent"]) == (1024, None)
    assert [sample["cpu_usage_percent"] for sample in found["samples"]] == [90.0, 40.0]
    assert len(buyer.get(f"tasks/{task.id}/metrics?samples=1").json["samples"]) == 1


def test_following_waits_for_the_next_line_or_the_end(
    buyer: Person, task: FollowedTask, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempt = task.attempt()
    task.write(attempt, "one", first=1)
    waiting = threading.Event()
    follow = TaskNews.follow
    monkeypatch.setattr(TaskNews, "follow", lambda self, *given: (follow(self, *given), waiting.set()))

    def later(act: Any) -> threading.Thread:
        def run() -> None:
            assert waiting.wait(20)
            waiting.clear()
            act()

        thread = threading.Thread(target=run)
        thread.start()
        return thread

    assert logs(buyer, task, "?follow=true").json["next"] == 1  # there is one: nothing to wait for
    thread = later(lambda: task.write(attempt, "two", first=2))
    found = logs(buyer, task, "?follow=true&after=1").json
    thread.join()
    assert ([line["message"] for line in found["logs"]], found["is_over"]) == (["two"], False)
    thread = later(lambda: (task.end(), buyer.hub.cache.publish("lightyard.events", f'{{"type":"x","job_id":"{task.id}"}}')))
    found = logs(buyer, task, "?follow=true&after=2").json
    thread.join()
    assert (found["logs"], found["is_over"], found["status"], found["next"]) == ([], True, "completed", 2)
    assert logs(buyer, task, "?follow=true&after=2").json["is_over"] is True  # and never waits again


@pytest.mark.parametrize("path", ["logs", "metrics"])
def test_nobody_reads_anothers_task(buyer: Person, stranger: Person, task: FollowedTask, path: str) -> None:
    for person, task_id in ((stranger, str(task.id)), (buyer, str(uuid.uuid4())), (buyer, "task_123")):
        found = person.get(f"tasks/{task_id}/{path}")
        assert (found.status_code, found.json["error"]["code"]) == (404, "TASK_NOT_FOUND")
        assert found.json["error"]["details"] == {"task_id": task_id}


ODD = ("lines=0", "lines=1001", "lines=x", "after=-1", "after=x", f"after={2**53 + 1}", "follow=maybe")


@pytest.mark.parametrize("query", ODD)
def test_odd_questions_are_refused(buyer: Person, task: FollowedTask, query: str) -> None:
    found = logs(buyer, task, f"?{query}")
    assert (found.status_code, found.json["error"]["code"]) == (400, "INVALID_INPUT")
    assert query.partition("=")[0] in found.json["error"]["message"] + str(found.json["error"]["details"])


LINE = {"number": 1, "message": "x"}


@pytest.mark.parametrize("body", [
    {"lines": [{"message": "no number"}]}, {"lines": [{"number": 0, "message": "x"}]}, {"lines": [{"number": 1}]},
    {"lines": [{**LINE, "timestamp": "yesterday"}]}, {"lines": [LINE] * 501}, {"lines": "x"}, {"lines": [{**LINE, "message": 5}]},
    {"metrics": {"cpu": "much"}}, {"metrics": {"CPU": 1}}, {"metrics": {"cpu": -1}}, {"metrics": {"cpu": True}}, {"metrics": [1]},
    {"metrics": {f"m{number}": 1 for number in range(33)}}, {"fence": -1}, {"attempt_id": "x"}, {"sampled_at": "x"},
])  # fmt: skip
def test_what_no_node_should_tell_is_refused(task: FollowedTask, node: FakeNode, body: dict[str, Any]) -> None:
    attempt = task.attempt(uuid.UUID(node.id))
    found = node.post("logs", **{"attempt_id": str(attempt), "fence": 1, **body})
    assert (found.status_code, found.json["error"]["code"]) == (400, "INVALID_INPUT"), found.json
    assert task.messages() == []


def test_another_nodes_attempt_and_work_that_is_no_task_get_no_lines(
    task: FollowedTask, node: FakeNode, market: Market
) -> None:
    other = FakeNode(market, "other").join()
    attempt = task.attempt(uuid.UUID(other.id))
    for attempt_id in (attempt, uuid.uuid4()):
        told = node.post("logs", attempt_id=str(attempt_id), fence=1, lines=[LINE])
        assert (told.status_code, told.json["live"], told.json["next"]) == (200, False, 1)
    assert task.messages() == []


def test_news_come_again_after_valkey_dropped_the_subscription(
    hub: Hub, task: FollowedTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.adapters.task_news.LOOK_SECONDS", 10**9)
    told: list[int] = []

    def hint() -> None:
        told.append(1)

    hub.task_news.follow(task.id, hint)
    wait_until(lambda: len(told) == 2, "both channels stand")
    hub.cache.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
    wait_until(lambda: len(told) == 4, "whoever follows looks again, once they stand again")
    task.write(task.attempt(), "line")
    wait_until(lambda: len(told) == 5, "a hint")
    for _ in range(2):
        hub.task_news.leave(task.id, hint)
    task.write(task.attempt(), "line")
    assert len(told) == 5
