"""Cocoon's /ws/metrics: whoever watches workers is told of every poll, whichever process polled and whichever serves the socket.

In:  {type: subscribe, worker_ids: [1, 2] | null} · {type: ping}
Out: {type: metrics, workers: […]}, at first and after each subscription of all that are watched, then of those that were polled
     · subscribed · pong · error
"""

import json
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any, Protocol

import redis
import structlog
from flask import Flask, Response, request

from app.adapters.worker_news import WORKERS_CHANNEL
from app.core import cocoon_workers
from app.db import Session
from app.errors import Forbidden, InvalidInput, LightyardError, Unauthenticated
from app.relay.exchange import Exchange, take_from_server
from app.relay.handshakes import Upgraded, shake_hands
from app.relay.lines import GARBAGE, TOO_SLOW, Goodbye, Limits, Line
from app.relay.rendertrust import STRANGER
from app.values.json_text import read_json
from app.wiring import Hub

log = structlog.get_logger()
PATH = "/ws/metrics"
SNAPSHOT_AT_ONCE, IDS_LIMIT, REFUSALS_LIMIT = 500, 10_000, 10
UNREAD_LIMIT = 3  # so often may somebody ask for all again who has not read what was told: a short message, a long answer
RENEW_SECONDS, LOOK_SECONDS, TOLD_AT_ONCE = 60.0, 15.0, 50
MESSAGE_BYTES, MESSAGES_PER_SECOND, REASON_BYTES = 131_072, 10, 120
Among = tuple[int, ...] | None


class Admitted(Protocol):
    """Of which participants a watcher may see workers, and how to ask again."""

    @property
    def among(self) -> Among: ...

    @property
    def renew(self) -> Callable[[Session], Among]: ...


Admit = Callable[[Session], Admitted]


def install(app: Flask, hub: Hub, admit: Admit) -> None:
    """Serve /ws/metrics; `admit` knows the request's credential."""
    settings = hub.settings
    limits = Limits(
        ping_seconds=settings.relay_ping_seconds,
        silence_seconds=settings.relay_silence_seconds,
        message_bytes=MESSAGE_BYTES,
        messages_per_second=MESSAGES_PER_SECOND,
        waiting_bytes=settings.metrics_waiting_bytes,
    )
    board = Board(app, hub, Exchange(limits))
    app.extensions["lightyard_watchers"] = board

    @app.route(PATH, websocket=True, endpoint="cocoon_metrics")
    def connect() -> Response:
        greeting = shake_hands()
        found = _admitted(hub, admit)
        socket = take_from_server(request.environ)
        if socket is None:
            raise InvalidInput("this server can't serve websockets; run it under gunicorn's gevent worker, without its TLS")
        if isinstance(found, Goodbye):
            board.exchange.close(board.exchange.attach(socket, STRANGER, greeting), found)
        else:
            watcher = Watcher(board, found)
            watcher.start(board.exchange.attach(socket, watcher, greeting))
        return Upgraded(status=101)


def _admitted(hub: Hub, admit: Admit) -> Admitted | Goodbye:
    """A browser is shown nothing of a refused handshake, so a refusal is a close code with its reason."""
    try:
        with hub.database.read_only() as session:
            return admit(session)
    except (Unauthenticated, Forbidden) as error:
        return refusal(error)


def refusal(error: LightyardError) -> Goodbye:
    """4001 for who is nobody, 4003 for who may not."""
    code, word = (4001, "bad_token") if isinstance(error, Unauthenticated) else (4003, "forbidden")
    return Goodbye(code, word, error.message.encode()[:REASON_BYTES].decode(errors="ignore"))


class Watcher:
    """One socket. What it says and its end come one after the other; the board tells it of polls."""

    __slots__ = ("_board", "_renew", "among", "only", "line", "renewed_at", "_refusals", "_unread")

    def __init__(self, board: "Board", admitted: Admitted) -> None:
        self._board, self._renew, self.among = board, admitted.renew, admitted.among
        self.only: frozenset[int] | None = None
        self.line: Line | None = None
        self.renewed_at = time.monotonic()
        self._refusals = self._unread = 0

    def start(self, line: Line) -> None:
        """Listen first, then show what is there: nothing falls between."""
        self.line = line
        self._board.exchange.submit(line, self._begin)

    def _begin(self) -> None:
        self._board.join(self)
        self._show()

    def hear(self, text: bytes) -> None:
        try:
            message = read_json(text)
            if not isinstance(message, dict) or message.get("type") not in ("subscribe", "ping"):
                raise InvalidInput("a message is an object whose type is subscribe or ping")
            if message["type"] == "ping":
                self.tell(json.dumps({"type": "pong"}))
            else:
                self._subscribe(_read_ids(message.get("worker_ids")))
        except LightyardError as error:
            self._refuse(error)

    def pong(self) -> None:
        """A sign of life, which the exchange has noted."""

    def closed(self, goodbye: Goodbye) -> None:
        self._board.leave(self)

    def tell(self, text: str) -> None:
        if self.line is not None:
            self._board.exchange.send(self.line, text)

    def say_goodbye(self, goodbye: Goodbye) -> None:
        if self.line is not None:
            self._board.exchange.close(self.line, goodbye)

    def renew(self, session: Session) -> None:
        """Whether it may still watch, and what; Unauthenticated or Forbidden where it may not."""
        self.among = self._renew(session)
        self.renewed_at = time.monotonic()

    def _refuse(self, error: LightyardError) -> None:
        self._refusals += 1
        if self._refusals > REFUSALS_LIMIT:
            self.say_goodbye(GARBAGE)
            return
        said = error.message.replace("the body", "the message")
        self.tell(json.dumps({"type": "error", "detail": said, "code": error.code}))

    def _subscribe(self, ids: frozenset[int] | None) -> None:
        """Only these from now on; what is another's, or is not there at all, is said to be unknown."""
        self._unread = self._unread + 1 if self.line is not None and self.line.outbox else 0
        if self._unread > UNREAD_LIMIT:
            self.say_goodbye(TOO_SLOW)
            return
        known: list[int] | None = None
        if ids is not None:
            with self._board.hub.database.read_only() as session:
                known = [worker.id for worker, _ in cocoon_workers.page(session, self.among, IDS_LIMIT, only=ids)]
        self.only = None if known is None else frozenset(known)
        unknown = sorted((ids or frozenset()) - frozenset(known or ()))
        self.tell(json.dumps({"type": "subscribed", "worker_ids": known, "unknown": unknown}))
        self._show()

    def _show(self) -> None:
        """All that is watched, as it is now, in lots."""
        offset = 0
        while True:
            with self._board.hub.database.read_only() as session:
                rows = cocoon_workers.page(session, self.among, SNAPSHOT_AT_ONCE, offset, only=self.only)
                told = [cocoon_workers.described(*row) for row in rows]
            if told or not offset:
                self.tell(json.dumps({"type": "metrics", "workers": told}))
            if len(told) < SNAPSHOT_AT_ONCE:
                return
            offset += SNAPSHOT_AT_ONCE

    def show_again(self) -> None:
        if self.line is not None:
            self._board.exchange.submit(self.line, self._show)


