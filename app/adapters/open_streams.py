"""How many streams each account has open, over all processes: kept in Valkey, where a process that dies is forgotten."""

import time
import uuid

import redis
import structlog

log = structlog.get_logger()
# By Valkey's own clock. Returns how many others are open where that is too many, else nothing, and the stream is counted.
_TAKE = """
local now = tonumber(redis.call('TIME')[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
if not redis.call('ZSCORE', KEYS[1], ARGV[1]) and redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[2]) then return 0 end
redis.call('ZADD', KEYS[1], now + tonumber(ARGV[3]), ARGV[1])
redis.call('EXPIRE', KEYS[1], tonumber(ARGV[3]))
return 1
"""
AWAY_SECONDS = 5.0


class OpenStreams:
    """`take` a place and take it again in time, `leave` it. A Valkey that is away never stops a stream."""

    def __init__(self, cache: redis.Redis, kept_seconds: int) -> None:
        self._cache, self._kept_seconds = cache, kept_seconds
        self._away_until = 0.0

    def take(self, account_id: uuid.UUID, stream_id: str, most: int) -> bool:
        """Whether there was a place, or this stream has it already."""
        if time.monotonic() < self._away_until:
            return True
        try:
            return bool(self._cache.eval(_TAKE, 1, self._key(account_id), stream_id, most, self._kept_seconds))
        except redis.RedisError as error:
            self._away(error)
            return True

    def leave(self, account_id: uuid.UUID, stream_id: str) -> None:
        """Leaving twice is harmless."""
        try:
            self._cache.zrem(self._key(account_id), stream_id)
        except redis.RedisError as error:
            self._away(error)

    def _key(self, account_id: uuid.UUID) -> str:
        return f"streams:{account_id}"

    def _away(self, error: Exception) -> None:
        self._away_until = time.monotonic() + AWAY_SECONDS
        log.warning("streams.not_counted", error=str(error))
