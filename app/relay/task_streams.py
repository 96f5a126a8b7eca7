"""RoboCompute's `WS /api/v1/tasks/{id}/stream`: an owner follows a task, whichever process serves the socket.

In:  {action: subscribe, task_id, after?, logs?, logs_after?} · {action: ping}
Out: {type: update, task_id, sequence, status, progress, …}: each change, from the present one on or from the one after `after`
     · {type: logs, task_id, logs: […]}, where `logs` is true: each line kept, or those after `logs_after` · pong · error

The socket is closed after the update that says that the task is over: after all lines that the hub has by then, which is all of
them unless the hub itself ended the task; what its host had still to tell is in the task's log. A socket that subscribes again
goes on from where it is or further on, at most once a second, and an account has so many sockets and no more (`seats.py`).
Whoever was cut off connects again and subscribes with the last `sequence` of both: the numbers have no gaps, so nothing is missed
and nothing comes twice.
"""

import json
import math
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from flask import Flask, Response, request

from app.core import task_changes, task_logs
from app.core.task_logs import Page
from app.db import Session
from app.errors import Forbidden, InvalidInput, LightyardError, NotFound, RateLimited, Unauthenticated
from app.models.task_logs import TaskChange, TaskLogLine
from app.relay.exchange import Exchange, take_from_server
from app.relay.handshakes import Upgraded, shake_hands
from app.relay.lines import GARBAGE, Goodbye, Limits, Line
from app.relay.seats import Seat, Seats
from app.relay.worker_metrics import refusal
from app.values.json_text import read_json
from app.wiring import Hub

PATH = "/api/v1/tasks/<task_id>/stream"
OVER = Goodbye(1000, "over", "the task is over")
MESSAGE_BYTES, MESSAGES_PER_SECOND, REFUSALS_LIMIT = 16_384, 10, 10
LINES_AT_ONCE, LOG_MESSAGE_BYTES = 200, 65_536
RENEW_SECONDS, READER_SECONDS, RESUBSCRIBE_SECONDS = 60.0, 0.25, 1.0
NUMBER_LIMIT = 2**53


class Admitted(Protocol):
    """Whose socket it is, which task it may follow, and what its handshake says beside; `renew` asks again: Unauthenticated or
    Forbidden where it may not any more."""

    @property
    def account_id(self) -> uuid.UUID: ...

    @property
    def job_id(self) -> uuid.UUID: ...

    @property
    def headers(self) -> Mapping[str, str]: ...

    @property
    def renew(self) -> Callable[[Session], None]: ...


class Words(Protocol):
    """How the dialect writes."""

    def update(self, change: TaskChange) -> dict[str, Any]: ...

    def is_over(self, change: TaskChange) -> bool: ...

    def line(self, line: TaskLogLine) -> dict[str, Any]: ...

    def error(self, code: str, message: str, details: dict[str, Any]) -> dict[str, Any]: ...


Admit = Callable[[Session, str], Admitted]


class Streams:
    """What all sockets of this process share."""

    def __init__(self, hub: Hub, words: Words) -> None:
        self.hub, self.words = hub, words
        settings = hub.settings
        self.seats = Seats(hub.cache, settings.task_streams_per_account)
        self.exchange = Exchange(
            Limits(
                ping_seconds=settings.relay_ping_seconds,
                silence_seconds=settings.relay_silence_seconds,
                message_bytes=MESSAGE_BYTES,
                messages_per_second=MESSAGES_PER_SECOND,
                waiting_bytes=settings.relay_waiting_bytes,
            )
        )


