"""Ten thousand sockets in one process: one poll for all of them, one clock for all their pings, a few workers.

A socket is taken out of the web server's hands after its handshake, so that no greenlet, no request and no Flask context
is kept for it: an idle one costs a codec and a file descriptor. Whatever it says is done by a small pool of workers, each
socket's messages one after the other. Under gevent these are greenlets; elsewhere (tests) they are threads.
"""

import queue
import select
import sys
import threading
import time
from collections.abc import Callable, Iterable
from socket import socket as Socket
from typing import Any

import structlog

from app import greenlets
from app.errors import LightyardError
from app.observability import metrics
from app.relay.lines import (
    GONE,
    INBOX_BYTES_LIMIT,
    INBOX_LIMIT,
    LEFT,
    RESTART,
    SILENT,
    TOO_MANY,
    TOO_SLOW,
    Goodbye,
    Limits,
    Line,
    Owner,
)

log = structlog.get_logger()
WORKERS = 6
READ_BYTES = 65_536
EVENTS_AT_ONCE = 8  # other requests wait no longer than these take
LINGER_SECONDS = 2.0
DRAIN_BYTES = 4_194_304
BUCKETS, SHORTEST_TICK_SECONDS = 300, 0.1
READ, WRITE, HUNG_UP = select.EPOLLIN if hasattr(select, "EPOLLIN") else 1, 4, 0x18


def _epoll() -> Any:
    """The kernel's own: gevent hides it from programs that would block in it; ours is waited for by gevent's loop."""
    if not greenlets.is_gevent():
        return select.epoll()
    from gevent import monkey

    return monkey.get_original("select", "epoll")()