def _read_ids(value: Any) -> frozenset[int] | None:
    if value is None:
        return None
    is_list = isinstance(value, list) and len(value) <= IDS_LIMIT
    if not is_list or any(type(item) is not int or abs(item) >= 2**31 for item in value):
        raise InvalidInput(f"worker_ids must be a list of at most {IDS_LIMIT} ids, or null for all")
    return frozenset(value)


class Board:
    """The watchers of this process, fed by one subscription to what all pollers tell."""

    def __init__(self, app: Flask, hub: Hub, exchange: Exchange) -> None:
        self._app, self.hub, self.exchange = app, hub, exchange
        self._lock = threading.Lock()
        self._watchers: set[Watcher] = set()
        self._threads: list[threading.Thread] = []
        self._subscribed, self._stopping = threading.Event(), threading.Event()

    def join(self, watcher: Watcher) -> None:
        """Tell it of polls from now on; returns once the subscription stands."""
        with self._lock:
            self._watchers.add(watcher)
            if not self._threads:  # with the first one, since a process that forks afterwards would lose its threads
                parts = (self._listen, self._renew)
                self._threads = [threading.Thread(target=part, daemon=True, name="watchers") for part in parts]
                for thread in self._threads:
                    thread.start()
        self._subscribed.wait(5)

    def leave(self, watcher: Watcher) -> None:
        with self._lock:
            self._watchers.discard(watcher)

    def stop(self) -> None:
        """For tests."""
        self._stopping.set()
        self.exchange.stop()

    def _everybody(self) -> list[Watcher]:
        with self._lock:
            return list(self._watchers)

    def _listen(self) -> None:
        is_first = True
        while not self._stopping.is_set():
            try:
                with self.hub.cache.pubsub() as channel:
                    channel.subscribe(WORKERS_CHANNEL)
                    while not self._stopping.is_set():
                        message = channel.get_message(timeout=5)
                        if message is not None and message["type"] == "subscribe":
                            self._subscribed.set()
                            if not is_first:  # what was told meanwhile was missed
                                for watcher in self._everybody():
                                    watcher.show_again()
                            is_first = False
                        elif message is not None:
                            self._guarded(lambda: self._tell(json.loads(message["data"])))  # noqa: B023  called at once
            except (redis.RedisError, OSError) as error:
                log.warning("watchers.news_away", error=str(error))
                self._stopping.wait(1)  # Valkey is away: nothing tells when it is back, so ask again in a second

    def _tell(self, workers: list[dict[str, Any]]) -> None:
        """Each sees what is its own. Those that see the same are told the same text, which is made once."""
        texts: dict[tuple[Among, frozenset[int] | None], str | None] = {}
        for number, watcher in enumerate(self._everybody(), 1):
            key = (watcher.among, watcher.only)
            if key not in texts:
                texts[key] = _message(workers, *key)
            text = texts[key]
            if text is not None:
                watcher.tell(text)
            if number % TOLD_AT_ONCE == 0:
                time.sleep(0)  # others may have their turn

    def _renew(self) -> None:
        """A token that is over, a key that was revoked, a sign-in that ended: each ends its sockets within about a minute."""
        while not self._stopping.wait(LOOK_SECONDS):
            self._guarded(self._renew_due)

    def _renew_due(self) -> None:
        before = time.monotonic() - RENEW_SECONDS
        for watcher in [found for found in self._everybody() if found.renewed_at < before]:
            try:
                with self._app.app_context(), self.hub.database.read_only() as session:
                    watcher.renew(session)
            except (Unauthenticated, Forbidden) as error:
                watcher.say_goodbye(refusal(error))

    def _guarded(self, action: Callable[[], None]) -> None:
        """One message that can't be told must not silence all sockets of this process."""
        try:
            action()
        except Exception:  # noqa: BLE001
            log.exception("watchers.failed")


def _message(workers: Iterable[dict[str, Any]], among: Among, only: frozenset[int] | None) -> str | None:
    """What somebody who sees these is told of a lot of polls; None where nothing of it is his."""
    own = [
        worker
        for worker in workers
        if (among is None or worker["participant_id"] in among) and (only is None or worker["worker_id"] in only)
    ]
    return json.dumps({"type": "metrics", "workers": own}) if own else None
