"""One poll for many sockets: goodbyes, limits, slow readers, floods; over real TCP connections."""

import json
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect
from websockets.utils import accept_key

from app.relay.exchange import Exchange
from app.relay.lines import RESTART, Goodbye, Limits, Line
from tests.factories.stacks import wait_until

FAST = Limits(ping_seconds=0.2, silence_seconds=1.0, messages_per_second=50, waiting_bytes=65_536)
PATIENT = Limits(messages_per_second=50, waiting_bytes=65_536)
MIB = 1 << 20
UPGRADE = "Upgrade: websocket\r\nConnection: Upgrade\r\n"


class Echo:
    """Says back what it hears, and notes how it ended."""

    def __init__(self, exchange: Exchange) -> None:
        self.exchange, self.line = exchange, None
        self.heard: list[bytes] = []
        self.pongs = 0
        self.goodbye: Goodbye | None = None
        self.ended = threading.Event()

    def hear(self, text: bytes) -> None:
        self.heard.append(text)
        assert self.line is not None
        self.exchange.send(self.line, text.decode())

    def pong(self) -> None:
        self.pongs += 1

    def closed(self, goodbye: Goodbye) -> None:
        self.goodbye = goodbye
        self.ended.set()


class Served:
    """An exchange behind a real port: each connection gets an echo."""

    def __init__(self, limits: Limits) -> None:
        self.exchange, self.owners = Exchange(limits), list[Echo]()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                made, _ = self.listener.accept()
            except OSError:
                return  # the test is over
            request = b""
            while not request.endswith(b"\r\n\r\n") and (piece := made.recv(4096)):
                request += piece
            fields = dict(line.split(": ", 1) for line in request.decode().split("\r\n")[1:] if line)
            key = next((value for name, value in fields.items() if name.lower() == "sec-websocket-key"), "")
            owner = Echo(self.exchange)
            self.owners.append(owner)
            answer = f"HTTP/1.1 101 Switching Protocols\r\n{UPGRADE}Sec-WebSocket-Accept: {accept_key(key)}\r\n\r\n"
            owner.line = self.exchange.attach(made, owner, answer.encode())

    def connect(self, **options: object) -> ClientConnection:
        return connect(f"ws://127.0.0.1:{self.port}/", legacy=True, max_size=None, **options)  # type: ignore[arg-type]

    def raw(self) -> socket.socket:
        """A connection whose frames the test writes itself, and which answers no ping."""
        made = socket.create_connection(("127.0.0.1", self.port))
        made.sendall(f"GET / HTTP/1.1\r\n{UPGRADE}Sec-WebSocket-Key: x\r\n\r\n".encode())
        answer = b""
        while not answer.endswith(b"\r\n\r\n"):
            answer += made.recv(1)
        return made

    def stop(self) -> None:
        self.listener.close()
        self.exchange.stop()


@contextmanager
def served(limits: Limits) -> Iterator[Served]:
    made = Served(limits)
    try:
        yield made
    finally:
        made.stop()


def goodbye_of(client: ClientConnection) -> tuple[int, str]:
    with pytest.raises(ConnectionClosed) as closed:
        while True:
            client.recv(timeout=30)
    assert closed.value.rcvd is not None
    return closed.value.rcvd.code, closed.value.rcvd.reason


def raw_goodbye(made: socket.socket) -> int:
    """The code of the close frame that ends what the server says on a raw connection."""
    data = b""
    while piece := made.recv(65536):
        data += piece
    while data:
        size, start = data[1] & 0x7F, 2
        if size == 126:
            size, start = struct.unpack("!H", data[2:4])[0], 4
        if data[0] & 0xF == 0x8:
            return int(struct.unpack("!H", data[start : start + 2])[0])
        data = data[start + size :]
    raise AssertionError("no close frame")


def test_messages_go_both_ways_whole_and_in_order() -> None:
    with served(PATIENT) as hub, hub.connect() as client:
        texts = [json.dumps({"number": number, "text": "ü" * number * 50}) for number in range(100)]
        for text in texts:
            client.send(text)
        assert [client.recv(timeout=30) for _ in texts] == texts


