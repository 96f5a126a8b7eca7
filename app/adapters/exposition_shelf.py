"""Bytes that one process makes and all serve: an exposition of metrics, kept in Valkey until it is too old to be true."""

import uuid

import redis
import structlog
from redis.backoff import NoBackoff
from redis.retry import Retry

log = structlog.get_logger()
COCOON, NODES = "cocoon", "nodes"
PIECE_BYTES = 524_288  # between two of them a process has time for others


class ExpositionShelf:
    """`put` by whoever made it, `read` at a scrape. A cache that is away means that there is nothing to show."""

    def __init__(self, url: str, name: str = COCOON) -> None:
        self._key = f"lightyard.{name}.exposition"
        retry = Retry(NoBackoff(), 1)
        self._cache = redis.Redis.from_url(url, socket_timeout=5, socket_connect_timeout=2, retry=retry)
        self._stamp, self._pieces = "", tuple[bytes, ...]()

    def _body_key(self, stamp: str) -> str:
        return f"{self._key}:{stamp}"

    def put(self, body: bytes, good_for_seconds: float) -> None:
        """Under a key of its own, which never changes: whoever reads it piece by piece reads one exposition."""
        stamp, milliseconds = uuid.uuid4().hex, int(good_for_seconds * 1000)
        self._cache.set(self._body_key(stamp), body, px=milliseconds)
        self._cache.set(self._key, stamp, px=milliseconds)

    def read(self) -> tuple[bytes, ...]:
        """The newest bytes, in pieces; none where nobody makes any. They are fetched once, however often they are asked for."""
        try:
            found = self._cache.get(self._key)
            stamp = found.decode() if isinstance(found, bytes) else ""
            if stamp != self._stamp:
                pieces = self._fetch(stamp) if stamp else ()
                self._stamp, self._pieces = stamp, pieces
            return self._pieces
        except redis.RedisError as error:
            log.warning("exposition.away", error=str(error))
            return ()

    def _fetch(self, stamp: str) -> tuple[bytes, ...]:
        pieces = list[bytes]()
        while True:
            offset = len(pieces) * PIECE_BYTES
            piece = self._cache.getrange(self._body_key(stamp), offset, offset + PIECE_BYTES - 1)
            if not isinstance(piece, bytes) or not piece:
                return tuple(pieces)
            pieces.append(piece)
            if len(piece) < PIECE_BYTES:
                return tuple(pieces)
