"""The hub over its relay: work is pushed through one socket that this node opens, so it needs neither a broker nor an open port.

`RelayClient` answers the same calls as the client over HTTP, so agent, slots and delivery do not know the difference. Joining,
downloads and uploads still go over HTTP. The socket is opened again, with jittered back-off, for as long as the node runs; what
the node holds is told anew each time, and the hub answers what of it is dead.
"""

from __future__ import annotations

import json
import logging
import random
import threading
import time
from collections.abc import Callable
from typing import Any

import httpx
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidURI
from websockets.sync.client import ClientConnection, connect

from gpu_node.client import FIRST_DELAY_SECONDS, LONGEST_DELAY_SECONDS, HubAway, HubClient, HubRefused
from gpu_node.relay_inbox import Inbox, Replies, Unanswered

log = logging.getLogger(__name__)

SUBPROTOCOL = "lightyard.relay.v1"
PATH = "/api/v1/relay/ws/"
BAD_TOKEN, SUPERSEDED = 4001, 4003
MESSAGE_LIMIT_BYTES = 4 << 20
OPEN_SECONDS, KEEPALIVE_SECONDS = 15.0, 45.0
SUPERSEDED_SECONDS = 30.0
RETRY_SECONDS = 0.5
NEWS_EVERY = 10
NOT_NOW = frozenset({"UNAVAILABLE", "RATE_LIMITED"})
TROUBLES = (OSError, TimeoutError, InvalidHandshake, InvalidURI, ConnectionClosed, HubAway, HubRefused)


