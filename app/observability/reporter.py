"""Tells what this process has counted, and how it is, to all API processes: over Valkey, every few seconds.

Counts are *added* to one hash for all processes, so a sum never falls when a process ends, and begins at 0 only where Valkey was
emptied. A report whose answer was lost is told again, and may count twice; what a killed process had not told is lost.
"""

import hashlib
import json
import os
import resource
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator

import redis
import structlog

from app import counts
from app.core.figures import Figure
from app.counts import FAMILIES, Field
from app.db import Database

log = structlog.get_logger()
REPORT_SECONDS, ALIVE_SECONDS, FORGOTTEN_SECONDS = 5.0, 20.0, 600.0
KEPT_SECONDS = 30 * 86_400
ROLES = ("api", "worker", "beat", "poller")
# Other edges or labels are other sums: after an update the new processes begin anew beside what the old ones still count.
COUNTS = f"lightyard.counts:{hashlib.sha256(repr(FAMILIES).encode()).hexdigest()[:12]}"
PROCESSES = "lightyard.processes"
Gauges = Callable[[], Iterator[Figure]]


def pool_gauges(role: str, database: Database, limit: int) -> Gauges:
    """The process's database connections; it may have `limit`."""

    def read() -> Iterator[Figure]:
        used, idle = database.pool_use()
        yield Figure("database_pool_connections", used, {"role": role, "state": "used"})
        yield Figure("database_pool_connections", idle, {"role": role, "state": "idle"})
        yield Figure("database_pool_limit", limit, {"role": role})

    return read


class Reporter:
    """`report` now, or `start` a thread that does; `stop` ends it with a last report. A forked process makes its own."""

    def __init__(self, cache: redis.Redis, role: str, *gauges: Gauges) -> None:
        self._cache, self._role, self._gauges = cache, role, gauges
        self._name = f"{role}:{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"
        self._cpu_seconds = 0.0
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self.is_heard = True  # until a report says otherwise

    def report_to_scrape(self) -> bool:
        """The same for a scrape, which waits for a Valkey that does not answer once at most: then the thread tries on, alone."""
        return (self.is_heard or self._thread is None) and self.report()

    def report(self) -> bool:
        """False where Valkey is away: then nothing is lost, and the next report tells it."""
        with self._lock:
            gauges = self._read_gauges()
            self._count_processor()
            taken = counts.take()
            try:
                self._tell(taken, gauges)
            except redis.RedisError as error:
                self.is_heard = False
                counts.give_back(taken)
                log.warning("metrics.not_reported", role=self._role, error=str(error))
                return False
            self.is_heard = True
            return True

    def start(self) -> None:
        self._thread = threading.Thread(target=self._keep_reporting, name="reporter", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Tell what is left, and that this process is no more."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(REPORT_SECONDS)
        if self.report():
            try:
                self._cache.hdel(PROCESSES, self._name)
            except redis.RedisError as error:
                log.warning("metrics.not_signed_off", role=self._role, error=str(error))

    def _keep_reporting(self) -> None:
        while True:
            try:
                self.report()
            except Exception:  # noqa: BLE001  logged; the figures of a process must not end because one of them could not be read
                log.exception("metrics.report_failed", role=self._role)
            if self._stopping.wait(REPORT_SECONDS):
                return

    def _count_processor(self) -> None:
        used = time.process_time()
        counts.add("process_cpu_seconds", amount=used - self._cpu_seconds)
        self._cpu_seconds = used

    def _tell(self, taken: dict[Field, float], gauges: list[tuple[str, dict[str, str], float]]) -> None:
        pipe = self._cache.pipeline(transaction=True)
        for field, amount in taken.items():
            pipe.hincrbyfloat(COUNTS, _key(field, self._role), amount)
        pipe.expire(COUNTS, KEPT_SECONDS)
        pipe.hset(PROCESSES, self._name, json.dumps({"at": time.time(), "role": self._role, "gauges": gauges}))
        pipe.expire(PROCESSES, KEPT_SECONDS)
        pipe.execute()

    def _read_gauges(self) -> list[tuple[str, dict[str, str], float]]:
        found = [Figure("process_resident_bytes", _resident_bytes(), {"role": self._role})]
        for read in self._gauges:
            found += read()
        return [(figure.name, figure.labels, figure.value) for figure in found]


def _key(field: Field, role: str) -> str:
    labels = (*field.labels, role) if len(field.labels) < len(FAMILIES[field.name].labels) else field.labels
    return "|".join((field.name, field.part, *labels))


def _resident_bytes() -> int:
    with open("/proc/self/statm", "rb") as file:
        return int(file.read().split()[1]) * resource.getpagesize()
