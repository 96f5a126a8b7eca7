"""What a container uses at one moment, by name: a stranger's report, read into numbers that are safe to keep and to show."""

import math
import re
from collections.abc import Mapping
from typing import Any

from app.errors import InvalidInput

FIGURES_LIMIT, NUMBER_LIMIT = 32, 2.0**53
# Shown in every answer, null where nobody said it.
KNOWN = (
    "cpu_usage_percent",
    "gpu_usage_percent",
    "memory_usage_percent",
    "memory_used_bytes",
    "gpu_memory_used_bytes",
    "storage_used_bytes",
)
# As the SDK's documents write them.
ALSO_CALLED = {
    "cpu_usage": "cpu_usage_percent",
    "gpu_usage": "gpu_usage_percent",
    "memory_usage": "memory_usage_percent",
}
_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}\Z")


def read(told: Any) -> dict[str, float]:
    """The figures that were told; what is null is left out. InvalidInput says what is wrong, and with which of them."""
    if not isinstance(told, Mapping):
        raise InvalidInput("metrics must be an object of names and numbers")
    if len(told) > FIGURES_LIMIT:
        raise InvalidInput(f"metrics may have at most {FIGURES_LIMIT} names")
    found = {}
    for name, value in told.items():
        if not isinstance(name, str) or not _NAME.match(name):
            raise InvalidInput("a name in metrics is at most 64 lower-case letters, digits and _, and begins with a letter")
        if value is not None:
            found[ALSO_CALLED.get(name, name)] = _number(name, value)
    return found


def _number(name: str, value: Any) -> float:
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if not is_number or not 0 <= value <= NUMBER_LIMIT:
        raise InvalidInput(f"metrics.{name} must be a number from 0 to {NUMBER_LIMIT:.0f}, or null")
    found: float = value
    return found
