"""A provider that waits for work: it looks what is offered, says that it is there, and calls its handlers.

Each task is offered to the handlers once, and again only after it was gone for a while. A handler does all of it (accept, start,
report, complete or fail); one that fails is logged, and the next task comes. While `concurrency` handlers are busy nobody looks
for more work, but the heartbeats go on, and with them the leases of the tasks under way.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from robocompute.documents import Document
from robocompute.exceptions import RoboComputeError

log = logging.getLogger("robocompute")
POLL_SECONDS, HEARTBEAT_SECONDS = 5.0, 30.0
FORGOTTEN_SECONDS = 60.0  # offered again after it was not on offer for so long
Handler = Callable[[Document], Any]
AsyncHandler = Callable[[Document], Awaitable[Any]]


class Offers:
    """Which tasks were handed to a handler, and are not to be handed over again while they stay on offer."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._seen = clock, dict[str, float]()

    def choose(self, tasks: Iterable[Document], room: int) -> list[Document]:
        """Up to `room` tasks that are new, in their order; they count as handed over."""
        now, chosen = self._clock(), list[Document]()
        self._seen = {task_id: at for task_id, at in self._seen.items() if now - at < FORGOTTEN_SECONDS}
        for task in tasks:
            if task["task_id"] not in self._seen:
                if len(chosen) == room:
                    continue
                chosen.append(task)
            self._seen[task["task_id"]] = now
        return chosen


class Listener:
    """The thread of a provider that was started, and its handlers' threads."""

    def __init__(
        self,
        look: Callable[[], Document],
        beat: Callable[[int], object],
        handlers: list[Handler],
        concurrency: int = 1,
        poll_seconds: float = POLL_SECONDS,
        heartbeat_seconds: float | None = HEARTBEAT_SECONDS,
    ) -> None:
        self._look, self._beat, self._handlers = look, beat, handlers
        self._poll_seconds, self._heartbeat_seconds = poll_seconds, heartbeat_seconds
        self._offers, self._room = Offers(), concurrency
        self._busy: set[Future[None]] = set()
        self._over, self._finished = threading.Event(), threading.Event()
        self._pool = ThreadPoolExecutor(concurrency, thread_name_prefix="robocompute-task")
        self._threads = [threading.Thread(target=self._listen, name="robocompute-offers", daemon=True)]
        if heartbeat_seconds is not None:
            self._threads.append(threading.Thread(target=self._live, name="robocompute-heartbeat", daemon=True))

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self, wait: bool) -> None:
        """No task is begun any more. With `wait`, those under way are finished first, and heartbeats go on until then."""
        self._over.set()
        self._threads[0].join()
        self._pool.shutdown(wait=wait)
        self._finished.set()
        for thread in self._threads[1:]:
            thread.join()

    def _listen(self) -> None:
        while not self._over.is_set():
            room = self._room - len(self._busy)
            if room > 0:
                for task in self._offers.choose(_offered(self._look), room):
                    future = self._pool.submit(self._handle, task)
                    self._busy.add(future)
                    future.add_done_callback(self._busy.discard)
            self._over.wait(self._poll_seconds)

    def _live(self) -> None:
        while not self._finished.is_set():
            try:
                self._beat(len(self._busy))
            except RoboComputeError as error:
                log.warning("the heartbeat was not heard: %s", error)
            self._finished.wait(self._heartbeat_seconds)

    def _handle(self, task: Document) -> None:
        for handler in self._handlers:
            try:
                handler(task)
            except Exception:  # a handler is anything; the provider outlives it
                log.exception("the handler of task %s failed", task["task_id"])


class AsyncListener:
    """The same in an event loop: its handlers are coroutines, and run beside each other."""

    def __init__(
        self,
        look: Callable[[], Awaitable[Document]],
        beat: Callable[[int], Awaitable[object]],
        handlers: list[AsyncHandler],
        concurrency: int = 1,
        poll_seconds: float = POLL_SECONDS,
        heartbeat_seconds: float | None = HEARTBEAT_SECONDS,
    ) -> None:
        self._look, self._beat, self._handlers = look, beat, handlers
        self._poll_seconds, self._heartbeat_seconds = poll_seconds, heartbeat_seconds
        self._offers, self._room = Offers(), concurrency
        self._busy: set[asyncio.Task[None]] = set()
        self._loops: list[asyncio.Task[None]] = []

    def start(self) -> None:
        self._loops.append(asyncio.create_task(self._listen()))
        if self._heartbeat_seconds is not None:
            self._loops.append(asyncio.create_task(self._live(self._heartbeat_seconds)))

    async def stop(self, wait: bool) -> None:
        """No task is begun any more. With `wait`, those under way are finished first; else they are cancelled."""
        self._loops[0].cancel()
        for task in () if wait else tuple(self._busy):
            task.cancel()
        await asyncio.gather(*self._busy, return_exceptions=True)
        for loop in self._loops:
            loop.cancel()
        await asyncio.gather(*self._loops, return_exceptions=True)

    async def _listen(self) -> None:
        while True:
            room = self._room - len(self._busy)
            if room > 0:
                offered = list[Document]()
                try:
                    offered = (await self._look())["tasks"]
                except RoboComputeError as error:
                    log.warning("no offers could be read: %s", error)
                for task in self._offers.choose(offered, room):
                    running = asyncio.create_task(self._handle(task))
                    self._busy.add(running)
                    running.add_done_callback(self._busy.discard)
            await asyncio.sleep(self._poll_seconds)

    async def _live(self, seconds: float) -> None:
        while True:
            try:
                await self._beat(len(self._busy))
            except RoboComputeError as error:
                log.warning("the heartbeat was not heard: %s", error)
            await asyncio.sleep(seconds)

    async def _handle(self, task: Document) -> None:
        for handler in self._handlers:
            try:
                await handler(task)
            except Exception:  # a handler is anything; the provider outlives it
                log.exception("the handler of task %s failed", task["task_id"])


def _offered(look: Callable[[], Document]) -> list[Document]:
    try:
        found: list[Document] = look()["tasks"]
        return found
    except RoboComputeError as error:
        log.warning("no offers could be read: %s", error)
        return []
