"""How many frames to claim at once: few while their cost is unknown, more as they prove light.

A batch is kept short in time, so that other nodes get their share and a dead host loses little.
"""

from __future__ import annotations

import math


class BatchSize:
    """Grows by doubling, bounded by `limit` units and by `seconds` of expected work. One per job and slot."""

    def __init__(self, limit: int, seconds: float) -> None:
        self._limit = limit
        self._seconds = seconds
        self._size = 1
        self._seconds_per_unit: float | None = None
        self._job_id: str | None = None

    def measure(self, job_id: str, seconds: float) -> None:
        """A unit of `job_id` took this long."""
        if job_id != self._job_id:
            self._job_id, self._size, self._seconds_per_unit = job_id, 1, None
        known = self._seconds_per_unit
        self._seconds_per_unit = seconds if known is None else 0.5 * known + 0.5 * seconds

    def choose(self) -> int:
        """The next claim's limit."""
        if self._seconds_per_unit is None:
            return 1
        fitting = max(1, math.floor(self._seconds / max(self._seconds_per_unit, 1e-3)))
        self._size = min(self._size * 2, self._limit, fitting)
        return max(1, self._size)
