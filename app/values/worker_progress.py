"""Totals that only rise, from a worker's counters, which start again when it does."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from app.values.worker_stats import MOST_PROXIES, WorkerStats

Number = TypeVar("Number", int, float)
_LARGEST = 2**63 - 1
UNIT_COEFFICIENT = 1000
MOST_STEP = 2**50  # of one answer: what a worker makes up must not be too large for an hour's sum


@dataclass(frozen=True, slots=True)
class Counters:
    """What is known of a worker's counters: as it said them last (`said_*`), and added up over its restarts.

    `earned` holds the most tokens seen for each of the worker's contracts: they lie on the chain, so a worker that forgets a
    proxy and finds it again has earned nothing in between. Revenue in nanoTON.
    """

    said_requests: int | None = None
    said_success: int | None = None
    said_failed: int | None = None
    said_time_seconds: float | None = None
    requests: int | None = None
    success: int | None = None
    failed: int | None = None
    time_seconds: float | None = None
    revenue_nano: int | None = None
    earned: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Step:
    """How much more there is than at the last answer. Never negative; nothing at the first one, which may be of any time."""

    requests: int = 0
    success: int = 0
    failed: int = 0
    time_seconds: float = 0.0
    revenue_nano: int = 0
    has_restarted: bool = False


def advance(before: Counters, stats: WorkerStats) -> tuple[Counters, Step]:
    """The counters after an answer, and the step to them. What the answer leaves out stays as it was."""
    steps = {
        name: _rise(getattr(before, f"said_{name}"), getattr(stats, name))
        for name in ("requests", "success", "failed", "time_seconds")
    }
    earned, revenue = _earn(before, stats)
    after = Counters(
        said_requests=_kept(stats.requests, before.said_requests),
        said_success=_kept(stats.success, before.said_success),
        said_failed=_kept(stats.failed, before.said_failed),
        said_time_seconds=_kept(stats.time_seconds, before.said_time_seconds),
        requests=_sum(before.requests, stats.requests, int(steps["requests"])),
        success=_sum(before.success, stats.success, int(steps["success"])),
        failed=_sum(before.failed, stats.failed, int(steps["failed"])),
        time_seconds=_sum(before.time_seconds, stats.time_seconds, float(steps["time_seconds"])),
        revenue_nano=_sum(before.revenue_nano, revenue, revenue or 0),
        earned=earned,
    )
    step = Step(
        requests=_bounded(steps["requests"]),
        success=_bounded(steps["success"]),
        failed=_bounded(steps["failed"]),
        time_seconds=float(steps["time_seconds"]),
        revenue_nano=0 if before.revenue_nano is None else _bounded(revenue or 0),
        has_restarted=_went_back(before.said_requests, stats.requests),
    )
    return after, step


def weighed(step: Step, coefficient: int) -> int:
    """A step's revenue at a price coefficient in thousandths, in nanoTON."""
    return _bounded(step.revenue_nano * coefficient // UNIT_COEFFICIENT)


def _bounded(step: float) -> int:
    return min(int(step), MOST_STEP)


def _went_back(said: float | None, now: float | None) -> bool:
    return said is not None and now is not None and now < said


def _rise(said: float | None, now: float | None) -> float:
    """From one answer to the next; a counter that went back began again at 0."""
    if said is None or now is None:
        return 0
    return now if now < said else now - said


def _kept(now: Number | None, before: Number | None) -> Number | None:
    return before if now is None else now


def _sum(total: Number | None, first: Number | None, step: Number) -> Number | None:
    """A total begins at what the worker first said, and then rises by steps."""
    return first if total is None else min(total + step, type(step)(_LARGEST))


def _earn(before: Counters, stats: WorkerStats) -> tuple[Mapping[str, int], int | None]:
    """The most tokens of each contract, and the nanoTON that the new ones are worth; without the fee nothing is taken note of."""
    if stats.earned is None or stats.fee_per_token is None:
        return before.earned, None
    fresh = {name: max(0, tokens - before.earned.get(name, 0)) for name, tokens in stats.earned.items()}
    most = {**before.earned, **{name: max(tokens, before.earned.get(name, 0)) for name, tokens in stats.earned.items()}}
    if len(most) > 2 * MOST_PROXIES:
        most = {name: tokens for name, tokens in most.items() if name in stats.earned}
    return most, min(sum(fresh.values()) * stats.fee_per_token, _LARGEST)