class RelayClient(HubClient):
    """Thread-safe. `node_id` is known once `join` has been called; `slots` units are taken when the node is idle; `on_work` is
    called with the id of a unit that was pushed; `held` names the attempts under way; `on_dead` is told of the dead."""

    def __init__(self, hub_url: str, stopping: threading.Event, slots: int, transport: httpx.BaseTransport | None = None) -> None:
        super().__init__(hub_url, stopping, transport)
        self._slots = slots
        self.node_id: Callable[[], str] = lambda: ""
        self.held: Callable[[], list[str]] = list
        self.on_work: Callable[[str], object] = lambda unit_id: None
        self.on_dead: Callable[[list[str]], None] = lambda attempts: None
        self._inbox, self._replies = Inbox(), Replies()
        self._ready = threading.Event()
        self._socket: ClientConnection | None = None
        self._asking, self._heartbeats, self._draining = 0, 0, False
        self._link: threading.Thread | None = None
        self._calls: dict[str, Callable[[dict[str, Any], float], dict[str, Any]]] = {
            "/claims": self._claims, "/progress": self._progress, "/results": self._results, "/failures": self._failures,
            "/releases": self._releases, "/heartbeat": self._heartbeat,
        }

    def call(self, path: str, body: dict[str, Any], patience_seconds: float) -> dict[str, Any]:
        """The same calls with the same answers, over the socket; those that it has no words for, over HTTP. Raises HubRefused or
        HubAway."""
        if path not in self._calls:
            return super().call(path, body, patience_seconds)
        self._current_token()
        self._start()
        return self._calls[path](body, patience_seconds)

    def drain(self) -> None:
        """No more work is to be pushed; what was pushed and not begun goes back."""
        self._draining = True
        waiting = self._inbox.take(len(self._inbox))
        messages = [self._status(item["attempt"]["attempt_id"], "released") for item in waiting]
        try:
            self._ask([{"type": "ready", "slots": 0}, *messages], RETRY_SECONDS * 4)
        except (HubAway, HubRefused) as trouble:
            log.warning("the hub could not be told of the drain", extra={"reason": str(trouble)})

    def close(self) -> None:
        socket = self._socket
        if socket is not None:
            socket.close()
        if self._link is not None:
            self._link.join(OPEN_SECONDS)
        super().close()

    def _start(self) -> None:
        with self._lock:
            if self._link is None:
                self._link = threading.Thread(target=self._keep_linked, name="relay", daemon=True)
                self._link.start()

    def _keep_linked(self) -> None:
        delay = FIRST_DELAY_SECONDS
        while not self._stopping.is_set():
            wait = delay * random.uniform(0.5, 1.5)
            delay = min(delay * 2, LONGEST_DELAY_SECONDS)
            try:
                if self._serve():
                    delay = FIRST_DELAY_SECONDS
            except ConnectionClosed as closed:
                code = closed.rcvd.code if closed.rcvd else None
                if code == SUPERSEDED:
                    log.error("another process works with this node's key; this one waits")
                    wait = SUPERSEDED_SECONDS
            except TROUBLES as trouble:
                log.warning("no link to the hub, trying again", extra={"trouble": f"{type(trouble).__name__}: {trouble}"})
            except Exception:
                # Whatever stood in one message, a node without this thread would be silent for good.
                log.exception("the link to the hub met an unexpected error")
            self._stopping.wait(wait)

    def _serve(self) -> bool:
        """One connection from its opening to its end; whether the hub spoke to it."""
        token = self._current_token()
        url = self._hub_url.replace("http", "ws", 1) + PATH + self.node_id()
        headers = {"Authorization": f"Bearer {token}"}
        was_ready = False
        try:
            with connect(url, additional_headers=headers, subprotocols=[SUBPROTOCOL], max_size=MESSAGE_LIMIT_BYTES,  # type: ignore[list-item]
                         open_timeout=OPEN_SECONDS, ping_interval=KEEPALIVE_SECONDS, ping_timeout=KEEPALIVE_SECONDS,
                         compression=None, proxy=None) as socket:
                self._socket = socket
                held = [*self.held(), *self._inbox.attempt_ids()]
                socket.send(json.dumps({"type": "ready", "slots": self._room(), "attempts": held, "request": 0}))
                for text in socket:
                    self._hear(json.loads(text))
                    was_ready = was_ready or self._ready.is_set()
        finally:
            self._socket = None
            self._ready.clear()
            self._replies.fail()
        code = socket.close_code
        if code == BAD_TOKEN:
            self._forget_token(token)
        log.info("the link to the hub ended", extra={"code": code, "reason": socket.close_reason})
        if code == SUPERSEDED:
            self._stopping.wait(SUPERSEDED_SECONDS)
        return was_ready

    def _room(self) -> int:
        return 0 if self._draining else self._slots

    def _hear(self, message: dict[str, Any]) -> None:
        kind = message.get("type")
        if kind in ("job_dispatch", "job_assign"):
            self._take(message)
        elif kind == "dead_attempts":
            self._bury(message["attempts"])
        elif kind == "ready_ack" and message.get("request") == 0:
            self._bury(message["dead_attempts"])
            self._ready.set()
        elif "request" in message:
            self._replies.put(message["request"], message)
        elif kind == "error":
            log.warning("the hub refused a message", extra={"code": message.get("code"), "reason": message.get("detail")})

    def _take(self, message: dict[str, Any]) -> None:
        work = message.get("work")
        if work is None:
            log.error("a job without its work was pushed; it is left to others", extra={"job_id": message.get("job_id")})
            return
        self._inbox.put(work, message["result_ref"])
        socket = self._socket
        if socket is not None:
            socket.send(json.dumps({"type": "job_ack", "job_id": message["job_id"], "attempt": message["attempt"]}))
        if not self._asking:
            self.on_work(work["attempt"]["unit_id"])

    def _bury(self, attempts: list[str]) -> None:
        self._inbox.forget(attempts)
        self.on_dead(attempts)

    def _ask(self, messages: list[dict[str, Any]], patience_seconds: float) -> list[dict[str, Any]]:
        """Sends messages and waits for the answer to each; again after a broken link. Raises HubAway."""
        deadline = time.monotonic() + patience_seconds
        trouble = "no link"
        while True:
            if self._stopping.is_set() or not self._ready.wait(max(0.0, min(RETRY_SECONDS, deadline - time.monotonic()))):
                if self._stopping.is_set() or time.monotonic() >= deadline:
                    raise HubAway(f"relay: {trouble}")
                continue
            try:
                answers = self._ask_once(messages, max(RETRY_SECONDS, deadline - time.monotonic()))
            except (Unanswered, ConnectionClosed, OSError) as broken:
                trouble = str(broken) or type(broken).__name__
                if time.monotonic() >= deadline:
                    raise HubAway(f"relay: {trouble}") from broken
                continue
            if not any(answer.get("code") in NOT_NOW for answer in answers) or time.monotonic() >= deadline:
                return answers
            trouble = "the hub can't do it now"
            self._stopping.wait(RETRY_SECONDS)

    def _ask_once(self, messages: list[dict[str, Any]], seconds: float) -> list[dict[str, Any]]:
        socket = self._socket
        if socket is None:
            raise Unanswered("the link broke")
        numbers = [self._replies.expect() for _ in messages]
        try:
            for number, message in zip(numbers, messages, strict=True):
                socket.send(json.dumps({**message, "request": number}))
            return self._replies.wait(numbers, seconds)
        finally:
            self._replies.drop(numbers)

    def _claims(self, body: dict[str, Any], patience_seconds: float) -> dict[str, Any]:
        """What was pushed; a node that is at work asks for more. An idle one does not: it is told."""
        taken = self._inbox.take(body["limit"], body.get("job_id"))
        if not taken and self.held() and not self._draining:
            self._asking += 1
            try:
                more = {"type": "ready", "slots": self._room(), "more": body["limit"], "job_id": body.get("job_id")}
                _raise_refusals(self._ask([more], patience_seconds))
            finally:
                self._asking -= 1
            taken = self._inbox.take(body["limit"], body.get("job_id"))
        return {"jobs": {item["job"]["job_id"]: item["job"] for item in taken}, "attempts": [item["attempt"] for item in taken]}

    def _progress(self, body: dict[str, Any], patience_seconds: float) -> dict[str, Any]:
        reports = body["reports"]
        messages = [self._status(item["attempt_id"], "running", progress=item["progress"], seconds=item["seconds"])
                    for item in reports]
        answers = self._ask(messages, patience_seconds)
        return {"reports": [{"attempt_id": item["attempt_id"], "live": answer["type"] == "job_ack", "lease_until": None}
                            for item, answer in zip(reports, answers, strict=True)]}

    def _results(self, body: dict[str, Any], patience_seconds: float) -> dict[str, Any]:
        items = body["results"]
        messages = [{**item, "type": "job_result", "status": "completed", **self._inbox.names_of(item["attempt_id"])}
                    for item in items]
        answers = self._ask(messages, patience_seconds)
        return {"results": [_result(item["attempt_id"], answer) for item, answer in zip(items, answers, strict=True)]}

    def _failures(self, body: dict[str, Any], patience_seconds: float) -> dict[str, Any]:
        items = body["failures"]
        messages = [{"type": "job_result", "status": "failed", "code": item["code"], "error_message": item["message"],
                     **{name: item[name] for name in ("exit_code", "seconds") if name in item},
                     **self._inbox.names_of(item["attempt_id"])} for item in items]
        answers = self._ask(messages, patience_seconds)
        return {"failures": [{"attempt_id": item["attempt_id"], "accepted": answer["type"] == "job_ack"}
                             for item, answer in zip(items, answers, strict=True)]}

    def _releases(self, body: dict[str, Any], patience_seconds: float) -> dict[str, Any]:
        answers = self._ask([self._status(item["attempt_id"], "released") for item in body["attempts"]], patience_seconds)
        return {"released": sum(answer["type"] == "job_ack" for answer in answers)}

    def _heartbeat(self, body: dict[str, Any], patience_seconds: float) -> dict[str, Any]:
        """The pings keep this node alive at the hub; its machine is told now and then."""
        message = {"type": "heartbeat_ping", "current_load": body["current_load"], "attempts": body["attempts"]}
        if self._heartbeats % NEWS_EVERY == 0 or body["draining"]:
            message |= {"machine": body["machine"], "draining": body["draining"]}
        self._heartbeats += 1
        (answer,) = _raise_refusals(self._ask([message], patience_seconds))
        return answer

    def _status(self, attempt_id: str, word: str, **facts: Any) -> dict[str, Any]:
        names = self._inbox.names_of(attempt_id)
        return {"type": "job_status", "job_id": names["job_id"], "attempt": attempt_id, "status": word, **facts}


def _raise_refusals(answers: list[dict[str, Any]]) -> list[dict[str, Any]]:
    for answer in answers:
        if answer["type"] == "error":
            raise HubRefused(0, str(answer.get("code")), str(answer.get("detail")), answer)
    return answers


def _result(attempt_id: str, answer: dict[str, Any]) -> dict[str, Any]:
    if answer["type"] == "job_ack":
        return {"attempt_id": attempt_id, "accepted": True, "unit_state": "completed"}
    error = {"code": answer.get("code"), "message": answer.get("detail"), "retryable": bool(answer.get("retryable"))}
    return {"attempt_id": attempt_id, "accepted": False, "error": error}
