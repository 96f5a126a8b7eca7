"""How a Cocoon worker is, judged by what it really says. The worst that is found decides.

down: no answer, or one that is no worker's. degraded: it can't earn as it is (not initialised, wrong image or model, out of
sync). warning: it works, and somebody should look (late sync, many failures, no proxy, a hot GPU). healthy: none of these.
"""

from dataclasses import dataclass

from app.values.worker_stats import WorkerStats

DOWN, DEGRADED, WARNING, HEALTHY = "down", "degraded", "warning", "healthy"
LEVELS = {DOWN: 0, DEGRADED: 1, WARNING: 2, HEALTHY: 3}
WORDS = {level: word for word, level in LEVELS.items()}
TEN_MINUTES_SECONDS, FEWEST_REQUESTS = 600, 5


@dataclass(frozen=True, slots=True)
class Thresholds:
    """From where on something is wrong. The sync limits are those of the worker's own page."""

    late_seconds: int = 600
    lost_seconds: int = 3600
    failing_percent: int = 10
    hot_celsius: int = 85


@dataclass(frozen=True, slots=True)
class Health:
    """A status and what it is for, in words for people."""

    status: str
    reasons: tuple[str, ...] = ()


def failing_share(stats: WorkerStats) -> float | None:
    """The share of the last ten minutes' requests that failed; None where there were too few to tell."""
    if stats.success_rate is None or stats.failed_rate is None:
        return None
    ended = (stats.success_rate + stats.failed_rate) * TEN_MINUTES_SECONDS
    return stats.failed_rate * TEN_MINUTES_SECONDS / ended if ended >= FEWEST_REQUESTS else None


def judge(stats: WorkerStats, now: float, limits: Thresholds, hottest_celsius: float | None = None) -> Health:
    """The health of a worker that answered; `now` in seconds since 1970."""
    degraded, warnings = _faults(stats, now, limits), _doubts(stats, now, limits, hottest_celsius)
    status = DEGRADED if degraded else WARNING if warnings else HEALTHY
    return Health(status, (*degraded, *warnings))


def _faults(stats: WorkerStats, now: float, limits: Thresholds) -> list[str]:
    found = []
    if not stats.is_initialised:
        found.append("not initialised: it has no wallet or no root contract yet")
    if stats.is_image_actual is False:
        found.append("its image is not in the root contract")
    if stats.is_model_actual is False:
        found.append("its model is not in the root contract")
    if stats.synced_at is None:
        found.append("never synced with TON")
    elif now - stats.synced_at >= limits.lost_seconds:
        found.append("out of sync with TON")
    return found


def _doubts(stats: WorkerStats, now: float, limits: Thresholds, hottest_celsius: float | None) -> list[str]:
    found, share = [], failing_share(stats)
    if stats.synced_at is not None and limits.late_seconds <= now - stats.synced_at < limits.lost_seconds:
        found.append("late in syncing with TON")
    if share is not None and share * 100 > limits.failing_percent:
        found.append(f"{share:.0%} of its requests failed in ten minutes")
    if stats.proxies == 0:
        found.append("no proxy is connected")
    if hottest_celsius is not None and hottest_celsius > limits.hot_celsius:
        found.append(f"a GPU is at {hottest_celsius:.0f} °C")
    return found
