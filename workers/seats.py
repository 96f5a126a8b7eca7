"""How many of this worker's threads may wait for other people's machines at a time.

A chain or a provider's software that answers slowly, or never, holds a thread for as long as it is allowed. Were all threads
held so, nothing of ours would be swept: lost leases, doorbells and refunds would wait for strangers.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

THREADS = 12  # as the worker is started with (`-c`); one of them never waits for anybody
SEATS = {"payments": 2, "providers": 3, "anchors": 1, "payouts": 2, "ton": 1, "watch": 1, "x402": 1}
_free = {name: threading.BoundedSemaphore(count) for name, count in SEATS.items()}


@contextmanager
def seat(name: str) -> Iterator[bool]:
    """True if this thread may wait now; otherwise leave it: a sweep comes again."""
    if not _free[name].acquire(blocking=False):
        yield False
        return
    try:
        yield True
    finally:
        _free[name].release()
