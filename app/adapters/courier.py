"""Carries messages to RabbitMQ beside whoever has something to say, and waits there for each one's confirmation.

A broker that is away, frozen or out of memory costs the courier its time and nobody a request: what it has no room for is
dropped, said in the log, and rung again by the sweeps.
"""

import os
import queue
import threading
import time
from collections.abc import Mapping
from typing import Any

import structlog
from amqp.exceptions import AMQPError
from celery import Celery
from kombu import Connection, Exchange, Producer, Queue
from kombu.exceptions import KombuError

log = structlog.get_logger()
Order = tuple[str, list[Any], str, Mapping[str, str]]
CONFIRM_SECONDS = 2.0
AWAY_SECONDS = 1.0
WAITING_ORDERS = 2000
FAILURES = (AMQPError, KombuError, OSError)


class Blocked(OSError):
    """RabbitMQ takes nothing in: it is out of memory or disk."""


def _refuse(reason: str) -> None:
    raise Blocked(reason)


class Line:
    """One connection to one virtual host. Not thread-safe: the courier's."""

    def __init__(self, celery: Celery, url: str, declares: bool = True) -> None:
        """`declares`: a queue that is not there is made; else what goes to it is lost."""
        self._celery, self._url, self._declares = celery, url, declares
        self._connection: Connection | None = None
        self._producer: Producer | None = None

    def send(self, order: Order) -> None:
        """Until the broker has confirmed it, or one of FAILURES. A connection that went stale is tried anew once."""
        was_open = self._producer is not None
        try:
            self._send(order)
        except FAILURES:
            if not was_open:
                raise
            self._send(order)

    def _send(self, order: Order) -> None:
        task, arguments, name, headers = order
        target = name if self._declares else Queue(name, Exchange(name, no_declare=True), routing_key=name, no_declare=True)
        try:
            producer = self._producer or self._connect()
            options: dict[str, Any] = {"timeout": CONFIRM_SECONDS, "confirm_timeout": CONFIRM_SECONDS, "retry": False}
            self._celery.send_task(
                task, args=arguments, queue=target, ignore_result=True, headers=dict(headers), producer=producer, **options
            )
        except FAILURES:
            self.hang_up()
            raise

    def _connect(self) -> Producer:
        # No heartbeats: nobody would send them between two messages, and a dead peer shows by not confirming.
        options = {"confirm_publish": True, "on_blocked": _refuse}
        # The address is said: `celery`'s command line takes BROKER_URL for every app of its process.
        self._connection = self._celery.connection_for_write(self._url, heartbeat=0, transport_options=options)
        self._connection.connect()
        self._connection.connection.sock.settimeout(CONFIRM_SECONDS)  # opening a channel has no time-out of its own
        self._producer = Producer(self._connection, auto_declare=False)
        return self._producer

    def hang_up(self) -> None:
        """Without a word: whoever is there may not be listening."""
        connection, self._connection, self._producer = self._connection, None, None
        if connection is not None:
            connection.collect()


class Courier:
    """`take` returns at once, whatever the broker does."""

    def __init__(self, lines: Mapping[str, Line], other: Line) -> None:
        """`lines`: by the queue's name; every other queue is on `other`."""
        self._lines, self._other = lines, other
        self._waiting: queue.Queue[Order] = queue.Queue(WAITING_ORDERS)
        self._lock, self._process = threading.Lock(), 0
        self._away_until: dict[Line, float] = {}
        self._dropped = 0

    def take(self, task: str, arguments: list[Any], queue_name: str, headers: Mapping[str, str]) -> None:
        """Carry it soon, or drop it."""
        if self._process != os.getpid():
            self._begin()
        try:
            self._waiting.put_nowait((task, arguments, queue_name, headers))
        except queue.Full:
            self._dropped += 1

    def _begin(self) -> None:
        """A thread of this process, which may be a fork of the one that made us."""
        with self._lock:
            if self._process != os.getpid():
                self._process = os.getpid()
                threading.Thread(target=self._carry, name="courier", daemon=True).start()

    def _carry(self) -> None:
        while True:
            order = self._waiting.get()
            try:
                self.carry(order)
            except Exception:  # noqa: BLE001  the one thread that carries must not end; sweeps ring again
                log.exception("courier.broken", task=order[0], queue=order[2])

    def carry(self, order: Order) -> None:
        """One message, now. While a line is dead, what is for it is dropped for a moment rather than tried."""
        line = self._lines.get(order[2], self._other)
        away_until = self._away_until.get(line, 0.0)
        if time.monotonic() < away_until:
            self._dropped += 1
            return
        try:
            line.send(order)
        except FAILURES as error:
            self._away_until[line] = time.monotonic() + AWAY_SECONDS
            self._dropped += 1
            if not away_until:
                log.warning("courier.away", task=order[0], queue=order[2], error=f"{type(error).__name__}: {error}")
            return
        if away_until:
            del self._away_until[line]
            dropped, self._dropped = self._dropped, 0
            log.info("courier.back", queue=order[2], dropped=dropped)
