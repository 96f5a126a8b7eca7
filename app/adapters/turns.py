"""One sweep at a time over all processes: a second one that starts while the first still runs has nothing to do.

A turn can't be given back while Valkey is away, and the answer that it is ours may be lost with it. Whose it is stands in the
turn itself, so the process that comes by next, and sees that it has left it behind, takes it over at once: no sweep waits out
the turn of one that is over.
"""

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import redis
from redis.lock import Lock

_RUN = uuid.uuid4().hex
_under_way: set[str] = set()  # what the turns of this process are marked with


@contextmanager
def turn(cache: redis.Redis, name: str, longest_seconds: float) -> Iterator[bool]:
    """True if it is our turn; the turn is given back at the end, or by itself after `longest_seconds` if we die.

    `cache` answers with text (`app.wiring.connect_cache`). redis.RedisError where it is away, at the beginning or at the end.
    """
    lock = cache.lock(f"turn:{name}", timeout=longest_seconds, blocking=False, thread_local=False)
    mark = f"{_process()}{uuid.uuid4().hex}"
    _under_way.add(mark)
    try:
        if not _take(cache, lock, mark):
            yield False
            return
        try:
            yield True
        finally:
            _give_back(lock, mark)
    finally:
        _under_way.discard(mark)


def _process() -> str:
    """What begins every mark of this process; one that was forked is another one."""
    return f"{_RUN}.{os.getpid()}."


def _take(cache: redis.Redis, lock: Lock, mark: str) -> bool:
    if lock.acquire(token=mark):
        return True
    holder = cache.get(lock.name)
    if holder == mark:
        return True  # the answer was lost, and the client has asked again by itself
    if not isinstance(holder, str) or not holder.startswith(_process()) or holder in _under_way:
        return False
    _give_back(lock, holder)
    return lock.acquire(token=mark)


def _give_back(lock: Lock, mark: str) -> None:
    try:
        lock.do_release(mark)
    except redis.exceptions.LockError:
        pass  # it took longer than it may, and the next one is at work already: sweeps are harmless to double
