"""Under gevent: whether a process is, and long work that leaves room for others. Every process asks, the signer too, which loads
no database's client for it (app.green_connections)."""

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")
AT_ONCE = 25


def in_turns(items: Iterable[T]) -> Iterator[T]:
    """The items as they are; after every few the other requests of this process have their turn."""
    for number, item in enumerate(items, 1):
        yield item
        if number % AT_ONCE == 0:
            time.sleep(0)


def is_gevent() -> bool:
    """Whether this process's sockets are gevent's (gunicorn patches them before it loads the app)."""
    monkey = sys.modules.get("gevent.monkey")
    return monkey is not None and bool(monkey.is_module_patched("socket"))
