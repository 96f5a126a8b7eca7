"""Polls Cocoon workers: takes those whose turn has come, asks them all at once, writes what they said in few statements, tells
it to whoever watches, and keeps the exposition and the history."""

import asyncio
import socket
from collections.abc import Awaitable, Callable

import redis
import structlog

from app import pulse
from app.adapters import worker_news
from app.adapters.cocoon_worker import CocoonWorkerClient
from app.adapters.exposition_shelf import ExpositionShelf
from app.adapters.turns import turn
from app.config import Settings
from app.core import cocoon_workers, worker_gpus, worker_history
from app.core.cocoon_workers import DueWorker
from app.core.worker_history import Kept
from app.errors import LightyardError
from app.flows import worker_polls
from app.flows.worker_polls import Polled
from app.observability import worker_exposition
from app.values.worker_health import Thresholds
from app.wiring import Hub

log = structlog.get_logger()
LOOK_SECONDS, TIDY_SECONDS, PULSE_SECONDS = 0.5, 60.0, 5.0
TAKEN_AT_ONCE, MOST_IN_FLIGHT = 500, 1000
TURN_SECONDS = 60.0
EXPOSITION_LIVES = 4  # scrape intervals until it is too old to be true


def thresholds(settings: Settings) -> Thresholds:
    return Thresholds(
        settings.worker_late_seconds, settings.worker_lost_seconds, settings.worker_failing_percent, settings.worker_hot_celsius
    )


class CocoonPoller:
    """Run by `run` until `stopping` is set; what is under way then is finished and written."""

    def __init__(self, hub: Hub, client: CocoonWorkerClient | None = None, shelf: ExpositionShelf | None = None) -> None:
        settings = hub.settings
        self._hub, self._settings, self._limits = hub, settings, thresholds(settings)
        self._client = client or CocoonWorkerClient(
            settings.allow_private_endpoints, settings.worker_timeout_seconds, settings.worker_answer_bytes
        )
        self._shelf = shelf or ExpositionShelf(settings.redis_url)
        self._hosts = worker_gpus.Hosts((), "")
        self._in_flight: dict[int, asyncio.Task[None]] = {}
        self._done: dict[int, Polled] = {}
        self.polls = 0

    async def run(self, stopping: asyncio.Event) -> None:
        """Everything, side by side; each part goes on when something of it fails."""
        settings = self._settings
        parts = (
            (self._take, LOOK_SECONDS),
            (self._write, LOOK_SECONDS),
            (self._look_at_hosts, float(settings.worker_poll_seconds)),
            (self._expose, float(settings.metrics_scrape_seconds)),
            (self._tidy, TIDY_SECONDS),
            (self._turn, PULSE_SECONDS),
        )
        await self._look_at_hosts_first()
        await asyncio.gather(*(self._repeat(part, seconds, stopping) for part, seconds in parts))
        if self._in_flight:
            await asyncio.wait(self._in_flight.values(), timeout=settings.worker_timeout_seconds)
        await self._guarded(self._write)
        self._client.close()

    async def _look_at_hosts_first(self) -> None:
        await self._guarded(self._look_at_hosts)

    async def _repeat(self, part: Callable[[], Awaitable[None]], seconds: float, stopping: asyncio.Event) -> None:
        loop = asyncio.get_running_loop()
        while not stopping.is_set():
            began = loop.time()
            await self._guarded(part)
            try:
                await asyncio.wait_for(stopping.wait(), max(0.0, seconds - (loop.time() - began)))
            except TimeoutError:
                continue

    async def _guarded(self, part: Callable[[], Awaitable[None]]) -> None:
        """What can't be done now is done the next time: the database or the cache may be away."""
        try:
            await part()
        except (LightyardError, redis.RedisError) as error:
            log.warning("poller.not_now", part=part.__name__, error=str(error))
        except Exception:  # noqa: BLE001  logged; the other parts, and all other workers, must go on
            log.exception("poller.failed", part=getattr(part, "__name__", "?"))

    async def _turn(self) -> None:
        pulse.touch(self._settings.pulse_folder, "poller")

    async def _take(self) -> None:
        room = min(TAKEN_AT_ONCE, MOST_IN_FLIGHT - len(self._in_flight))
        if room <= 0:
            return
        for worker in await asyncio.to_thread(self._take_due, room):
            if worker.id not in self._in_flight:
                self._in_flight[worker.id] = asyncio.create_task(self._poll(worker))

    def _take_due(self, limit: int) -> list[DueWorker]:
        with self._hub.database.one_by_one() as session:
            return cocoon_workers.take_due(session, self._settings.worker_poll_seconds, limit)

    async def _poll(self, worker: DueWorker) -> None:
        try:
            self._done[worker.id] = await worker_polls.poll(self._client, worker, self._hosts, self._limits)
            self.polls += 1
        except Exception:  # noqa: BLE001  one worker's surprise must not stop the others
            log.exception("poller.poll_failed", worker_id=worker.id)
        finally:
            self._in_flight.pop(worker.id, None)

    async def _write(self) -> None:
        """A lot that can't be written is dropped: the next poll counts from what was written last, so nothing is lost by it."""
        done, self._done = self._done, {}
        if done:
            await asyncio.to_thread(self._note, list(done.values()))

    def _note(self, done: list[Polled]) -> None:
        """A lot that the database refuses is written by halves, so that only the one it is about is left out."""
        try:
            with self._hub.database.unit_of_work() as session:
                counted = cocoon_workers.note(session, [worker_polls.row(polled) for polled in done])
        except LightyardError:
            raise
        except Exception:  # noqa: BLE001  logged for the one it is about
            if len(done) == 1:
                log.exception("poller.not_written", worker_id=done[0].worker.id)
                return
            middle = len(done) // 2
            self._note(done[:middle])
            self._note(done[middle:])
            return
        told = [worker_polls.live(polled) for polled in done if polled.worker.id in counted]
        if told:
            worker_news.tell(self._hub.cache, told)

    async def _look_at_hosts(self) -> None:
        self._hosts = await asyncio.to_thread(self._read_hosts)

    def _read_hosts(self) -> worker_gpus.Hosts:
        with self._hub.database.read_only() as session:
            return worker_gpus.read(session, self._settings.node_unhealthy_seconds, socket.gethostname())

    async def _expose(self) -> None:
        await asyncio.to_thread(self._build_exposition)

    def _build_exposition(self) -> None:
        """Once per interval over all pollers: the turn is kept for most of it."""
        seconds = self._settings.metrics_scrape_seconds
        if self._hub.cache.set("turn:worker-exposition", "1", nx=True, px=int(seconds * 900)) is None:
            return
        with self._hub.database.read_only() as session:
            rows = cocoon_workers.overview(session)
        self._shelf.put(worker_exposition.build(rows), seconds * EXPOSITION_LIVES)

    async def _tidy(self) -> None:
        await asyncio.to_thread(self._tidy_history)

    def _tidy_history(self) -> None:
        settings = self._settings
        kept = Kept(settings.worker_samples_hours, settings.worker_steps_hours, settings.worker_history_days)
        with turn(self._hub.cache, "worker-history", TURN_SECONDS) as is_ours:
            if not is_ours:
                return
            is_moving = True
            while is_moving:
                with self._hub.database.unit_of_work() as session:
                    is_moving = worker_history.lay_down(session)
            with self._hub.database.unit_of_work() as session:
                gone = worker_history.forget(session, kept)
        if gone:
            log.info("workers.history_forgotten", rows=gone)
