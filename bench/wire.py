"""A small HTTP/1.1 client on one kept connection, so that the client's own cost hardly shows in the figures."""

import json
import socket
from typing import Any
from urllib.parse import urlsplit


class WireError(Exception):
    """The server closed the connection or answered something that is no HTTP."""


class Connection:
    """One connection, used by one thread; an idle one that the server closed is opened again."""

    def __init__(self, base_url: str, timeout_seconds: float = 60.0) -> None:
        address = urlsplit(base_url)
        self._address = (address.hostname or "127.0.0.1", address.port or 80)
        self._host = f"{self._address[0]}:{self._address[1]}"
        self._timeout_seconds = timeout_seconds
        self._socket: socket.socket | None = None
        self._buffer = b""

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
        self._socket, self._buffer = None, b""

    def request(self, method: str, target: str, body: bytes = b"", headers: str = "") -> tuple[int, bytes]:
        """Send one request and read the whole answer: (status, body). `headers` are whole lines ending in CRLF."""
        head = f"{method} {target} HTTP/1.1\r\nHost: {self._host}\r\nContent-Length: {len(body)}\r\n{headers}\r\n"
        message = head.encode() + body
        if self._socket is not None:
            try:
                self._socket.sendall(message)
                return self._read_answer()
            except (ConnectionError, WireError):
                self.close()  # kept alive for too long: the server hung up before it read anything
        self._socket = socket.create_connection(self._address, self._timeout_seconds)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.sendall(message)
        return self._read_answer()

    def post_json(self, target: str, body: Any, headers: str = "") -> tuple[int, Any]:
        status, answer = self.request(
            "POST", target, json.dumps(body).encode(), f"Content-Type: application/json\r\n{headers}"
        )
        return status, json.loads(answer)

    def _read_answer(self) -> tuple[int, bytes]:
        while (end := self._buffer.find(b"\r\n\r\n")) < 0:
            self._receive()
        head = self._buffer[:end].decode("latin-1")
        self._buffer = self._buffer[end + 4 :]
        lines = head.split("\r\n")
        fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
        if "content-length" not in fields:
            raise WireError(f"an answer without Content-Length: {lines[0]}")
        length = int(fields["content-length"])
        while len(self._buffer) < length:
            self._receive()
        answer, self._buffer = self._buffer[:length], self._buffer[length:]
        if fields.get("connection", "").lower() == "close":
            self.close()
        return int(lines[0].split(" ", 2)[1]), answer

    def _receive(self) -> None:
        assert self._socket is not None
        piece = self._socket.recv(65536)
        if not piece:
            raise WireError("the server closed the connection")
        self._buffer += piece


def target_of(url: str) -> str:
    """Path and query of an address."""
    address = urlsplit(url)
    return f"{address.path}?{address.query}" if address.query else address.path
