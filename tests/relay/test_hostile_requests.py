"""What only a real server shows: requests that are slow, endless or no HTTP, spoken to gunicorn as production runs it."""

import itertools
import json
import os
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest
import redis

from app.stack.postgres import Postgres, free_port
from app.stack.valkey import Valkey
from tests.api.conftest import ROOT

PATIENCE_SECONDS = 1
CLIENTS = itertools.count(1)
LONGEST_SECONDS = 30  # nothing here takes so long: it is where a test that hangs ends


@pytest.fixture(scope="module")
def port(own: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """One API with one worker process, so that its memory is one figure."""
    chosen, log = free_port(), tmp_path_factory.mktemp("api") / "log"
    mine = {"PORT": str(chosen), "API_WORKERS": "1", "TRUSTED_PROXIES": "127.0.0.1", "RATE_LIMITS": "on",
            "BODY_PATIENCE_SECONDS": str(PATIENCE_SECONDS), "BODY_BYTES_PER_SECOND": "1000000"}
    command = [sys.executable, "-m", "gunicorn", "-c", "python:app.serving", "wsgi:app"]
    with log.open("wb") as file:
        process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, **own, **mine}, stdout=file, stderr=file)
    try:
        deadline = time.monotonic() + 60
        while not is_up(chosen):
            assert time.monotonic() < deadline and process.poll() is None, log.read_text()[-2000:]
            time.sleep(0.05)  # a server that boots tells nobody: ask again
        yield chosen
    finally:
        process.terminate()
        process.wait(30)


