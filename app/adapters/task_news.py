"""Who in this process follows which task, told by one subscription that there may be something new: a hint, never the news.

Whoever follows reads the database from where it has come to. A hint that was lost is made up for by the next look around.
"""

import json
import threading
import time
import uuid
from collections.abc import Callable

import redis
import structlog

from app.adapters.publisher import EVENTS_CHANNEL, TASKS_CHANNEL

log = structlog.get_logger()
LOOK_SECONDS = 15.0
TOLD_AT_ONCE = 50
Follower = Callable[[], None]
"""Told that there may be something new. It returns at once."""


class TaskNews:
    """`follow` a task, `leave` it. The thread starts with the first follower: a process that forks later would lose it."""

    def __init__(self, cache: redis.Redis) -> None:
        self._cache = cache
        self._lock = threading.Lock()
        self._followers: dict[str, set[Follower]] = {}
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()
        self._looked_at = time.monotonic()

    def follow(self, job_id: uuid.UUID, follower: Follower) -> None:
        """Hints from now on. Whenever the subscription stands, the first time too, everybody is given one, so nothing falls
        between what is read after this and the first real hint."""
        with self._lock:
            self._followers.setdefault(str(job_id), set()).add(follower)
            if self._thread is None:
                self._thread = threading.Thread(target=self._listen, daemon=True, name="task-news")
                self._thread.start()

    def leave(self, job_id: uuid.UUID, follower: Follower) -> None:
        """Leaving twice is harmless."""
        with self._lock:
            followers = self._followers.get(str(job_id), set())
            followers.discard(follower)
            if not followers:
                self._followers.pop(str(job_id), None)

    def wait(self, job_id: uuid.UUID, is_there: Callable[[], bool], seconds: float) -> bool:
        """Until `is_there`, asked at first and after each hint; False when it was not in time."""
        hint = threading.Event()
        deadline = time.monotonic() + seconds
        self.follow(job_id, hint.set)
        try:
            while not is_there():
                if not hint.wait(deadline - time.monotonic()):
                    return False
                hint.clear()
            return True
        finally:
            self.leave(job_id, hint.set)

    def stop(self) -> None:
        """For tests: the thread ends."""
        self._stopping.set()

    def _listen(self) -> None:
        while not self._stopping.is_set():
            try:
                with self._cache.pubsub() as channel:
                    channel.subscribe(EVENTS_CHANNEL, TASKS_CHANNEL)
                    while not self._stopping.is_set():
                        self._hear(channel.get_message(timeout=1))
            except (redis.RedisError, OSError) as error:
                log.warning("tasks.news_away", error=str(error))
                self._stopping.wait(1)  # Valkey is away: nothing tells when it is back, so ask again in a second
                self._guarded(self._look_around)

    def _hear(self, message: dict[str, str] | None) -> None:
        if message is not None and message["type"] == "subscribe":
            self._guarded(lambda: self._tell(None))  # what was told before this was missed
        elif message is not None and self._followers:
            self._guarded(lambda: self._tell(json.loads(message["data"])["job_id"]))
        self._guarded(self._look_around)

    def _look_around(self) -> None:
        if time.monotonic() - self._looked_at > LOOK_SECONDS:
            self._looked_at = time.monotonic()
            self._tell(None)

    def _tell(self, job_id: str | None) -> None:
        """The followers of one task, or all."""
        with self._lock:
            if job_id is None:
                told = [follower for followers in self._followers.values() for follower in followers]
            else:
                told = list(self._followers.get(job_id, ()))
        for number, follower in enumerate(told, 1):
            follower()
            if number % TOLD_AT_ONCE == 0:
                time.sleep(0)  # others may have their turn

    def _guarded(self, action: Callable[[], None]) -> None:
        """One message that can't be read must not silence all followers of this process."""
        try:
            action()
        except Exception:  # noqa: BLE001
            log.exception("tasks.news_lost")
