"""Work that computes for long runs beside the event loop, so that one heavy picture does not hold up every other request.

In a gevent process it runs on a small pool of real threads while other greenlets go on; elsewhere it is a plain call.
What runs here must not touch the database or a socket: those belong to the greenlet that asked.
"""

import os
from collections.abc import Callable
from functools import cache
from typing import Any, ParamSpec, TypeVar

from app import greenlets

P = ParamSpec("P")
T = TypeVar("T")
# Each may hold a decoded picture in memory, so there are no more of them than can really run at once.
MAX_THREADS = 4


def run(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """`function(*args, **kwargs)`, with its result or its exception."""
    if not greenlets.is_gevent():
        return function(*args, **kwargs)
    answer, error = _pool().apply(_outcome, (function, args, kwargs))
    if error is not None:
        raise error
    found: T = answer
    return found


def _outcome(function: Callable[..., T], args: Any, kwargs: Any) -> tuple[T | None, Exception | None]:
    """What came of it. gevent prints what a pool's thread raises, and a refused file is nothing for the log."""
    try:
        return function(*args, **kwargs), None
    except Exception as error:  # noqa: BLE001  raised where it was asked for
        return None, error


@cache
def _pool() -> Any:
    from gevent.threadpool import ThreadPool  # only where gevent runs the process: workers and tests do without

    return ThreadPool(max(2, min(MAX_THREADS, os.cpu_count() or 2)))
