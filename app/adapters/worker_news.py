"""What pollers tell of Cocoon workers, over Valkey's pub/sub, to whoever watches: volatile, since the rows say the same."""

import json
from collections.abc import Sequence
from typing import Any

import redis
import structlog

log = structlog.get_logger()
WORKERS_CHANNEL = "lightyard.workers"


def tell(cache: redis.Redis, workers: Sequence[dict[str, Any]]) -> None:
    """One message of many workers; a cache that is away means that watchers are told by the next poll."""
    try:
        cache.publish(WORKERS_CHANNEL, json.dumps(workers))
    except redis.RedisError as error:
        log.warning("workers.not_told", error=str(error))
