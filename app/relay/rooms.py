"""Who listens to what in this process, fed by one subscription to the events of all processes."""

import json
import threading
import time
from collections.abc import Callable
from typing import Any, Protocol

import redis
import structlog

from app.adapters.publisher import EVENTS_CHANNEL

log = structlog.get_logger()
SUBSCRIBE_SECONDS = 5
PROGRESS_SECONDS = 0.5
TRACKED_JOBS = 10_000


class Listener(Protocol):
    def put(self, message: dict[str, Any]) -> None: ...


Describe = Callable[[dict[str, Any]], dict[str, dict[str, Any]]]
"""An event to {room: message}."""


class Rooms:
    """Listeners by room. `describe(event)` says which rooms an event is for, and in which words; `resync(room, listener)` tells
    one listener the present state, after events may have been missed."""

    def __init__(self, cache: redis.Redis, describe: Describe, resync: Callable[[str, Listener], None]) -> None:
        self._cache, self._describe, self._resync = cache, describe, resync
        self._lock = threading.Lock()
        self._rooms: dict[str, set[Listener]] = {}
        self._thread: threading.Thread | None = None
        self._subscribed = threading.Event()
        self._progress_at: dict[str, float] = {}

    def join(self, room: str, listener: Listener) -> None:
        """Listen from now on. The first one starts the subscription, and waits until it stands, so that nothing falls between
        what is read from the database after this and the first event."""
        with self._lock:
            self._rooms.setdefault(room, set()).add(listener)
            if self._thread is None:
                self._thread = threading.Thread(target=self._listen, daemon=True, name="relay-events")
                self._thread.start()
        self._subscribed.wait(SUBSCRIBE_SECONDS)

    def leave(self, room: str, listener: Listener) -> None:
        with self._lock:
            self._rooms.get(room, set()).discard(listener)
            if not self._rooms.get(room):
                self._rooms.pop(room, None)

    def _listen(self) -> None:
        is_first = True
        while True:
            try:
                with self._cache.pubsub() as channel:
                    channel.subscribe(EVENTS_CHANNEL)
                    while True:
                        message = channel.get_message(timeout=30)
                        if message is None:
                            continue
                        if message["type"] == "subscribe":
                            self._subscribed.set()
                            if not is_first:
                                self._resync_all()
                            is_first = False
                        elif message["type"] == "message":
                            self._deliver(message["data"])
            except (redis.RedisError, OSError) as error:
                log.warning("relay.events_away", error=str(error))
                self._subscribed.clear()
                time.sleep(1)  # Valkey is away: nothing tells when it is back, so ask again in a second

    def _resync_all(self) -> None:
        with self._lock:
            listening = [(room, listener) for room, listeners in self._rooms.items() for listener in listeners]
        for room, listener in listening:
            self._guarded(lambda room=room, listener=listener: self._resync(room, listener))  # type: ignore[misc]

    def _deliver(self, data: str) -> None:
        with self._lock:
            if not self._rooms:
                return
        self._guarded(lambda: self._tell(json.loads(data)))

    def _tell(self, event: dict[str, Any]) -> None:
        if event["type"] == "job:progress" and not self._is_due(event["job_id"]):
            return
        for room, message in self._describe(event).items():
            with self._lock:
                listeners = list(self._rooms.get(room, ()))
            for listener in listeners:
                listener.put(message)

    def _is_due(self, job_id: str) -> bool:
        """Progress is told twice a second at most: hundreds of frames may report at once."""
        now = time.monotonic()
        if now - self._progress_at.get(job_id, 0.0) < PROGRESS_SECONDS:
            return False
        if len(self._progress_at) > TRACKED_JOBS:
            self._progress_at.clear()
        self._progress_at[job_id] = now
        return True

    def _guarded(self, action: Callable[[], None]) -> None:
        """One event that can't be told must not silence all sockets of this process; listeners are told again on sign-in."""
        try:
            action()
        except Exception:
            log.exception("relay.event_lost")
