"""Under gevent: the event loop itself watches PostgreSQL's sockets.

psycopg alone is cooperative there too, but builds a poll object and two watchers for every answer it waits for, which costs a
request of ten round trips about as much as the rest of its database work.
"""

from typing import Any

import psycopg
from sqlalchemy import event
from sqlalchemy.engine import Engine


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


def use(engine: Engine) -> None:
    """Have the engine connect that way."""

    @event.listens_for(engine, "do_connect")
    def connect(_dialect: Any, _record: Any, arguments: Any, options: Any) -> Any:
        return GreenConnection.connect(*arguments, **options)