@pytest.fixture(scope="module")
def own(postgres: Postgres, template: str, valkey: Valkey, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Settings of a hub with a database of its own."""
    name, home = f"test_{uuid.uuid4().hex}", tmp_path_factory.mktemp("home")
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
    redis.Redis.from_url(valkey.url).flushall()
    address = postgres.database_url(name)
    return {"DATABASE_URL": address, "REDIS_URL": valkey.url, "LIGHTYARD_HOME": str(home), "SOLANA_RPC_URL": "http://127.0.0.1:1"}


def is_up(port: int) -> bool:
    try:
        return say(port, b"GET /health HTTP/1.1\r\nHost: hub\r\nConnection: close\r\n\r\n")[0] == 200
    except OSError:
        return False


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=LONGEST_SECONDS)


def say(port: int, *pieces: bytes, pause: float = 0) -> tuple[int, dict[str, str], Any]:
    """Send the pieces, whatever they are, and read the answer: its status, headers and JSON. Status 0: closed without a word."""
    with connect(port) as plain:
        try:
            for piece in pieces:
                plain.sendall(piece)
                time.sleep(pause)
        except (BrokenPipeError, ConnectionResetError):
            pass  # it has heard enough; what it said is read all the same
        return hear(plain)


def hear(plain: socket.socket) -> tuple[int, dict[str, str], Any]:
    data = b""
    while b"\r\n\r\n" not in data:
        piece = plain.recv(65_536)
        if not piece:
            return 0, {}, None
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    while len(body) < int(headers.get("content-length", 0)):
        body += plain.recv(65_536)
    return int(first.split()[1]), headers, json.loads(body) if "json" in headers.get("content-type", "") else body


def head(path: str, *lines: str, method: str = "POST") -> bytes:
    """Of a client that nobody has seen before, unless the lines say who it is."""
    who = () if any("forwarded" in line.lower() for line in lines) else (f"X-Forwarded-For: 2001:db8:{next(CLIENTS):x}::1",)
    first = (f"{method} {path} HTTP/1.1", "Host: hub", "Content-Type: application/json")
    return "\r\n".join([*first, *who, *lines, "", ""]).encode()


UNREADABLE = {
    "no request at all": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    "another protocol": b"GET / HTTP/9.9\r\n\r\n",
    "a line of 100 KiB": b"GET /" + b"x" * 100_000 + b" HTTP/1.1\r\n\r\n",
    "101 headers": head("/health", *(f"X-{number}: 1" for number in range(120)), method="GET"),
    "a header of 100 KiB": head("/health", "X-Big: " + "x" * 100_000, method="GET"),
    "a header without end": head("/health", method="GET")[:-2] + b"X-Endless: " + b"x" * 2_000_000,
    "a name with a space": head("/health", "Bad Name: 1", method="GET"),
    "a folded header": head("/health", "X-A: 1\r\n  2", method="GET"),
    "two lengths": head("/render/pay", "Content-Length: 5", "Content-Length: 6") + b"hello!",
    "a length and chunks": head("/render/pay", "Content-Length: 5", "Transfer-Encoding: chunked") + b"0\r\n\r\n",
    "an unknown coding": head("/render/pay", "Transfer-Encoding: gzip, chunked") + b"0\r\n\r\n",
    "a length below nothing": head("/render/pay", "Content-Length: -1"),
    "a length in words": head("/render/pay", "Content-Length: many"),
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_what_is_no_request_is_told_so_and_let_go(port: int, name: str) -> None:
    status, headers, body = say(port, UNREADABLE[name])
    assert 400 <= status < 500 or (name, status) == ("an unknown coding", 501), (status, body)
    assert body["success"] is False and body["error"] and headers["connection"] == "close"
    assert headers["x-content-type-options"] == "nosniff" and "sandbox" in headers["content-security-policy"]
    assert headers["cache-control"] == "no-store"
    assert is_up(port)


BROKEN_CHUNKS = {
    "no number": b"zz\r\nhello\r\n0\r\n\r\n",
    "a number without end": b"f" * 20_000,
    "longer than it says": b"2\r\nhello\r\n0\r\n\r\n",
    "an endless extension": b"5;" + b"x" * 100_000,
    "a negative number": b"-5\r\nhello\r\n0\r\n\r\n",
}
DOORS = ("/render/pay", "/node/v1/nodes", "/api/v1/auth/login", "/rnp/v1/wallet/challenge", "/api/v1/workers")


@pytest.mark.parametrize("name", BROKEN_CHUNKS)
def test_broken_chunks_are_the_clients_mistake_in_each_dialect(port: int, name: str) -> None:
    for path in DOORS:
        status, _, body = say(port, head(path, "Transfer-Encoding: chunked"), BROKEN_CHUNKS[name])
        assert status in (400, 422), (path, status, body)
        assert body.get("detail") or body.get("error")


def test_a_body_that_hardly_moves_is_given_up_in_the_dialects_words(port: int) -> None:
    """A byte now and then keeps no worker: each of these would otherwise be served for as long as it likes."""
    drips = [(path, connect(port)) for path in DOORS for _ in range(4)]
    for number, (path, plain) in enumerate(drips):
        length = "Transfer-Encoding: chunked" if number % 2 else "Content-Length: 100000"
        plain.sendall(head(path, length) + (b"186a0\r\n" if number % 2 else b"") + b"{")
    assert is_up(port), "meanwhile others are served"
    for path, plain in drips:
        status, _, body = hear(plain)
        assert status == 408, (path, status, body)
        message = body.get("detail") or body["error"]
        assert "too slowly" in (message if isinstance(message, str) else message["message"])
        assert plain.recv(1) == b"", "and the connection is closed"
        plain.close()


def test_a_head_that_hardly_moves_is_closed(port: int) -> None:
    with connect(port) as plain:
        plain.sendall(b"GET /health HTTP/1.1\r\nHost: hub\r\n")
        assert plain.recv(1) == b"", "within the seconds that a head may take"


def test_endless_bodies_take_no_memory(port: int) -> None:
    (worker,) = [each for each in psutil.Process().children(recursive=True) if each.name().startswith(("gunicorn", "python"))
                 and any(connection.laddr.port == port for connection in each.net_connections() if connection.status == "LISTEN")
                 and not each.children()]
    before = worker.memory_info().rss
    piece = b"10000\r\n" + b"x" * 65_536 + b"\r\n"
    for path in DOORS:
        status, _, _ = say(port, head(path, "Transfer-Encoding: chunked"), *[piece] * 400)
        assert status == 413, path
    peak = int(next(line for line in Path(f"/proc/{worker.pid}/status").read_text().splitlines() if "VmHWM" in line).split()[1])
    assert peak * 1024 - before < 30_000_000


def test_several_lines_of_forwarded_addresses_are_one_list(port: int) -> None:
    """The last line is the proxy's; what a client sends in lines of its own, or with odd names, changes nothing."""
    for number in range(12):
        proxy = f"x-forwarded-for: 203.0.113.77:{4000 + number}"
        disguise = (f"X-Forwarded-For: 6.6.6.{number}", f"X_Forwarded_For: 7.7.7.{number}", proxy)
        status, _, body = say(port, head("/render", *disguise, "Content-Length: 2", "Connection: close") + b"{}")
        assert status == (400 if number < 10 else 429), (number, body)


def test_another_request_in_the_body_is_never_answered(port: int) -> None:
    """The hub and a proxy must agree where a body ends: what stands in it is not a request."""
    inner = b"GET /stats HTTP/1.1\r\nHost: hub\r\n\r\n"
    with connect(port) as plain:
        outer, after = head("/render/pay", f"Content-Length: {len(inner)}"), head("/health", "Connection: close", method="GET")
        plain.sendall(outer + inner + after)
        data = b""
        while piece := plain.recv(65_536):
            data += piece
    assert [part[:3] for part in data.split(b"HTTP/1.1 ")[1:]] == [b"400", b"200"] and b"rayment-hub" in data
