"""One process waits for what another does, over a Valkey list: no polling, and a signal given early is not lost."""

import redis
import structlog

log = structlog.get_logger()
KEPT_SECONDS = 30


def give(cache: redis.Redis, key: str) -> None:
    """Wake one waiter for this key, now or within the next half minute."""
    pipe = cache.pipeline(transaction=False)
    pipe.rpush(f"signal:{key}", "1")
    pipe.expire(f"signal:{key}", KEPT_SECONDS)
    pipe.execute()


class Signals:
    """`wait` is what flows ask for; a cache that is away means that nobody will tell, so it answers at once."""

    def __init__(self, cache: redis.Redis) -> None:
        self._cache = cache

    def wait(self, key: str, seconds: float) -> bool:
        """Whether the signal came within `seconds`."""
        try:
            return self._cache.blpop([f"signal:{key}"], timeout=seconds) is not None
        except redis.RedisError as error:
            log.warning("signals.away", error=str(error))
            return False
