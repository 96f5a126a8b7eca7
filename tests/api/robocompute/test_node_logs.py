"""A node's own way to tell what containers print, against the real hub: over a wire that breaks, all comes once, in order."""

import threading
import uuid
from collections.abc import Iterator
from dataclasses import dataclass

import httpx
import pytest
from flask.testing import FlaskClient

from app.core import task_logs
from app.values import clock
from gpu_node import task_logs as told
from gpu_node.attempts import Attempt, Job
from gpu_node.client import HubClient
from gpu_node.session import Limits
from gpu_node.task_logs import TaskLogs
from tests.api.conftest import FakeNode
from tests.api.robocompute.conftest import Person
from tests.factories.followed_tasks import FollowedTask
from tests.factories.stacks import wait_until


@dataclass
class Line:
    message: str
    level: str = "info"
    timestamp: str = "2026-11-26T08:00:00Z"


class Wire(httpx.BaseTransport):
    """To the hub in this process. `lost` answers are lost on their way back, and nothing gets through while it `is_cut`."""

    def __init__(self, client: FlaskClient) -> None:
        self._hub = httpx.WSGITransport(app=client.application)
        self.lost, self.is_cut, self.calls = 0, False, 0

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.calls += 1
        if self.is_cut:
            raise httpx.ConnectError("cut", request=request)
        answer = self._hub.handle_request(request)
        if self.lost:
            self.lost -= 1
            answer.read()
            raise httpx.ReadTimeout("lost", request=request)
        return answer


@dataclass
class Told:
    """A node that tells of one attempt at a task."""

    logs: TaskLogs
    wire: Wire
    attempt: Attempt
    task: FollowedTask


@pytest.fixture
def line(client: FlaskClient, buyer: Person, node: FakeNode, monkeypatch: pytest.MonkeyPatch) -> Iterator[Told]:
    for name, value in (("PAUSE_SECONDS", 0.01), ("AWAY_SECONDS", 0.05), ("PATIENCE_SECONDS", 0.1)):
        monkeypatch.setattr(told, name, value)
    task = FollowedTask(buyer.hub.database, buyer.account_id)
    attempt_id = str(task.attempt(uuid.UUID(node.id)))
    job = Job(str(task.id), "task", {}, (), Limits())
    wire, stopping = Wire(client), threading.Event()
    hub_client = HubClient("http://localhost", stopping, transport=wire)
    hub_client.join = lambda: node.headers["Authorization"].removeprefix("Bearer ")
    logs = TaskLogs(hub_client)
    logs.start()
    yield Told(logs, wire, Attempt(attempt_id, 1, str(task.unit_id), job, "container", None, 60.0, None), task)
    wire.is_cut = False
    logs.close(20)
    assert not logs.is_alive()
    hub_client.close()


def numbered(first: int, last: int) -> list[Line]:
    return [Line(f"line {number}") for number in range(first, last + 1)]


def test_answers_that_are_lost_double_nothing(line: Told) -> None:
    line.wire.lost = 3
    for first in range(1, 1001, 100):
        line.logs.write(line.attempt, numbered(first, first + 99))
    line.logs.note(line.attempt, {"cpu_usage_percent": 12.5, "gpu_usage_percent": None})
    assert line.logs.finish(line.attempt, 30) is True
    assert line.task.messages() == [f"line {number}" for number in range(1, 1001)]
    with line.task.database.read_only() as session:
        assert [sample.figures for sample in task_logs.samples(session, line.task.id, 9)] == [{"cpu_usage_percent": 12.5}]
    assert line.logs.finish(line.attempt, 0) is True  # nothing waits


def test_while_the_hub_is_away_the_newest_lines_wait_and_the_gap_is_told(line: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(told, "MAX_WAITING_LINES", 100)
    line.logs.write(line.attempt, numbered(1, 5))
    assert line.logs.finish(line.attempt, 30) is True
    line.wire.is_cut = True
    tried = line.wire.calls
    line.logs.write(line.attempt, numbered(6, 500))
    wait_until(lambda: line.wire.calls > tried + 1, "it tries again")
    assert line.logs.finish(line.attempt, 0.01) is False
    line.wire.is_cut = False
    assert line.logs.finish(line.attempt, 30) is True
    kept = line.task.messages()
    assert kept[:5] == [f"line {number}" for number in range(1, 6)]
    assert kept[5:] == [f"line {number}" for number in range(401, 501)]
    assert line.task.read().lost == 395


def test_lines_of_an_attempt_that_is_anothers_are_dropped_and_others_go_on(line: Told) -> None:
    gone = Attempt(str(uuid.uuid4()), 1, line.attempt.unit_id, line.attempt.job, "container", None, 60.0, None)
    line.logs.write(gone, numbered(1, 5000))
    line.logs.write(line.attempt, [Line("ünïcode \N{GRINNING FACE}", "error", clock.now().isoformat())])
    assert line.logs.finish(gone, 30) is True
    assert line.logs.finish(line.attempt, 30) is True
    [kept] = line.task.read().lines
    assert (kept.message, kept.level) == ("ünïcode \N{GRINNING FACE}", "ERROR")


def test_what_the_hub_refuses_does_not_stop_what_follows(line: Told) -> None:
    line.logs.write(line.attempt, [Line("no time", timestamp="yesterday")])
    wait_until(lambda: line.wire.calls > 0 and line.logs.finish(line.attempt, 1), "the refused line is given up")
    line.logs.write(line.attempt, [Line("x" * 100_000), *numbered(3, 4)])
    assert line.logs.finish(line.attempt, 30) is True
    assert [message[:6] for message in line.task.messages()] == ["xxxxxx", "line 3", "line 4"]
