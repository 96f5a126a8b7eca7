"""Under gevent: the event loop itself watches PostgreSQL's sockets, and long work leaves room for others.

psycopg alone is cooperative there too, but builds a poll object and two watchers for every answer it waits for, which costs a
request of ten round trips about as much as the rest of its database work.
"""

import sys
import time
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

import psycopg
from sqlalchemy import event
from sqlalchemy.engine import Engine

T = TypeVar("T")
AT_ONCE = 25


def in_turns(items: Iterable[T]) -> Iterator[T]:
    """The items as they are; after every few the other requests of this process have their turn."""
    for number, item in enumerate(items, 1):
        yield item
        if number % AT_ONCE == 0:
            time.sleep(0)


class GreenConnection(psycopg.Connection[Any]):
    """A connection whose greenlet sleeps until its socket is ready."""

    def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        """As psycopg's own; one with a timeout is left to it."""
        if timeout is not None:
            return super().wait(gen, interval, timeout)
        from gevent import get_hub  # only where gevent runs the process: workers and tests do without

        hub = get_hub()
        try:
            wanted = next(gen)
            while True:
                watcher = hub.loop.io(self.pgconn.socket, int(wanted))  # psycopg's bits for reading and writing are gevent's
                try:
                    hub.wait(watcher)
                finally:
                    watcher.close()
                wanted = gen.send(wanted)
        except StopIteration as end:
            return end.value


def is_gevent() -> bool:
    """Whether this process's sockets are gevent's (gunicorn patches them before it loads the app)."""
    monkey = sys.modules.get("gevent.monkey")
    return monkey is not None and bool(monkey.is_module_patched("socket"))


def use(engine: Engine) -> None:
    """Have the engine connect that way."""

    @event.listens_for(engine, "do_connect")
    def connect(_dialect: Any, _record: Any, arguments: Any, options: Any) -> Any:
        return GreenConnection.connect(*arguments, **options)
