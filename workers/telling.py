"""What Celery does, in the metrics: how long tasks run, and which fail, ask for more, or were too old to be run.

The hub's worker runs its tasks on threads, so whoever counts and whoever reports are one process.
"""

import time
from collections.abc import Iterable
from typing import Any

from celery.signals import (
    beat_init,
    task_failure,
    task_postrun,
    task_prerun,
    task_retry,
    task_revoked,
    worker_ready,
    worker_shutdown,
)

from app import counts
from app.config import load
from app.observability.reporter import Reporter, pool_gauges
from app.values.states import AttemptState
from app.wiring import connect_cache
from workers.parts import hub

UNHEARD_OF = "unknown"
OURS = "hub."
_began: dict[str, float] = {}
_reporters: list[Reporter] = []


def connect() -> None:
    """Count the tasks of this process, and tell of them. Signals keep weak references, so these are functions with names."""
    task_prerun.connect(_begin)
    task_postrun.connect(_end)
    task_failure.connect(_fail)
    task_retry.connect(_retry)
    task_revoked.connect(_expire)
    worker_ready.connect(_report_worker)
    worker_shutdown.connect(_stop)
    beat_init.connect(_report_beat)


def _name(sender: Any) -> str:
    """A message can name any task; those that nobody wrote are one."""
    name = getattr(sender, "name", None)
    return name if isinstance(name, str) and name.startswith(OURS) else UNHEARD_OF


def _begin(task_id: str, **_: Any) -> None:
    _began[task_id] = time.perf_counter()


def _end(task_id: str, sender: Any = None, **_: Any) -> None:
    began = _began.pop(task_id, None)
    if began is not None:
        counts.observe("task_seconds", time.perf_counter() - began, _name(sender))


def _fail(sender: Any = None, **_: Any) -> None:
    counts.add("task_failures", _name(sender))


def _retry(sender: Any = None, **_: Any) -> None:
    counts.add("task_retries", _name(sender))


def _expire(sender: Any = None, expired: bool = False, **_: Any) -> None:
    if expired:
        counts.add("tasks_expired", _name(sender))


def _declare(tasks: Iterable[str]) -> None:
    """Series that are there before their first event, so that it is seen as a rise."""
    for task in tasks:
        if task.startswith(OURS):
            for family in ("task_failures", "task_retries", "tasks_expired"):
                counts.add(family, task, amount=0)
    for state in AttemptState:
        if state is not AttemptState.LIVE:
            counts.add("attempts", state.value, amount=0)


def _report_worker(sender: Any, **_: Any) -> None:
    _declare(sender.app.tasks)
    gauges = pool_gauges("worker", hub().database, 2 * hub().settings.database_pool_size)
    _start(Reporter(hub().cache, "worker", gauges))


def _report_beat(**_: Any) -> None:
    _start(Reporter(connect_cache(load().redis_url), "beat"))


def _start(reporter: Reporter) -> None:
    _reporters.append(reporter)
    reporter.start()


def _stop(**_: Any) -> None:
    while _reporters:
        _reporters.pop().stop()
