"""One websocket and its mailbox: whatever goes out, goes out whole, in order, and never waits for a slow reader."""

import json
import queue
import socket as sockets
import threading
from typing import Any

import structlog
from simple_websocket import ConnectionClosed, Server

log = structlog.get_logger()
MAILBOX_LIMIT = 5000
SEND_SECONDS = 30
_CLOSE = object()


class Wire:
    """A socket whose `send` sends everything or fails, one sender at a time.

    The websocket library sends from two threads and takes a partial write for a whole one; a full buffer would tear a frame.
    """

    def __init__(self, socket: sockets.socket) -> None:
        self._socket, self._lock = socket, threading.Lock()
        socket.settimeout(SEND_SECONDS)

    def send(self, data: bytes) -> int:
        with self._lock:
            self._socket.sendall(data)
        return len(data)

    def cut(self) -> None:
        """End the connection from outside: whoever reads or writes finds it closed."""
        try:
            self._socket.shutdown(sockets.SHUT_RDWR)
        except OSError as error:
            log.debug("relay.cut", error=str(error))  # the other side was faster

    def __getattr__(self, name: str) -> Any:
        return getattr(self._socket, name)


class Mailbox:
    """What one socket is to be told; its own thread sends it, with a heartbeat after each silence.

    A reader so slow that the mailbox fills up is cut off: it signs in again and is told what it missed.
    """

    def __init__(self, socket: Server, heartbeat_seconds: float) -> None:
        self._socket, self._heartbeat_seconds = socket, heartbeat_seconds
        self._wire = Wire(socket.sock)
        socket.sock = self._wire
        self._is_cut = False
        self._letters: queue.Queue[Any] = queue.Queue(MAILBOX_LIMIT)
        self._thread = threading.Thread(target=self._send, daemon=True, name="relay-mailbox")
        self._thread.start()

    def put(self, message: dict[str, Any]) -> None:
        """Tell the other side; returns at once."""
        try:
            self._letters.put_nowait(message)
        except queue.Full:
            log.warning("relay.slow_reader_cut")
            self._is_cut = True
            self._wire.cut()

    def close(self, code: int | None = None, reason: str | None = None) -> None:
        """Send what is waiting, then say goodbye."""
        if self._is_cut:  # nobody takes letters any more
            self._thread.join(SEND_SECONDS)
            return
        try:
            self._letters.put((_CLOSE, code, reason), timeout=SEND_SECONDS)
        except queue.Full:
            self._wire.cut()
        self._thread.join(SEND_SECONDS)

    def _send(self) -> None:
        try:
            while True:
                try:
                    letter = self._letters.get(timeout=self._heartbeat_seconds)
                except queue.Empty:
                    letter = {"type": "heartbeat"}
                if isinstance(letter, tuple):
                    self._socket.close(letter[1], letter[2])
                    return
                self._socket.send(json.dumps(letter))
        except (ConnectionClosed, OSError) as error:
            log.debug("relay.closed", error=str(error))
            self._wire.cut()
