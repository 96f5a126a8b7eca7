"""The hub's tasks in logs and traces: what is logged on their way names the task, and the request that ordered it."""

import time
from typing import Any

import structlog
from celery import signals

from app import trail

log = structlog.get_logger()
SLOW_SECONDS = 5.0  # of a sweep; faster ones, several a second, are metrics


def install() -> None:
    """For the tasks of this process."""
    signals.task_prerun.connect(_begin, weak=False)
    signals.task_postrun.connect(_end, weak=False)


def _begin(task_id: str, task: Any, **_: Any) -> None:
    request = task.request
    given = {name: request.get(name) for name in (trail.REQUEST, trail.TRACE)}
    ids = {name: value for name, value in {trail.REQUEST: given[trail.REQUEST]}.items() if value}
    trail.begin(task=task.name, task_id=task_id, **ids)
    request.lightyard_began = time.perf_counter()
    request.lightyard_ordered = bool(ids)
    span = trail.span(f"run {task.name}", "consumer", given[trail.TRACE], task=task.name, task_id=task_id, **ids)
    span.__enter__()
    request.lightyard_span = span


def _end(task: Any, state: str | None = None, **_: Any) -> None:
    request = task.request
    began = getattr(request, "lightyard_began", None)
    if began is None:  # refused before it began
        return
    seconds = time.perf_counter() - began
    if request.lightyard_ordered or seconds > SLOW_SECONDS or state not in ("SUCCESS", None):
        log.info("task", state=state, ms=round(seconds * 1000, 1), **trail.noted())
    if state not in ("SUCCESS", None):
        trail.note(state=state)
    request.lightyard_span.__exit__(None, None, None)
    trail.end()
