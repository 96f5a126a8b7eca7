"""Which work a thread is at: its ids stand in every log line, and in what is asked of the hub for it.

A job brings the id of the request that ordered it, and that request's place in a trace, where the hub keeps one. This node keeps
no spans: it tells how long its steps took, and the hub makes them (PROTOCOL.md, section 5).
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, TypeGuard

if TYPE_CHECKING:
    from gpu_node.attempts import Attempt

MOST_STEPS = 16
_NOTHING: Mapping[str, str] = {}
_ids: ContextVar[Mapping[str, str]] = ContextVar("trail", default=_NOTHING)
_headers: ContextVar[Mapping[str, str]] = ContextVar("trail_headers", default=_NOTHING)


@contextmanager
def at(*attempts: Attempt) -> Iterator[None]:
    """Inside, this thread is at these attempts: what they have in common is said."""
    ids, headers = _ids.set(_common(ids_of(attempt) for attempt in attempts)), _headers.set(_common(map(_headers_of, attempts)))
    try:
        yield
    finally:
        _ids.reset(ids)
        _headers.reset(headers)


def ids() -> Mapping[str, str]:
    """What each log line of this thread names."""
    return _ids.get()


def headers() -> Mapping[str, str]:
    """What each request of this thread to the hub carries."""
    return _headers.get()


def ids_of(attempt: Attempt) -> dict[str, str]:
    job = attempt.job
    found = {"job_id": job.job_id, "unit_id": attempt.unit_id, "attempt_id": attempt.attempt_id, "request_id": job.request_id,
             "trace_id": job.traceparent.split("-")[1] if _is_traceparent(job.traceparent) else None}
    return {name: value for name, value in found.items() if value}


def _headers_of(attempt: Attempt) -> dict[str, str]:
    """The attempt is the parent of what is asked for it: the first half of its id is its span's."""
    found = {} if attempt.job.request_id is None else {"X-Request-Id": attempt.job.request_id}
    if _is_traceparent(attempt.job.traceparent):
        version, trace, _, flags = attempt.job.traceparent.split("-")
        found["traceparent"] = f"{version}-{trace}-{attempt.attempt_id.replace('-', '')[:16]}-{flags}"
    return found


def _is_traceparent(text: str | None) -> TypeGuard[str]:
    return text is not None and [len(part) for part in text.split("-")] == [2, 32, 16, 2]


def _common(found: Iterable[dict[str, str]]) -> dict[str, str]:
    every = list(found)
    return {name: value for name, value in every[0].items() if all(one.get(name) == value for one in every)} if every else {}


@contextmanager
def step(attempt: Attempt, name: str) -> Iterator[None]:
    """One step of an attempt, timed."""
    began = time.monotonic()
    try:
        yield
    finally:
        if len(attempt.steps) < MOST_STEPS:
            attempt.steps.append((name, began, time.monotonic() - began))


def steps_of(attempt: Attempt) -> list[dict[str, object]]:
    """The steps as the hub is told of them: by how long ago they began, for clocks differ."""
    now = time.monotonic()
    return [{"name": name, "ago": round(now - began, 4), "seconds": round(seconds, 4)} for name, began, seconds in attempt.steps]