def test_fragments_are_one_message() -> None:
    with served(PATIENT) as hub, hub.connect() as client:
        client.send(["{", '"a":', "1}"])
        assert client.recv(timeout=30) == '{"a":1}'


def test_who_answers_pings_stays_and_who_does_not_is_closed_4002() -> None:
    with served(FAST) as hub:
        with hub.connect() as alive:
            silent = hub.raw()
            assert raw_goodbye(silent) == 4002
            assert hub.owners[1].ended.wait(30) and hub.owners[1].goodbye is not None
            assert hub.owners[1].goodbye.word == "silent"
            alive.send("still here")
            assert alive.recv(timeout=30) == "still here"
            assert hub.owners[0].pongs > 0
            silent.close()


def test_a_frame_of_a_gigabyte_is_refused_at_its_head_and_never_kept() -> None:
    with served(PATIENT) as hub:
        client = hub.raw()
        process, before = psutil.Process(), psutil.Process().memory_info().rss
        client.sendall(b"\x81\xff" + struct.pack("!Q", 1 << 30) + b"\0\0\0\0")
        sent, most = 0, 0
        try:
            while sent < 1 << 30:
                sent += client.send(b"x" * MIB)
                most = max(most, process.memory_info().rss - before)
        except OSError:
            pass  # it hung up long before the gigabyte was over
        assert hub.owners[0].ended.wait(30)
        assert hub.owners[0].goodbye is not None and hub.owners[0].goodbye.code == 1009
        assert sent < 64 * MIB and most < 32 * MIB
        client.close()


def test_the_goodbye_for_a_large_message_arrives() -> None:
    with served(PATIENT) as hub, hub.connect() as client:
        threading.Thread(target=lambda: _send_anyway(client, "x" * (MIB + 1)), daemon=True).start()
        assert goodbye_of(client)[0] == 1009


def _send_anyway(client: ClientConnection, text: str) -> None:
    try:
        client.send(text)
    except ConnectionClosed:
        return  # as it must be


def test_a_large_message_in_small_fragments_is_too_large() -> None:
    with served(PATIENT) as hub, hub.connect() as client:
        pieces = ("x" * 65_536 for _ in range(17))
        threading.Thread(target=lambda: _send_anyway(client, pieces), daemon=True).start()  # type: ignore[arg-type]
        assert goodbye_of(client)[0] in (1008, 1009)


def test_bytes_are_no_messages() -> None:
    with served(PATIENT) as hub, hub.connect() as client:
        client.send(b"{}")
        assert goodbye_of(client) == (1003, "messages are JSON text")


@pytest.mark.parametrize("frame", [b"\x81\x01x", b"\xf1\x80\0\0\0\0", b"\x80\x80\0\0\0\0", b"\x83\x80\0\0\0\0"])
def test_what_is_no_frame_ends_the_socket(frame: bytes) -> None:
    """Not masked, reserved bits, a continuation of nothing, an unknown opcode."""
    with served(PATIENT) as hub:
        client = hub.raw()
        client.sendall(frame)
        assert raw_goodbye(client) == 1002
        client.close()


@pytest.mark.parametrize("frame", [b"\x81\x80\0\0\0\0", b"\x89\x80\0\0\0\0"])
def test_a_flood_is_stopped(frame: bytes) -> None:
    with served(PATIENT) as hub:
        client = hub.raw()
        try:
            client.sendall(frame * 20_000)
        except OSError:
            pass  # it hung up before all was sent
        assert hub.owners[0].ended.wait(30)
        assert hub.owners[0].goodbye is not None and hub.owners[0].goodbye.word == "too_many"
        client.close()


