"""`python -m bench.crowd PORT`: ten thousand idle nodes in one process of their own, so that the measured one is alone.

Standard input: a line of JSON per node ([node id, token]), an empty line, then commands. `count` answers how many dispatches
have come and when the last did (seconds of the monotonic clock); the end of the input ends it.
"""

import base64
import json
import os
import resource
import select
import socket
import sys
import time
from concurrent.futures import ThreadPoolExecutor

SOURCES, AT_ONCE = 8, 16
PING, PONG, TEXT, CLOSE = 0x9, 0xA, 0x1, 0x8


class Crowd:
    def __init__(self, port: int) -> None:
        self._port, self._epoll = port, select.epoll()
        self._sockets: dict[int, socket.socket] = {}
        self._pieces: dict[int, bytes] = {}
        self.dispatches, self.last_at, self.closed = 0, 0.0, 0

    def shake_hands(self, number: int, node_id: str, token: str) -> tuple[socket.socket, bytes]:
        made = socket.create_connection(("127.0.0.1", self._port), 60, (f"127.0.0.{1 + number % SOURCES}", 0))
        key = base64.b64encode(os.urandom(16)).decode()
        made.sendall(
            f"GET /api/v1/relay/ws/{node_id} HTTP/1.1\r\nHost: bench\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\nAuthorization: Bearer {token}\r\n\r\n".encode()
        )
        answer = b""
        while b"\r\n\r\n" not in answer:
            piece = made.recv(4096)
            if not piece:
                raise ConnectionError("the hub closed during the handshake")
            answer += piece
        head, _, rest = answer.partition(b"\r\n\r\n")
        if b" 101 " not in head.partition(b"\r\n")[0]:
            raise ConnectionError(head.decode(errors="replace")[:300])
        made.setblocking(False)
        return made, rest

    def take(self, made: socket.socket, rest: bytes) -> None:
        self._sockets[made.fileno()] = made
        self._epoll.register(made.fileno(), select.EPOLLIN)
        self._take(made.fileno(), rest)

    def serve(self, seconds: float) -> None:
        for number, _ in self._epoll.poll(seconds, 512):
            try:
                data = self._sockets[number].recv(65536)
            except BlockingIOError:
                continue
            except OSError:
                data = b""
            if data:
                self._take(number, data)
            else:
                self._leave(number)

    def _take(self, number: int, data: bytes) -> None:
        """Frames of a server: small, whole, not masked."""
        data = self._pieces.pop(number, b"") + data
        while len(data) >= 2:
            size, start = data[1] & 0x7F, 2
            if size == 126 and len(data) >= 4:
                size, start = int.from_bytes(data[2:4], "big"), 4
            elif size >= 126:
                break
            if len(data) < start + size:
                break
            self._frame(number, data[0] & 0xF, data[start : start + size])
            data = data[start + size :]
        if data:
            self._pieces[number] = data

    def _frame(self, number: int, opcode: int, payload: bytes) -> None:
        if opcode == PING:
            self._sockets[number].send(bytes([0x80 | PONG, 0x80 | len(payload)]) + b"\0\0\0\0" + payload)
        elif opcode == TEXT and b'"job_dispatch"' in payload:
            self.dispatches += 1
            self.last_at = time.monotonic()
        elif opcode == CLOSE:
            self.closed += 1

    def _leave(self, number: int) -> None:
        self._epoll.unregister(number)
        self._sockets.pop(number).close()


def main() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    crowd, wanted = Crowd(int(sys.argv[1])), []
    while line := sys.stdin.readline().strip():
        wanted.append(json.loads(line))
    with ThreadPoolExecutor(AT_ONCE) as pool:
        opening = [pool.submit(crowd.shake_hands, number, *pair) for number, pair in enumerate(wanted)]
        for opened in opening:
            crowd.take(*opened.result())
            crowd.serve(0)
    print(json.dumps({"opened": len(wanted)}), flush=True)
    while True:
        if select.select([sys.stdin], [], [], 0)[0]:
            if not sys.stdin.readline():
                return
            found = {"dispatches": crowd.dispatches, "last_at": crowd.last_at, "closed": crowd.closed, "now": time.monotonic()}
            print(json.dumps(found), flush=True)
        crowd.serve(0.05)


if __name__ == "__main__":
    main()
