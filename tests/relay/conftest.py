"""Two real API processes (gunicorn with gevent) on the same PostgreSQL, Valkey, store and chain."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from app.config import Settings
from app.db import Database, make_engine
from app.stack.postgres import free_port
from tests.api.conftest import ROOT, Market, payer, solana_url
from tests.factories.stacks import FRESH

__all__ = ["payer", "solana_url"]  # fixtures that these tests share with tests/api
HEARTBEAT_SECONDS = 1


class Answer:
    """httpx's answer in the words of Flask's test client, which the shared helpers speak."""

    def __init__(self, answer: httpx.Response) -> None:
        self.status_code, self.data, self.headers = answer.status_code, answer.content, answer.headers

    @property
    def json(self) -> Any:
        return json.loads(self.data)


class Api:
    """One API process, called over HTTP."""

    def __init__(self, process: subprocess.Popen[bytes], port: int) -> None:
        self.process, self.port, self.url = process, port, f"http://127.0.0.1:{port}"
        self.http = httpx.Client(limits=FRESH, base_url=self.url, timeout=60)

    def request(self, method: str, path: str, *, data: Any = None, **options: Any) -> Answer:
        if isinstance(data, dict):
            files = {name: (value[1], value[0]) for name, value in data.items() if isinstance(value, tuple)}
            options |= {"files": files, "data": {name: value for name, value in data.items() if name not in files}}
        elif data is not None:
            options["content"] = data
        return Answer(self.http.request(method, path, **options))

    def get(self, path: str, **options: Any) -> Answer:
        return self.request("GET", path, **options)

    def post(self, path: str, **options: Any) -> Answer:
        return self.request("POST", path, **options)

    def put(self, path: str, **options: Any) -> Answer:
        return self.request("PUT", path, **options)

    def connect(self, **options: Any) -> ClientConnection:
        return connect(f"ws://127.0.0.1:{self.port}/ws", **options)


def _start(environment: dict[str, str], log: Path) -> Api:
    port = free_port()
    command = [sys.executable, "-m", "gunicorn", "-k", "gevent", "-w", "1", "-b", f"127.0.0.1:{port}", "--graceful-timeout", "1"]
    with log.open("wb") as file:
        variables = {**os.environ, "PUBLIC_URL": f"http://127.0.0.1:{port}", **environment}
        process = subprocess.Popen([*command, "wsgi:app"], cwd=ROOT, env=variables, stdout=file, stderr=file)
    return Api(process, port)


def _wait_ready(api: Api, log: Path) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            assert api.get("/health").status_code == 200
            return
        except httpx.HTTPError:
            assert time.monotonic() < deadline and api.process.poll() is None, log.read_text()[-2000:]
            time.sleep(0.05)  # a server that boots tells nobody: ask again


def _stop(*apis: Api) -> None:
    """All are told before any is waited for: a worker looks once a second."""
    for api in apis:
        api.http.close()
        api.process.terminate()
    for api in apis:
        api.process.wait(30)


@contextmanager
def running_api(environment: dict[str, str], log: Path) -> Iterator[Api]:
    api = _start(environment, log)
    try:
        _wait_ready(api, log)
        yield api
    finally:
        _stop(api)


@contextmanager
def running_apis(environment: dict[str, str], folder: Path) -> Iterator[tuple[Api, Api]]:
    """Two at once. One address for signed files, whichever process signs them."""
    first = _start(environment, folder / "a.log")
    started = [first]
    try:
        started.append(_start({**environment, "PUBLIC_URL": first.url}, folder / "b.log"))
        _wait_ready(first, folder / "a.log")
        _wait_ready(started[1], folder / "b.log")
        yield first, started[1]
    finally:
        _stop(*started)


@pytest.fixture
def environment(database_url: str, redis_url: str, solana_url: str, tmp_path: Path) -> dict[str, str]:
    return {
        "DATABASE_URL": database_url,
        "REDIS_URL": redis_url,
        "SOLANA_RPC_URL": solana_url,
        "STORAGE_URL": f"file://{tmp_path}/files",
        "LIGHTYARD_HOME": str(tmp_path),
        "ALLOW_PRIVATE_ENDPOINTS": "on",
        "RATE_LIMITS": "off",
        "HEARTBEAT_SECONDS": str(HEARTBEAT_SECONDS),
    }


@pytest.fixture
def apis(environment: dict[str, str], tmp_path: Path) -> Iterator[tuple[Api, Api]]:
    with running_apis(environment, tmp_path) as started:
        yield started


class Parts:
    """What the shared helpers need of a hub: its database."""

    def __init__(self, database: Database) -> None:
        self.database = database


@pytest.fixture
def market(apis: tuple[Api, Api], solana_url: str, database_url: str) -> Iterator[Market]:
    """A provider registered at the first process."""
    database = Database(make_engine(Settings(database_url=database_url)))
    yield Market(apis[0], Parts(database), solana_url)  # type: ignore[arg-type]
    database.engine.dispose()


class Provider:
    """A provider's socket: signs in, and reads events past heartbeats."""

    def __init__(self, socket: ClientConnection, market: Market) -> None:
        self.socket, self.market = socket, market

    def message(self, **changes: Any) -> dict[str, Any]:
        timestamp = changes.pop("timestamp", int(time.time() * 1000))
        provider_id = changes.pop("providerId", self.market.provider_id)
        signature = self.market.wallet.sign(f"ws:{provider_id}:{timestamp}")
        body = {"type": "auth", "providerId": provider_id, "timestamp": timestamp, "signature": signature}
        return {**body, **changes}

    def send(self, message: Any) -> None:
        self.socket.send(message if isinstance(message, str | bytes) else json.dumps(message))

    def ask(self, message: Any) -> dict[str, Any]:
        self.send(message)
        return self.event()

    def event(self, kind: str | None = None, seconds: float = 30) -> dict[str, Any]:
        """The next message that is no heartbeat (and is of a kind, if one is named)."""
        while True:
            found = json.loads(self.socket.recv(timeout=seconds))
            if found["type"] != "heartbeat" and kind in (None, found["type"]):
                return found  # type: ignore[no-any-return]

    def sign_in(self) -> "Provider":
        assert self.ask(self.message()) == {"type": "authenticated"}
        return self

    def closed(self) -> int:
        """Read until the server closes; returns its code."""
        try:
            while True:
                self.socket.recv(timeout=60)
        except ConnectionClosed as error:
            return error.rcvd.code if error.rcvd else 1006
