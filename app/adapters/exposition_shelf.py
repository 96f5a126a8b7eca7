"""Bytes that one process makes and all serve: an exposition of metrics, kept in Valkey until it is too old to be true."""

import uuid

import redis
import structlog
from redis.backoff import NoBackoff
from redis.retry import Retry

log = structlog.get_logger()
BODY, STAMP = "lightyard.cocoon.exposition", "lightyard.cocoon.exposition.stamp"


class ExpositionShelf:
    """`put` by whoever made it, `read` at a scrape. A cache that is away means that there is nothing to show."""

    def __init__(self, url: str) -> None:
        retry = Retry(NoBackoff(), 1)
        self._cache = redis.Redis.from_url(url, socket_timeout=5, socket_connect_timeout=2, retry=retry)
        self._stamp, self._body = b"", b""

    def put(self, body: bytes, good_for_seconds: float) -> None:
        """Both keys at once: a stamp is never of other bytes than its own."""
        pipe = self._cache.pipeline(transaction=True)
        milliseconds = int(good_for_seconds * 1000)
        pipe.set(BODY, body, px=milliseconds)
        pipe.set(STAMP, uuid.uuid4().hex, px=milliseconds)
        pipe.execute()

    def read(self) -> bytes:
        """The newest bytes; none where nobody makes any. They are fetched once, however often they are asked for."""
        try:
            stamp = self._cache.get(STAMP)
            if not isinstance(stamp, bytes):
                self._stamp, self._body = b"", b""
            elif stamp != self._stamp:
                found = self._cache.mget(STAMP, BODY)
                assert isinstance(found, list)
                self._stamp, self._body = b"", b""
                if isinstance(found[0], bytes) and isinstance(found[1], bytes):
                    self._stamp, self._body = found[0], found[1]
            return self._body
        except redis.RedisError as error:
            log.warning("exposition.away", error=str(error))
            return b""
