"""Reports from a served process: a reader that takes its time keeps nothing from anybody else."""

import csv
import io
import socket
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import text

from app.config import Settings
from app.wiring import Hub
from tests.api.cocoon.conftest import Person, join, wallet
from tests.api.cocoon.test_exports import FILL
from tests.relay.conftest import running_api

ROWS, READERS = 20_000, 6


@pytest.fixture
def environment(settings: Settings) -> dict[str, str]:
    """One connection to the database, and one for a moment of need."""
    return {
        "DATABASE_URL": settings.database_url,
        "REDIS_URL": settings.redis_url,
        "SOLANA_RPC_URL": settings.solana_rpc_url,
        "LIGHTYARD_HOME": settings.lightyard_home,
        "RATE_LIMITS": "off",
        "DATABASE_POOL_SIZE": "1",
    }


def ask(port: int, person: Person) -> socket.socket:
    """A report that is asked for and not read. A small window: what is not read stays with the server."""
    reader = socket.socket()
    reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    reader.settimeout(60)
    reader.connect(("127.0.0.1", port))
    path = "/api/v1/payouts/export/tax-report?year=2025"
    reader.sendall(f"GET {path} HTTP/1.0\r\nHost: x\r\nAuthorization: Bearer {person.key}\r\n\r\n".encode())
    return reader


def test_slow_readers_hold_no_connection_and_get_every_row(
    client: FlaskClient, hub: Hub, environment: dict[str, str], tmp_path: Path
) -> None:
    person = join(client, hub)
    values: dict[str, Any] = {"account": person.account_id, "participant": person.id, "wallet": wallet().raw, "many": ROWS}
    with hub.database.unit_of_work() as session:
        session.execute(FILL, values)
        session.execute(text("ANALYZE payouts"))
    with running_api(environment, tmp_path / "api.log") as api:
        readers = [ask(api.port, person) for _ in range(READERS)]
        begun = [reader.recv(1024) for reader in readers]
        assert [data.split()[1] for data in begun] == [b"200"] * READERS
        for _ in range(3):
            answer = api.get("/api/v1/payouts?limit=1", headers={"Authorization": f"Bearer {person.key}"})
            assert answer.status_code == 200
        for reader, first in zip(readers, begun, strict=True):
            with reader, reader.makefile("rb") as rest:
                body = (first + rest.read()).partition(b"\r\n\r\n")[2].decode()
            rows = list(csv.reader(io.StringIO(body, newline="")))
            assert len(rows) == ROWS + 1 and len({row[1] for row in rows}) == ROWS + 1
