"""What a container prints, as lines for people: cut, bounded, handed on a few at a time. What comes too fast is read and dropped,
so that a container that prints for ever neither stops nor fills anything."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

MAX_LINE_BYTES = 4000
LINE_COST_BYTES = 64
FLUSH_SECONDS, FLUSH_LINES = 0.5, 200
TAIL_BYTES = 4000
REFILL_SECONDS = 60.0
LEVELS = {"stdout": "INFO", "stderr": "ERROR"}


@dataclass(frozen=True)
class Line:
    """`timestamp` is ISO 8601, when the node read it; `level` is INFO for stdout, ERROR for stderr, WARNING for what the node
    itself has to say."""

    timestamp: str
    level: str
    message: str


class Printing:
    """One container's output: `max_bytes` at once, and as many again each minute. Thread-safe; `on_lines` is called by one
    thread at a time, with up to `FLUSH_LINES` lines."""

    def __init__(self, on_lines: Callable[[list[Line]], None], max_bytes: int) -> None:
        self._on_lines = on_lines
        self._max_bytes = max_bytes
        self._left, self._refilled_at = float(max_bytes), time.monotonic()
        self._begun = {name: bytearray() for name in LEVELS}
        self._waiting: list[Line] = []
        self._flushed_at = time.monotonic()
        self._tail = b""
        self._dropped = 0
        self._lock = threading.Lock()

    def feed(self, stream: str, data: bytes) -> None:
        """Bytes as they came from `stdout` or `stderr`."""
        with self._lock:
            self._split(stream, data)
            self._flush(is_due=time.monotonic() - self._flushed_at > FLUSH_SECONDS)

    def say(self, message: str) -> None:
        """A line of the node's own."""
        with self._lock:
            self._say(message)

    def flush(self) -> None:
        """Hands over what waits."""
        with self._lock:
            self._flush(is_due=True)

    def end(self) -> None:
        """The last line, and how many were dropped."""
        with self._lock:
            for name, begun in self._begun.items():
                if begun:
                    self._keep(LEVELS[name], bytes(begun))
                    begun.clear()
            self._own_up()
            self._flush(is_due=True)

    def tail(self) -> str:
        """The end of it, dropped lines included."""
        with self._lock:
            return _clean(self._tail)

    def _split(self, stream: str, data: bytes) -> None:
        self._tail = (self._tail + data)[-TAIL_BYTES:]
        begun = self._begun[stream]
        if not self._may_keep(0):
            # Far more than anybody reads: counted, so that whoever prints it is not held up.
            ends = data.count(b"\n")
            if ends:
                self._dropped += ends
                begun[:] = data[data.rindex(b"\n") + 1:][:MAX_LINE_BYTES]
            else:
                begun[:] = (begun + data)[:MAX_LINE_BYTES]
            return
        *whole, rest = (bytes(begun) + data).split(b"\n")
        for line in whole:
            for start in range(0, len(line) or 1, MAX_LINE_BYTES):
                self._keep(LEVELS[stream], line[start:start + MAX_LINE_BYTES].rstrip(b"\r"))
        while len(rest) > MAX_LINE_BYTES:
            self._keep(LEVELS[stream], rest[:MAX_LINE_BYTES])
            rest = rest[MAX_LINE_BYTES:]
        begun[:] = rest

    def _say(self, message: str) -> None:
        self._waiting.append(Line(_now(), "WARNING", message))

    def _flush(self, is_due: bool) -> None:
        while self._waiting and (is_due or len(self._waiting) >= FLUSH_LINES):
            some, self._waiting = self._waiting[:FLUSH_LINES], self._waiting[FLUSH_LINES:]
            self._flushed_at = time.monotonic()
            self._on_lines(some)

    def _keep(self, level: str, line: bytes) -> None:
        if not self._may_keep(len(line) + LINE_COST_BYTES):
            self._dropped += 1
            return
        self._own_up()
        self._waiting.append(Line(_now(), level, _clean(line)))

    def _may_keep(self, size: int) -> bool:
        now = time.monotonic()
        self._left = min(self._max_bytes, self._left + (now - self._refilled_at) * self._max_bytes / REFILL_SECONDS)
        self._refilled_at = now
        if self._left < max(size, LINE_COST_BYTES):
            return False
        self._left -= size
        return True

    def _own_up(self) -> None:
        if self._dropped:
            self._say(f"{self._dropped} lines came faster than they are kept, and are dropped")
            self._dropped = 0


def _clean(data: bytes) -> str:
    """PostgreSQL keeps no text with a zero byte."""
    return data.decode("utf-8", "replace").replace("\0", "\N{REPLACEMENT CHARACTER}")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