def test_a_slow_reader_is_closed_and_costs_nothing_more() -> None:
    with served(PATIENT) as hub:
        client = hub.raw()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        line = _line(hub)
        sent = 0
        while hub.exchange.send(line, "x" * 10_000):
            sent += 1
            assert sent < 10_000, "whoever reads nothing is told for ever"
        assert hub.owners[0].ended.wait(30)
        assert hub.owners[0].goodbye is not None and hub.owners[0].goodbye.word == "slow_reader"
        assert not hub.exchange.send(line, "more")
        assert line.outbox is None or len(line.outbox) < PATIENT.waiting_bytes + 32_768
        client.close()


def test_who_pings_and_reads_no_pong_is_a_slow_reader_too() -> None:
    with served(Limits(messages_per_second=10**9, waiting_bytes=65_536)) as hub:
        client = hub.raw()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        line = _line(hub)
        line.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        pings = b"\x89\xfd\0\0\0\0" + b"x" * 125
        try:
            for _ in range(200):
                client.sendall(pings * 100)
        except OSError:
            pass  # it hung up before all was sent
        assert hub.owners[0].ended.wait(30)
        assert hub.owners[0].goodbye is not None and hub.owners[0].goodbye.word == "slow_reader"
        client.close()


def _line(hub: Served) -> Line:
    """The socket's line, which is made after the client has its handshake's answer."""
    wait_until(lambda: bool(hub.owners) and hub.owners[0].line is not None, "the socket is attached")
    line = hub.owners[0].line
    assert line is not None
    return line


def test_a_reader_that_is_only_a_little_slow_gets_everything() -> None:
    with served(PATIENT) as hub, hub.connect() as client:
        client.send("hello")
        client.recv(timeout=30)
        for number in range(6):
            assert hub.exchange.send(_line(hub), f"{number}" * 10_000)
        assert [client.recv(timeout=30)[0] for _ in range(6)] == list("012345")


def test_what_waits_for_a_reader_is_counted_until_it_reads() -> None:
    size = 2**24  # more than the kernel keeps for both sides, which is up to 4 MiB for who sends
    with served(Limits(waiting_bytes=2**26)) as hub, hub.raw() as made:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)  # else it grows, to 32 MiB on some machines
        wait_until(lambda: hub.exchange.waiting_bytes() == 0, "its greeting to be counted as sent")
        assert hub.exchange.send(_line(hub), "x" * size)
        assert 0 < hub.exchange.waiting_bytes() <= size + 16
        left = size
        while left > 0:
            left -= len(made.recv(2**20))
        wait_until(lambda: hub.exchange.waiting_bytes() == 0, "everything to be taken")


def test_a_goodbye_is_said_once_and_nothing_is_left() -> None:
    with served(PATIENT) as hub:
        with hub.connect() as client:
            client.send("hello")
            client.recv(timeout=30)
            hub.exchange.close_all(RESTART)
            hub.exchange.close_all(RESTART)
            assert goodbye_of(client) == (1012, RESTART.reason)
        assert hub.owners[0].ended.wait(30)
        deadline = time.monotonic() + 30
        while len(hub.exchange) and time.monotonic() < deadline:
            time.sleep(0.01)  # the kernel tells the poll, and nobody else
        assert len(hub.exchange) == 0


def test_who_leaves_politely_and_who_just_goes_are_both_let_go() -> None:
    with served(PATIENT) as hub:
        with hub.connect() as polite:
            polite.send("hello")
            polite.recv(timeout=30)
        rude = hub.raw()
        rude.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        rude.close()
        assert all(owner.ended.wait(30) for owner in hub.owners)
        assert [owner.goodbye.word for owner in hub.owners if owner.goodbye] == ["left", "gone"]


def test_one_socket_that_crashes_its_owner_does_not_stop_the_others() -> None:
    with served(PATIENT) as hub, hub.connect() as first, hub.connect() as second:
        first.send("hello")
        first.recv(timeout=30)

        def crash(_text: bytes) -> None:
            raise RuntimeError("as if something were wrong with us")

        hub.owners[0].hear = crash  # type: ignore[method-assign]
        first.send("boom")
        for number in range(20):
            second.send(str(number))
            assert second.recv(timeout=30) == str(number)
