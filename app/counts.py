"""What this process has counted and not told yet. Anybody may add to it, from any thread: it is a dictionary, and calls nobody.

`app.observability.reporter` takes it every few seconds and adds it up with what the hub's other processes have counted. Processes
that serve no HTTP (worker, beat, poller) are seen at /metrics by this alone.
"""

import re
import threading
from bisect import bisect_left
from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import NamedTuple

CALLS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
TASKS = (0.005, 0.025, 0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
WORK = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0)
PAYOUTS = (5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 900.0, 3600.0, 21_600.0, 86_400.0)
MOST_SERIES = 200  # of a family, of this process: labels are of known sets, so more would be a mistake of ours
OTHER = "other"
_LABEL = re.compile(r"[A-Za-z0-9_.:*-]{1,64}")


class Family(NamedTuple):
    """`buckets`: upper edges of a histogram, without the last, which is endless; a counter has none. `role` is told as a label
    by whoever takes the counts, for all that its process counts alike."""

    text: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


FAMILIES = {
    "attempts": Family("Attempts that ended, by how", ("outcome",)),
    "task_seconds": Family("How long the hub's Celery tasks ran, failed ones too", ("task",), TASKS),
    "task_failures": Family("Tasks that ended in an exception", ("task",)),
    "task_retries": Family("Tasks that asked to be run again", ("task",)),
    "tasks_expired": Family("Tasks that were too old when a thread was free for them", ("task",)),
    "chain_rpc_seconds": Family("Calls to the chains' RPC nodes, those that failed too", ("chain", "method"), CALLS),
    "chain_rpc_errors": Family("Calls without a clear answer, or with a node's own no", ("chain", "method", "kind")),
    "payout_seconds": Family("From a payout's creation to its confirmation", ("chain",), PAYOUTS),
    "database_work_seconds": Family("Units of work, from the first statement to the commit", ("role",), WORK),
    "process_cpu_seconds": Family("Processor time of the hub's processes", ("role",)),
}


class Field(NamedTuple):
    """One number of a family. `part`: "" for a counter, else "sum", or the index of a bucket, which counts what fell into it."""

    name: str
    labels: tuple[str, ...]
    part: str = ""


_lock = threading.Lock()
_counted: dict[Field, float] = {}
_series: dict[str, set[tuple[str, ...]]] = {}


def add(name: str, *labels: str, amount: float = 1) -> None:
    """Count so much more. An amount of 0 makes a series that is there before its first event, so that this is seen as a rise."""
    with _lock:
        _add(Field(name, _bounded(name, labels)), amount)


def observe(name: str, value: float, *labels: str) -> None:
    """Count one more value of a histogram; the last bucket takes what is above all edges."""
    with _lock:
        bounded = _bounded(name, labels)
        _add(Field(name, bounded, str(bisect_left(FAMILIES[name].buckets, value))), 1)
        _add(Field(name, bounded, "sum"), value)


def _add(field: Field, amount: float) -> None:
    _counted[field] = _counted.get(field, 0) + amount


def _bounded(name: str, labels: tuple[str, ...]) -> tuple[str, ...]:
    found = tuple(label if _LABEL.fullmatch(label) else OTHER for label in labels)
    known = _series.setdefault(name, set())
    if found not in known:
        if len(known) >= MOST_SERIES:
            return tuple(OTHER for _ in labels)
        known.add(found)
    return found


@contextmanager
def timed(name: str, *labels: str) -> Iterator[None]:
    """Observe how long the block takes, however it ends."""
    began = perf_counter()
    try:
        yield
    finally:
        observe(name, perf_counter() - began, *labels)


def take() -> dict[Field, float]:
    """All that was counted since the last time; it is the caller's now."""
    global _counted
    with _lock:
        taken, _counted = _counted, {}
        return taken


def give_back(taken: dict[Field, float]) -> None:
    """What could not be told is counted again."""
    with _lock:
        for field, amount in taken.items():
            _add(field, amount)
