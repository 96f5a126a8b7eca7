"""One sweep at a time over all processes: a second one that starts while the first still runs has nothing to do."""

from collections.abc import Iterator
from contextlib import contextmanager

import redis


@contextmanager
def turn(cache: redis.Redis, name: str, longest_seconds: float) -> Iterator[bool]:
    """True if it is our turn; the turn is given back at the end, or by itself after `longest_seconds` if we die."""
    lock = cache.lock(f"turn:{name}", timeout=longest_seconds, blocking=False, thread_local=False)
    if not lock.acquire():
        yield False
        return
    try:
        yield True
    finally:
        try:
            lock.release()
        except redis.exceptions.LockError:
            pass  # it took longer than it may, and the next one is at work already: sweeps are harmless to double