class Exchange:
    """`attach` a socket whose handshake is done; `send`, `close`; `submit` work that must wait its turn behind its messages."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._lock = threading.RLock()
        self._lines: dict[int, Line] = {}
        self._closing: set[Line] = set()
        seconds = max(SHORTEST_TICK_SECONDS, limits.ping_seconds / BUCKETS)
        self._tick_seconds = min(seconds, limits.ping_seconds)
        self._buckets: list[set[Line]] = [set() for _ in range(max(1, round(limits.ping_seconds / self._tick_seconds)))]
        self._turn = self._next_bucket = 0
        self._work: queue.SimpleQueue[Line] = queue.SimpleQueue()
        self._epoll: Any = None
        self._stopping = threading.Event()

    def __len__(self) -> int:
        return len(self._lines)

    def waiting_bytes(self) -> int:
        """What all sockets were told and their other sides have not taken yet."""
        return sum(len(waiting) for waiting in [line.outbox for line in list(self._lines.values())] if waiting)

    def attach(self, socket: Socket, owner: Owner, greeting: bytes = b"") -> Line:
        """Serve this socket from now on; `greeting` is what ends its handshake. The socket is the exchange's to close."""
        socket.setblocking(False)
        line = Line(socket, owner, self.limits)
        with self._lock:
            self._start()
            self._lines[line.fileno()] = line
            line.bucket = self._next_bucket
            self._buckets[line.bucket].add(line)
            self._next_bucket = (self._next_bucket + 1) % len(self._buckets)
            self._epoll.register(line.fileno(), READ)
            metrics.SOCKETS.inc()
            if greeting:
                line.outbox = bytearray(greeting)
                self._pushed(line, line.push())
        return line

    def send(self, line: Line, text: str) -> bool:
        """Tell the other side; returns at once, and False where nobody is told any more."""
        with self._lock:
            if not line.is_open:
                return False
            line.codec.send_text(text.encode())
            self._pushed(line, line.flush())
            return line.is_open

    def close(self, line: Line, goodbye: Goodbye) -> None:
        """Say goodbye; what waits is still sent for a moment. Closing twice is harmless."""
        with self._lock:
            if line.cut_at is not None or line.is_gone:
                return
            line.goodbye = goodbye
            if line.is_open:
                line.codec.send_close(goodbye.code, goodbye.reason)
            line.cut_at = time.monotonic() + LINGER_SECONDS
            self._closing.add(line)
            self._pushed(line, line.flush())
        metrics.CLOSES.labels(str(goodbye.code), goodbye.word).inc()
        self.submit(line, lambda: line.owner.closed(goodbye))

    def submit(self, line: Line, work: bytes | Callable[[], None]) -> None:
        """A message to be heard, or something to be done for this socket, in its turn."""
        with self._lock:
            if line.inbox is None:
                line.inbox = []
            line.inbox.append(work)
            line.inbox_bytes += len(work) if isinstance(work, bytes) else 0
            if not line.is_taken:
                line.is_taken = True
                self._work.put(line)

    def close_all(self, goodbye: Goodbye = RESTART) -> None:
        for line in list(self._lines.values()):
            self.close(line, goodbye)

    def leave(self, seconds: float) -> None:
        """This process ends: everybody is told to connect again, and what was not acknowledged is given back, as far as that
        can be done in `seconds`."""
        self.close_all()
        deadline = time.monotonic() + seconds
        while self._is_busy() and time.monotonic() < deadline:
            time.sleep(0.02)  # the workers go on meanwhile

    def _is_busy(self) -> bool:
        with self._lock:
            return any(line.is_taken for line in self._lines.values()) or not self._work.empty()

    def stop(self) -> None:
        """For tests: everything is closed and the threads end."""
        self.close_all()
        self._stopping.set()
        with self._lock:
            for line in list(self._lines.values()):
                self._drop(line, RESTART)

    def _start(self) -> None:
        """The first socket of this process starts its threads: a process that forks afterwards would lose them."""
        if self._epoll is not None:
            return
        self._epoll = _epoll()
        for run in (self._poll, self._keep_time, *[self._do_work] * WORKERS):
            threading.Thread(target=run, daemon=True, name="relay").start()

    def _poll(self) -> None:
        wait = self._waiter()
        while not self._stopping.is_set():
            try:
                wait()
                for number, event in self._epoll.poll(0, EVENTS_AT_ONCE):
                    self._on_event(number, event)
            except Exception:  # noqa: BLE001  one socket's surprise must not silence all the others
                log.exception("relay.poll_failed")
            time.sleep(0)  # others may have their turn

    def _waiter(self) -> Callable[[], object]:
        if not greenlets.is_gevent():
            return lambda: select.select([self._epoll], [], [], 0.2)
        from gevent import get_hub

        hub = get_hub()
        watcher = hub.loop.io(self._epoll.fileno(), 1)
        return lambda: hub.wait(watcher)

    def _on_event(self, number: int, event: int) -> None:
        with self._lock:
            line = self._lines.get(number)
            if line is None:
                return
            if event & WRITE:
                self._pushed(line, line.push())
            if event & (READ | HUNG_UP) and not line.is_gone:
                self._read(line)

    def _read(self, line: Line) -> None:
        try:
            data = line.socket.recv(READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._drop(line, GONE)
        elif line.cut_at is not None:
            self._read_goodbye(line, data)
        else:
            goodbye = line.receive(data, lambda text: self._hear(line, text), lambda: self._pong(line))
            self._pushed(line, line.flush())
            if goodbye is not None:
                self.close(line, goodbye)

    def _read_goodbye(self, line: Line, data: bytes) -> None:
        """After our goodbye only theirs counts, and nobody is listened to for long."""
        line.drained += len(data)
        line.codec.receive_data(data)
        line.codec.events_received()
        self._pushed(line, line.flush())
        if line.drained > DRAIN_BYTES or (line.codec.close_rcvd is not None and line.outbox is None):
            self._drop(line, GONE)

    def _hear(self, line: Line, text: bytes) -> None:
        if line.inbox is not None and (len(line.inbox) >= INBOX_LIMIT or line.inbox_bytes + len(text) > INBOX_BYTES_LIMIT):
            self.close(line, TOO_MANY)
        elif line.cut_at is None:
            self.submit(line, text)

    def _pong(self, line: Line) -> None:
        line.heard_at = time.monotonic()
        line.owner.pong()

    def _pushed(self, line: Line, is_well: bool) -> None:
        """After something was sent, a pong too: a full socket is watched until it takes more, a broken one is let go, and so is
        one that lets too much wait."""
        if line.is_gone:
            return
        if not is_well:
            self._drop(line, GONE)
            return
        if line.is_open and len(line.outbox or b"") > self.limits.waiting_bytes:
            self.close(line, TOO_SLOW)
            return
        if line.is_watched != bool(line.outbox):
            line.is_watched = bool(line.outbox)
            self._epoll.modify(line.fileno(), READ | WRITE if line.is_watched else READ)
        if line.is_ending and line.outbox is None:
            if line.codec.close_rcvd is not None:
                self._drop(line, LEFT)
            else:
                _half_close(line.socket)

    def _drop(self, line: Line, goodbye: Goodbye) -> None:
        """The end of a socket, whoever ended it."""
        if line.is_gone:
            return
        line.is_gone = True
        number = line.fileno()
        self._epoll.unregister(number)
        self._lines.pop(number, None)
        self._closing.discard(line)
        self._buckets[line.bucket].discard(line)
        line.socket.close()
        line.outbox = None
        line.codec.parser.close()  # it refers to its codec: without this only the garbage collector would find either
        metrics.SOCKETS.dec()
        if line.goodbye is None:
            line.goodbye, line.cut_at = goodbye, 0.0
            metrics.CLOSES.labels(str(goodbye.code), goodbye.word).inc()
            self.submit(line, lambda: line.owner.closed(goodbye))

    def _keep_time(self) -> None:
        while not self._stopping.wait(self._tick_seconds):
            try:
                self._turn = (self._turn + 1) % len(self._buckets)
                self._cut_lingering()
                with self._lock:
                    due = list(self._buckets[self._turn])
                self._ping(due)
            except Exception:  # noqa: BLE001  the clock must go on for all the others
                log.exception("relay.clock_failed")

    def _cut_lingering(self) -> None:
        now = time.monotonic()
        with self._lock:
            for line in [line for line in self._closing if line.cut_at is not None and line.cut_at < now]:
                self._drop(line, GONE)

    def _ping(self, lines: Iterable[Line]) -> None:
        before = time.monotonic() - self.limits.silence_seconds
        for number, line in enumerate(lines, 1):
            if number % EVENTS_AT_ONCE == 0:
                time.sleep(0)  # others may have their turn
            with self._lock:
                if not line.is_open:
                    continue
                if line.heard_at < before:
                    self.close(line, SILENT)
                    continue
                line.codec.send_ping(b"")
                self._pushed(line, line.flush())

    def _do_work(self) -> None:
        while not self._stopping.is_set():
            self._do_one(self._work.get())

    def _do_one(self, line: Line) -> None:
        with self._lock:
            work = line.inbox.pop(0) if line.inbox else None
            line.inbox_bytes -= len(work) if isinstance(work, bytes) else 0
        try:
            if isinstance(work, bytes):
                line.owner.hear(work)
            elif work is not None:
                work()
        except LightyardError as error:
            log.warning("relay.not_done", code=error.code, message=error.message)
        except Exception:  # noqa: BLE001  one node's surprise must not stop the work of the others
            log.exception("relay.crashed")
        with self._lock:
            line.is_taken = bool(line.inbox)
            if line.is_taken:
                self._work.put(line)
            else:
                line.inbox = None


def _half_close(socket: Socket) -> None:
    try:
        socket.shutdown(1)
    except OSError:
        return  # the other side was faster


def take_from_server(environ: Any) -> Socket | None:
    """The connection behind a request, out of gunicorn's hands; None under a server that can't give it away.

    A plain socket: gevent's own would keep two watchers for each.
    """
    held = environ.get("gunicorn.socket")
    if held is None or not hasattr(held, "detach") or hasattr(held, "getpeercert"):
        return None
    number = held.detach()
    if "gevent.monkey" in sys.modules:
        from gevent import monkey

        return monkey.get_original("socket", "socket")(fileno=number)  # type: ignore[no-any-return]
    return Socket(fileno=number)
