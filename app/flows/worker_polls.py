"""Polling a Cocoon worker: its figures are asked for, what its owner changed is passed on, and both become rows to be written."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Protocol

import structlog

from app.core.cocoon_workers import COUNTERS, DueWorker
from app.core.worker_gpus import Gpu, Hosts
from app.errors import LightyardError
from app.values import clock, worker_health, worker_progress, worker_stats
from app.values.worker_health import DOWN, LEVELS, Health, Thresholds
from app.values.worker_progress import Counters, Step
from app.values.worker_report import Said, mean, most, report, total
from app.values.worker_stats import NotAWorker, WorkerStats

log = structlog.get_logger()
CHECK_SWITCH_SECONDS = 300
BAD_ANSWER, CONTROL = "bad_answer", "control"


class Client(Protocol):
    """How workers are asked; trouble is a LightyardError with a `kind`."""

    async def stats(self, host: str, port: int) -> bytes: ...

    async def is_enabled(self, host: str, port: int) -> bool | None: ...

    async def switch(self, host: str, port: int, is_on: bool) -> None: ...

    async def set_coefficient(self, host: str, port: int, thousandths: int) -> None: ...


@dataclass(frozen=True, slots=True)
class Polled:
    """What came of a poll."""

    worker: DueWorker
    at: Any
    health: Health
    counters: Counters
    step: Step
    stats: WorkerStats | None
    gpus: Sequence[Gpu] | None
    told_active: bool | None
    checked_at: Any
    errors: Mapping[str, int]


async def poll(client: Client, worker: DueWorker, hosts: Hosts, limits: Thresholds) -> Polled:
    """Ask one worker, and pass on what it does not know yet: again with every poll, until it says so itself. Never raises for
    what a worker does or says."""
    at, gpus = clock.now(), hosts.of(worker.host, worker.account_id)
    try:
        stats = worker_stats.read(await client.stats(worker.host, worker.stats_port))
    except (LightyardError, NotAWorker) as error:
        kind = getattr(error, "kind", BAD_ANSWER)
        health, errors = Health(DOWN, (str(error),)), _counted(worker.errors, kind)
        return Polled(worker, at, health, worker.counters, Step(), None, gpus, worker.told_active, worker.checked_at, errors)
    counters, step = worker_progress.advance(worker.counters, stats)
    health = worker_health.judge(stats, at.timestamp(), limits, most(gpus, "celsius"))
    polled = Polled(
        worker, at, health, counters, step, stats, gpus, worker.told_active, worker.checked_at, worker.errors
    )
    return await _pass_on(client, polled)


def _counted(errors: Mapping[str, int], kind: str) -> dict[str, int]:
    return {**errors, kind: errors.get(kind, 0) + 1}


async def _pass_on(client: Client, polled: Polled) -> Polled:
    """What the owner wants and the worker does not say yet; trouble with it is tried again at the next poll."""
    worker, stats = polled.worker, polled.stats
    try:
        if stats is not None and worker.coefficient not in (None, stats.coefficient):
            assert worker.coefficient is not None
            await client.set_coefficient(worker.host, worker.stats_port, worker.coefficient)
        told, checked_at = await _switch(client, polled)
    except LightyardError as error:
        log.info("workers.not_passed_on", worker_id=worker.id, error=error.message)
        health = replace(polled.health, reasons=(*polled.health.reasons, f"a change did not reach it yet: {error.message}"))
        return replace(polled, health=health, errors=_counted(polled.errors, CONTROL))
    return replace(polled, told_active=told, checked_at=checked_at)


async def _switch(client: Client, polled: Polled) -> tuple[bool | None, Any]:
    """Whether the worker takes work, by its own word where it gives one; it forgets with a restart, and others may change it."""
    worker, told, checked_at = polled.worker, polled.told_active, polled.checked_at
    where = (worker.host, worker.stats_port)
    is_old = checked_at is None or polled.at - checked_at > timedelta(seconds=CHECK_SWITCH_SECONDS)
    if is_old or told is None or polled.step.has_restarted:
        said = await client.is_enabled(*where)
        told = said if said is not None else told if told is not None and not polled.step.has_restarted else True
        checked_at = polled.at
    if told != worker.is_active:
        await client.switch(*where, worker.is_active)
        said = await client.is_enabled(*where)
        told, checked_at = worker.is_active if said is None else said, polled.at
    return told, checked_at


def latency_seconds(counters: Counters) -> float | None:
    """The mean time of a request that ended, by the worker's own totals."""
    ended = (counters.said_success or 0) + (counters.said_failed or 0)
    return counters.said_time_seconds / ended if ended and counters.said_time_seconds is not None else None


def row(polled: Polled) -> dict[str, Any]:
    """A poll as `core.cocoon_workers.note` writes it."""
    worker, counters = polled.worker, polled.counters
    state = {
        "worker_id": worker.id,
        "before": None if worker.polled_at is None else worker.polled_at.isoformat(),
        "at": polled.at.isoformat(),
        "answered": polled.stats is not None,
        "status": polled.health.status,
        "reasons": list(polled.health.reasons),
        "told_active": polled.told_active,
        "checked_at": None if polled.checked_at is None else polled.checked_at.isoformat(),
        "said_coefficient": _said_coefficient(polled),
        "latency_seconds": latency_seconds(counters),
        "gpus": polled.gpus,
        "errors": dict(polled.errors),
        **{name: getattr(counters, name) for name in COUNTERS},
    }
    return {"worker_id": worker.id, "state": state, "sample": _sample(polled)}


def _said_coefficient(polled: Polled) -> int | None:
    """The price coefficient, in thousandths, that the worker says it works at, or said last."""
    said = polled.stats.coefficient if polled.stats is not None else None
    return said if said is not None and said < 2**31 else polled.worker.said_coefficient


def _coefficient(polled: Polled) -> int:
    """The one that this poll's revenue counts at: what the worker itself says, which its clients paid by; its row's where it says
    none. Whoever changes it changes nothing that was earned before."""
    said = _said_coefficient(polled)
    if said is None:
        said = polled.worker.coefficient
    return worker_progress.UNIT_COEFFICIENT if said is None else said


def live(polled: Polled) -> dict[str, Any]:
    """A poll as /ws/metrics tells of it."""
    worker, counters = polled.worker, polled.counters
    said = Said(
        polled.at,
        polled.health.status,
        polled.health.reasons,
        counters.requests,
        counters.failed,
        latency_seconds(counters),
        counters.revenue_nano,
        polled.gpus,
    )
    return report(worker.id, worker.worker_name, worker.participant_id, worker.is_active, said)


def _sample(polled: Polled) -> dict[str, Any]:
    gpus = polled.gpus
    return {
        "worker_id": polled.worker.id,
        "at": polled.at.isoformat(),
        "samples": 1,
        "answered": int(polled.stats is not None),
        "level": LEVELS[polled.health.status],
        "requests": polled.step.requests,
        "success": polled.step.success,
        "failed": polled.step.failed,
        "time_seconds": polled.step.time_seconds,
        "revenue_nano": polled.step.revenue_nano,
        "weighed_nano": worker_progress.weighed(polled.step, _coefficient(polled)),
        "gpu_samples": int(mean(gpus, "utilization") is not None),
        "gpu_utilization": mean(gpus, "utilization"),
        "gpu_memory_gb": total(gpus, "memory_used_gb"),
        "gpu_celsius": most(gpus, "celsius"),
        "gpu_watts": total(gpus, "watts"),
        "total_requests": polled.counters.requests,
        "total_revenue_nano": polled.counters.revenue_nano,
    }