def install(app: Flask, hub: Hub, admit: Admit, words: Words) -> None:
    """Serve the streams; `admit` knows the request's caller and task, and refuses as any other route does."""
    streams = Streams(hub, words)
    app.extensions["lightyard_task_streams"] = streams

    @app.route(PATH, websocket=True, endpoint="robocompute_stream")
    def connect(task_id: str) -> Response:
        with hub.database.unit_of_work() as session:
            admitted = admit(session, task_id)
        greeting = shake_hands(admitted.headers)
        follower = Follower(app, streams, admitted)
        follower.seat = streams.seats.take(admitted.account_id)
        socket = take_from_server(request.environ)
        if socket is None:
            streams.seats.leave(follower.seat)
            raise InvalidInput("this server can't serve websockets; run it under gunicorn's gevent worker, without its TLS")
        follower.line = streams.exchange.attach(socket, follower, greeting)
        return Upgraded(status=101)


class Follower:
    """One socket. What it says, what there is to tell it, and its end come one after the other."""

    __slots__ = (
        "_app", "_streams", "_job_id", "_renew", "line", "seat", "after", "logs_after",
        "_is_due", "_lines_told", "_subscribed_at", "_renewed_at", "_refusals",
    )  # fmt: skip

    def __init__(self, app: Flask, streams: Streams, admitted: Admitted) -> None:
        self._app, self._streams = app, streams
        self._job_id, self._renew = admitted.job_id, admitted.renew
        self.line: Line | None = None
        self.seat: Seat | None = None
        self.after: int | None = None
        self.logs_after: int | None = None
        self._is_due = False
        self._lines_told = 0
        self._subscribed_at: float | None = None
        self._renewed_at = time.monotonic()
        self._refusals = 0

    def hear(self, text: bytes) -> None:
        try:
            message = read_json(text)
            if not isinstance(message, dict) or message.get("action") not in ("subscribe", "ping"):
                raise InvalidInput("a message is an object whose action is subscribe or ping")
            if message["action"] == "ping":
                self._tell({"type": "pong"})
            else:
                self._subscribe(message)
        except LightyardError as error:
            self._refuse(error)

    def pong(self) -> None:
        """A sign of life, which the exchange has noted."""

    def closed(self, goodbye: Goodbye) -> None:
        self._streams.hub.task_news.leave(self._job_id, self.notice)
        self.line = None
        if self.seat is not None:
            self._streams.seats.leave(self.seat)

    def notice(self) -> None:
        """There may be something to tell. Said any number of times before it is looked at, it is looked at once."""
        if self.line is not None and not self._is_due:
            self._is_due = True
            self._streams.exchange.submit(self.line, self._catch_up)

    def _subscribe(self, message: dict[str, Any]) -> None:
        named = message.get("task_id", str(self._job_id))
        if str(named).lower() != str(self._job_id):
            details = {"task_id": str(named)[:100]}
            raise NotFound("this socket follows another task; open one for that", code="TASK_NOT_FOUND", details=details)
        after, logs_after = _number(message, "after"), _number(message, "logs_after")
        self._assert_may_ask(after, logs_after)
        self._streams.hub.task_news.follow(self._job_id, self.notice)
        with self._streams.hub.database.read_only() as session:
            now_is = task_changes.latest(session, self._job_id)
        is_told = after is not None and after >= now_is.sequence
        if after is None or (is_told and self._streams.words.is_over(now_is)):
            self.after = now_is.sequence - 1  # who subscribes to what is over is told so, and never waits for nothing
        else:
            self.after = min(after, now_is.sequence)
        self.logs_after = max(logs_after or 0, self._lines_told) if message.get("logs") is True else None
        self.notice()

    def _assert_may_ask(self, after: int | None, logs_after: int | None) -> None:
        """Asking is cheap and the answer is not: a socket that has subscribed may go forwards, and not often."""
        now, before = time.monotonic(), self._subscribed_at
        if before is not None and now - before < RESUBSCRIBE_SECONDS:
            message = "this socket has just subscribed; it may do so once a second"
            raise RateLimited(message, details={"retry_after": math.ceil(RESUBSCRIBE_SECONDS)})
        told = {"after": (after, self.after or 0), "logs_after": (logs_after, self._lines_told)}
        for name, (asked, is_told) in told.items():
            if asked is not None and asked < is_told:
                raise InvalidInput(f"this socket was told up to {name} {is_told} and only goes on; open another to read again")
        self._subscribed_at = now

    def _catch_up(self) -> None:
        """Tell what came since, a page at a time: other sockets have their turn between."""
        self._is_due = False
        line = self.line
        if line is None or not line.is_open or self.after is None or not self._may_follow():
            return
        if line.outbox:  # told faster than it reads: it goes on from its numbers once that is read
            self._later()
            return
        with self._streams.hub.database.read_only() as session:
            changes = task_changes.since(session, self._job_id, self.after)
            wants_lines = self.logs_after is not None
            page = task_logs.read(session, self._job_id, self.logs_after or 0, LINES_AT_ONCE) if wants_lines else None
        is_behind = page is not None and not self._tell_lines(page)
        for number, change in enumerate(changes.rows):
            is_over = self._streams.words.is_over(change)
            if is_over and is_behind:
                break  # every line comes before the end
            skipped = {"skipped": changes.skipped} if changes.skipped and not number else {}
            self._tell({"type": "update", **self._streams.words.update(change), **skipped})
            self.after = change.sequence
            if is_over:
                self._streams.exchange.close(line, OVER)
                return
        if is_behind or changes.has_more:
            self.notice()

    def _tell_lines(self, page: Page) -> bool:
        """Whether that was all there is, as far as anybody knows."""
        told: list[str] = []
        size = 0
        if not page.lines:
            self.logs_after = page.last  # a number that is still to come counts as the last one
        skipped = page.skipped
        for line in page.lines:
            text = json.dumps(self._streams.words.line(line), ensure_ascii=False)
            if told and size + len(text) > LOG_MESSAGE_BYTES:
                self._tell_logs(told, skipped)
                told, size, skipped = [], 0, 0
                if self.line is None or self.line.outbox:
                    return False
            told.append(text)
            size += len(text)
            self.logs_after = self._lines_told = line.sequence
        if told:
            self._tell_logs(told, skipped)
        return len(page.lines) < LINES_AT_ONCE

    def _tell_logs(self, lines: list[str], skipped: int) -> None:
        head = {"type": "logs", "task_id": str(self._job_id)} | ({"skipped": skipped} if skipped else {})
        self._send(json.dumps(head)[:-1] + ', "logs": [' + ", ".join(lines) + "]}")

    def _tell(self, message: dict[str, Any]) -> None:
        self._send(json.dumps(message))

    def _send(self, text: str) -> None:
        if self.line is not None:
            self._streams.exchange.send(self.line, text)

    def _refuse(self, error: LightyardError) -> None:
        self._refusals += 1
        if self._refusals > REFUSALS_LIMIT and self.line is not None:
            self._streams.exchange.close(self.line, GARBAGE)
            return
        said = error.message.replace("the body", "the message")
        self._tell({"type": "error", **self._streams.words.error(error.code, said, error.details)})

    def _may_follow(self) -> bool:
        """A token that is over, a key that was revoked: each ends its sockets within about a minute."""
        if time.monotonic() - self._renewed_at < RENEW_SECONDS or self.line is None:
            return True
        try:
            with self._app.app_context(), self._streams.hub.database.read_only() as session:
                self._renew(session)
        except (Unauthenticated, Forbidden) as error:
            self._streams.exchange.close(self.line, refusal(error))
            return False
        self._renewed_at = time.monotonic()
        return True

    def _later(self) -> None:
        timer = threading.Timer(READER_SECONDS, self.notice)
        timer.daemon = True
        timer.start()


def _number(message: dict[str, Any], name: str) -> int | None:
    value = message.get(name)
    if value is not None and (type(value) is not int or not 0 <= value <= NUMBER_LIMIT):
        raise InvalidInput(f"{name} must be the sequence that came last, a whole number of 0 or more")
    return value
