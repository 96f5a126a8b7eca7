"""A mailbox over a real pair of sockets: whole frames to a slow reader, an end to one who never reads."""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis
from simple_websocket import Server
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from app.config import Settings
from app.relay import rayment, sockets
from app.relay.rooms import Rooms
from app.relay.sockets import Mailbox
from app.wiring import Hub, build

NOBODY = Rooms(redis.Redis(port=1), lambda event: {}, lambda room, listener: None)


@pytest.fixture
def hub(database_url: str, redis_url: str, tmp_path: Path) -> Iterator[Hub]:
    found = build(Settings(database_url=database_url, redis_url=redis_url, lightyard_home=str(tmp_path)))
    yield found
    found.database.engine.dispose()


@contextmanager
def joined() -> Iterator[tuple[Server, ClientConnection]]:
    """Both ends of one websocket, with small buffers between them."""
    here, there = socket.socketpair()
    for end in (here, there):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    servers: list[Server] = []

    def accept() -> None:
        lines = here.recv(65_536).decode().split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines[1:] if ": " in line)
        environ = {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in headers.items()}
        servers.append(Server({**environ, "PATH_INFO": "/ws", "QUERY_STRING": "", "werkzeug.socket": here}))

    thread = threading.Thread(target=accept)
    thread.start()
    with connect("ws://hub/ws", sock=there, max_queue=4, compression=None, close_timeout=1) as client:
        thread.join()
        yield servers[0], client
    here.close()


def test_a_slow_reader_gets_every_message_whole_and_in_order() -> None:
    with joined() as (server, client):
        mailbox = Mailbox(server, 30)
        for number in range(1000):
            mailbox.put({"number": number, "padding": "x" * 1000})
        assert [json.loads(client.recv(timeout=30))["number"] for _ in range(1000)] == list(range(1000))


def test_a_full_mailbox_cuts_the_reader_off_and_nobody_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sockets, "MAILBOX_LIMIT", 50)
    with joined() as (server, client):
        mailbox = Mailbox(server, 30)
        for number in range(3000):  # far more than the mailbox and the buffers hold; `put` never blocks
            mailbox.put({"number": number, "padding": "x" * 1000})
        got = []
        with pytest.raises(ConnectionClosed):
            while True:
                got.append(json.loads(client.recv(timeout=30))["number"])
        assert got == list(range(len(got))) and len(got) < 3000
        mailbox.close()
        assert not server.connected


def test_silence_is_filled_with_heartbeats_and_a_goodbye_is_said() -> None:
    with joined() as (server, client):
        mailbox = Mailbox(server, 0.05)
        assert json.loads(client.recv(timeout=30)) == {"type": "heartbeat"}
        mailbox.close(1008, "goodbye")
        with pytest.raises(ConnectionClosed) as closed:
            while True:
                client.recv(timeout=30)
        assert closed.value.rcvd is not None
        assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (1008, "goodbye")


def test_who_never_says_who_it_is_is_shown_out(monkeypatch: pytest.MonkeyPatch, hub: Hub) -> None:
    monkeypatch.setattr(rayment, "SIGN_IN_SECONDS", 0.05)
    with joined() as (server, client):
        thread = threading.Thread(target=rayment.Connection(server, hub, NOBODY).serve)
        thread.start()
        with pytest.raises(ConnectionClosed) as closed:
            while True:
                client.recv(timeout=30)
        thread.join(30)
        assert closed.value.rcvd is not None and closed.value.rcvd.code == rayment.POLICY_VIOLATION
        assert not thread.is_alive()
