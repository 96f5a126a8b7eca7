"""How often a provider's software is asked to take a job: one at a time, and ever more slowly while it refuses.

Kept in Valkey, so that all workers share it. It is no truth: losing it means asking once more, which is harmless.
"""

import random
import uuid

import redis
import structlog

log = structlog.get_logger()
FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS, REMEMBERED_SECONDS = 5, 300, 86_400


class PushPace:
    """`begin` … `end` around each hand-over."""

    def __init__(self, cache: redis.Redis) -> None:
        self._cache = cache

    def begin(self, provider_id: uuid.UUID, job_id: uuid.UUID, seconds: float) -> bool:
        """Whether this job may be handed to this provider now; the turn ends by itself after `seconds`."""
        try:
            if self._cache.exists(f"push:wait:{job_id}"):
                return False
            return bool(self._cache.set(f"push:turn:{provider_id}", str(job_id), nx=True, px=int(seconds * 1000)))
        except redis.RedisError as error:
            log.warning("pace.away", error=str(error))
            return False  # the sweep asks again; two workers pushing at once would send the scene twice

    def end(self, provider_id: uuid.UUID, job_id: uuid.UUID, is_taken: bool) -> None:
        """The turn is over; a job that was not taken waits, twice as long each time."""
        try:
            self._cache.delete(f"push:turn:{provider_id}")
            if is_taken:
                self._cache.delete(f"push:tries:{job_id}")
                return
            tries = int(self._cache.incr(f"push:tries:{job_id}"))
            self._cache.expire(f"push:tries:{job_id}", REMEMBERED_SECONDS)
            self._cache.set(f"push:wait:{job_id}", "1", px=int(wait_seconds(tries) * 1000))
        except redis.RedisError as error:
            log.warning("pace.away", error=str(error))


def wait_seconds(tries: int) -> float:
    """5, 10, 20 … 300 s, each a fifth more or less, so that many jobs do not come back at once."""
    wait = min(FIRST_WAIT_SECONDS * 2 ** min(tries - 1, 10), LONGEST_WAIT_SECONDS)
    return wait * random.uniform(0.8, 1.2)  # noqa: S311  no secret depends on it
