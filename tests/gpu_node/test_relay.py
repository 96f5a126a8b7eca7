"""`lightyard-node --relay`'s own end of the socket: what is pushed is worked on once, and a broken link is only a pause."""

import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from websockets.sync.server import Server, ServerConnection, serve

from gpu_node.client import HubAway, HubRefused
from gpu_node.relay import RelayClient
from gpu_node.relay_inbox import Inbox, Replies, Unanswered
from tests.gpu_node.fake_hub import FakeHub

ATTEMPT, JOB, UNIT = "a-1", "j-1", "u-1"


def work(attempt_id: str = ATTEMPT, job_id: str = JOB) -> dict[str, Any]:
    attempt = {"attempt_id": attempt_id, "job_id": job_id, "unit_id": UNIT, "fence": 1}
    return {"job": {"job_id": job_id}, "attempt": attempt}


def dispatch(attempt_id: str = ATTEMPT, job_id: str = JOB) -> dict[str, Any]:
    names = {"job_id": job_id, "attempt": attempt_id, "result_ref": f"s3://results/{attempt_id}"}
    return {"type": "job_dispatch", **names, "work": work(attempt_id, job_id)}


class Hub:
    """The hub's side of the socket as PROTOCOL.md section 9 has it, in the hands of the test: it stands for what a real hub
    cannot be made to do on order, such as breaking off between a question and its answer."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []
        self.sockets: list[ServerConnection] = []
        self.changed = threading.Condition()
        self.silent_to: set[str] = set()
        self.dead: list[str] = []
        self._server: Server = serve(self._talk, "127.0.0.1", 0, subprotocols=["lightyard.relay.v1"])  # type: ignore[list-item]
        self.url = f"http://127.0.0.1:{self._server.socket.getsockname()[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def _talk(self, socket: ServerConnection) -> None:
        with self.changed:
            self.sockets.append(socket)
        for text in socket:
            message = json.loads(text)
            with self.changed:
                self.messages.append(message)
                self.changed.notify_all()
            answer = self._answer(message)
            if answer is not None:
                socket.send(json.dumps({**answer, "request": message.get("request")}))

    def _answer(self, message: dict[str, Any]) -> dict[str, Any] | None:
        if message["type"] in self.silent_to or "request" not in message:
            return None
        if message["type"] == "ready":
            return {"type": "ready_ack", "dead_attempts": self.dead if message["request"] == 0 else [], "handed": 0}
        if message["type"] == "heartbeat_ping":
            return {"type": "heartbeat_pong", "dead_attempts": []}
        if message.get("attempt") == "lost":
            return {"type": "error", "code": "ATTEMPT_NOT_LIVE", "detail": "not live", "retryable": False}
        return {"type": "job_ack", "status": message.get("status")}

    def push(self, message: dict[str, Any]) -> None:
        self.sockets[-1].send(json.dumps(message))

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [message for message in self.messages if message["type"] == kind]

    def wait(self, kind: str, count: int = 1) -> list[dict[str, Any]]:
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.of(kind)) >= count, 30), f"{count} {kind} never came: {self.messages}"
            return self.of(kind)

    def stop(self) -> None:
        for socket in self.sockets:
            socket.close()
        self._server.shutdown()


@pytest.fixture
def hub() -> Iterator[Hub]:
    made = Hub()
    yield made
    made.stop()


@pytest.fixture
def client(hub: Hub) -> Iterator[RelayClient]:
    stopping = threading.Event()
    made = RelayClient(hub.url, stopping, slots=2)
    made.join, made.node_id = lambda: "token", lambda: "node"
    yield made
    stopping.set()
    made.close()


def beat(client: RelayClient) -> dict[str, Any]:
    body = {"current_load": 0.1, "draining": False, "machine": {"cpu_count": 1}, "attempts": []}
    return client.call("/heartbeat", body, 20.0)


def test_a_pushed_unit_is_acknowledged_rung_for_and_claimed_once(hub: Hub, client: RelayClient) -> None:
    rung: list[str] = []
    client.on_work = rung.append
    beat(client)
    assert hub.of("ready")[0]["slots"] == 2 and hub.of("ready")[0]["attempts"] == []
    hub.push(dispatch())
    hub.push(dispatch())  # doubled on its way
    assert hub.wait("job_ack", 2)[0]["attempt"] == ATTEMPT
    claimed = client.call("/claims", {"limit": 5, "job_id": None}, 5.0)
    assert [item["attempt_id"] for item in claimed["attempts"]] == [ATTEMPT] and list(claimed["jobs"]) == [JOB]
    assert client.call("/claims", {"limit": 5, "job_id": None}, 5.0)["attempts"] == []
    assert rung[0] == UNIT
    assert len(hub.of("ready")) == 1  # an idle node asks for nothing: it is told


def test_a_busy_node_asks_for_more_and_results_carry_their_names(hub: Hub, client: RelayClient) -> None:
    beat(client)
    hub.push(dispatch())
    hub.wait("job_ack")
    client.call("/claims", {"limit": 1, "job_id": None}, 5.0)
    client.held = lambda: [ATTEMPT]
    client.call("/claims", {"limit": 4, "job_id": JOB}, 5.0)
    assert {"more": 4, "job_id": JOB}.items() <= hub.of("ready")[-1].items()
    result = {"attempt_id": ATTEMPT, "fence": 1, "sha256": "0" * 64, "size_bytes": 3}
    answer = client.call("/results", {"results": [result, {**result, "attempt_id": "lost"}]}, 5.0)["results"]
    assert [item["accepted"] for item in answer] == [True, False]
    assert answer[1]["error"]["code"] == "ATTEMPT_NOT_LIVE"
    told = hub.of("job_result")[0]
    assert (told["status"], told["job_id"], told["result_ref"]) == ("completed", JOB, f"s3://results/{ATTEMPT}")
    reports = [{"attempt_id": ATTEMPT, "progress": 0.5, "seconds": 2.0}, {"attempt_id": "lost", "progress": 0.1, "seconds": 1.0}]
    live = client.call("/progress", {"reports": reports}, 5.0)["reports"]
    assert [item["live"] for item in live] == [True, False]


def test_a_link_that_breaks_before_the_answer_is_opened_again_and_asked_again(hub: Hub, client: RelayClient) -> None:
    beat(client)
    hub.push(dispatch())
    hub.wait("job_ack")
    hub.silent_to.add("job_result")
    found: list[Any] = []
    item = {"attempt_id": ATTEMPT, "fence": 1}
    thread = threading.Thread(target=lambda: found.append(client.call("/results", {"results": [item]}, 30.0)))
    thread.start()
    hub.wait("job_result")
    hub.silent_to.clear()
    hub.dead = [ATTEMPT]
    buried: list[str] = []
    client.on_dead = buried.extend
    hub.sockets[-1].close()
    thread.join(30)
    assert found[0]["results"] == [{"attempt_id": ATTEMPT, "accepted": True, "unit_state": "completed"}]
    assert len(hub.of("job_result")) == 2
    assert hub.of("ready")[-1]["attempts"] == [ATTEMPT] and buried == [ATTEMPT]


def test_a_hub_that_never_answers_is_away_after_the_patience(hub: Hub, client: RelayClient) -> None:
    beat(client)
    hub.silent_to.add("job_status")
    with pytest.raises(HubAway, match="did not answer in time"):
        client.call("/progress", {"reports": [{"attempt_id": ATTEMPT, "progress": 0.5, "seconds": 2.0}]}, 0.2)


def test_a_message_that_makes_no_sense_costs_one_link_and_not_the_node(hub: Hub, client: RelayClient) -> None:
    beat(client)
    hub.sockets[-1].send("no JSON at all")
    hub.wait("ready", 2)
    hub.push({"type": "dead_attempts"})
    hub.wait("ready", 3)
    beat(client)


def test_a_drain_ends_the_pushing_and_gives_back_what_was_not_begun(hub: Hub, client: RelayClient) -> None:
    beat(client)
    hub.push(dispatch())
    hub.wait("job_ack")
    client.drain()
    assert hub.of("ready")[-1]["slots"] == 0
    assert [(item["attempt"], item["status"]) for item in hub.of("job_status")] == [(ATTEMPT, "released")]


def test_a_refused_join_is_told_and_not_tried_for_ever(hub: Hub, client: RelayClient) -> None:
    def refuse() -> str:
        raise HubRefused(403, "FORBIDDEN", "no", {})

    client.join = refuse
    with pytest.raises(HubRefused):
        beat(client)


def test_what_the_relay_has_no_words_for_goes_over_http() -> None:
    """A container's lines: the socket's messages are few and small."""
    with FakeHub() as http:
        http.tokens["t"] = {"name": "n"}
        client = RelayClient(http.url, threading.Event(), 1)
        client.adopt("t")
        answer = client.call("/logs", {"attempt_id": ATTEMPT, "fence": 1, "lines": []}, 5.0)
        client.close()
    assert answer == {"attempt_id": ATTEMPT, "live": False, "next": 1}
    assert [path for path, _ in http.calls] == ["/node/v1/logs"]


def test_an_inbox_prefers_the_job_at_hand_and_forgets_the_dead() -> None:
    inbox = Inbox()
    for number, job_id in enumerate(("x", "y", "x", "y")):
        inbox.put(work(f"a{number}", job_id), None)
    inbox.forget(["a3"])
    assert [item["attempt"]["attempt_id"] for item in inbox.take(2, "y")] == ["a1", "a0"]
    assert inbox.attempt_ids() == ["a2"]


def test_answers_that_nobody_waits_for_are_dropped() -> None:
    replies = Replies()
    number = replies.expect()
    replies.put(number + 7, {"type": "x"})
    replies.fail()
    with pytest.raises(Unanswered):
        replies.wait([number], 5)
    replies.drop([number])
    again = replies.expect()
    replies.put(again, {"type": "y"})
    assert replies.wait([again], 5) == [{"type": "y"}]
