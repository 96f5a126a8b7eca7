"""What sweeps found, kept in Valkey for every process's scrape until it is too old to be true."""

import json
import time
from collections.abc import Iterable, Iterator

import redis

from app.core.figures import Figure

KEY = "lightyard.watched"
SWEEPS = {"queues": 60.0, "nodes": 90.0, "chains": 90.0, "money": 600.0}  # how many seconds their figures are good for
GROWING = frozenset({"chain_head_age_seconds"})  # an age goes on while nobody looks


def note(cache: redis.Redis, sweep: str, figures: Iterable[Figure]) -> None:
    """Keep a sweep's figures, instead of its last."""
    told = [(figure.name, figure.labels, figure.value) for figure in figures]
    cache.hset(KEY, sweep, json.dumps({"at": time.time(), "figures": told}))


def tell(found: dict[str, str], now: float) -> Iterator[Figure]:
    """The figures that are still good, and how old each sweep's are."""
    for sweep, good_for_seconds in SWEEPS.items():
        if sweep not in found:
            continue
        kept = json.loads(found[sweep])
        age_seconds = max(0.0, now - kept["at"])
        yield Figure("sweep_age_seconds", age_seconds, {"sweep": sweep})
        if age_seconds <= good_for_seconds:
            for name, labels, value in kept["figures"]:
                yield Figure(name, value + age_seconds if name in GROWING else value, labels)
