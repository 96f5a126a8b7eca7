"""What a node tells of an attempt's steps, for traces alone: nothing of it counts, so what can't be read is passed over."""

import math
import re
from typing import Any

MOST_STEPS, MOST_SECONDS = 16, 10**6
_NAME = re.compile(r"[a-z][a-z0-9_ -]{0,39}")
Steps = tuple[tuple[str, float, float], ...]
"""(name, how many seconds ago it began, how many seconds it took)"""


def read(told: Any) -> Steps:
    """The steps in `[{name, ago, seconds}, …]`; those that are none are left out."""
    if not isinstance(told, list):
        return ()
    found = (_read_one(item) for item in told[:MOST_STEPS])
    return tuple(step for step in found if step is not None)


def _read_one(item: Any) -> tuple[str, float, float] | None:
    if not isinstance(item, dict):
        return None
    name, ago, seconds = item.get("name"), _seconds(item.get("ago")), _seconds(item.get("seconds"))
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        return None
    return None if ago is None or seconds is None else (name, ago, min(seconds, ago))


def _seconds(value: Any) -> float | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and math.isfinite(value) and 0 <= value <= MOST_SECONDS else None
