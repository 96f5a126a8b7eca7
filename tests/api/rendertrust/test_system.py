"""Health, readiness and version, also while a part is away or hangs."""

import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from flask.testing import FlaskClient
from werkzeug.exceptions import BadRequest

from app import __version__
from app.api.readiness import Check
from app.api.rendertrust import system
from app.config import Settings
from app.db import Database, make_engine
from app.errors import InvalidInput, PaymentRequired, Refused
from app.stack.valkey import Valkey
from app.wiring import Hub, connect_cache


def test_health_and_version(client: FlaskClient) -> None:
    assert client.get("/api/v1/health").json == {"status": "healthy"}
    assert client.get("/health").json["service"] == "rayment-hub"  # the root is Rayment's
    assert client.get("/version").json == {"name": "lightyard", "version": __version__, "environment": "development"}


@pytest.mark.parametrize(
    ("error", "status"),
    [(Refused("no node is healthy"), 400), (InvalidInput("x is no y"), 422), (BadRequest("broken"), 422),
     (PaymentRequired("short", details={"available": "1.0000", "requested": "2.0000", "secret": 1}), 402)],
)
def test_bad_fields_are_422_and_what_cannot_be_granted_400(client: FlaskClient, monkeypatch, error: Exception, status: int):
    def refuse() -> None:
        raise error

    monkeypatch.setitem(client.application.view_functions, "rendertrust_system.version", refuse)
    answer = client.get("/version")
    assert answer.status_code == status and answer.json["detail"]
    assert set(answer.json) == ({"detail", "available", "requested"} if status == 402 else {"detail"})


def test_ready_asks_both_parts(client: FlaskClient) -> None:
    answer = client.get("/api/v1/health/ready")
    checks = {"database": "connected", "redis": "connected"}
    assert (answer.status_code, answer.json) == (200, {"status": "ready", "checks": checks})


def test_degraded_without_the_database(client: FlaskClient, hub: Hub) -> None:
    away = Database(make_engine(Settings(database_url="postgresql://nobody@127.0.0.1:1/none")))
    object.__setattr__(hub, "database", away)
    answer = client.get("/api/v1/health/ready")
    checks = {"database": "unavailable", "redis": "connected"}
    assert (answer.status_code, answer.json) == (200, {"status": "degraded", "checks": checks})


def test_degraded_without_valkey(client: FlaskClient, hub: Hub) -> None:
    object.__setattr__(hub, "cache", connect_cache("redis://127.0.0.1:1/0"))
    answer = client.get("/api/v1/health/ready")
    checks = {"database": "connected", "redis": "unavailable"}
    assert (answer.status_code, answer.json) == (200, {"status": "degraded", "checks": checks})


@pytest.fixture
def frozen_valkey(tmp_path: Path) -> Iterator[tuple[str, psutil.Process]]:
    """A Valkey of its own that takes connections and says nothing."""
    server = Valkey(tmp_path)
    server.start()
    process = psutil.Process(server.process.pid)
    process.send_signal(signal.SIGSTOP)
    yield server.url, process
    process.send_signal(signal.SIGCONT)
    server.stop()


def test_a_part_that_hangs_is_unavailable_and_comes_back(
    client: FlaskClient, hub: Hub, frozen_valkey: tuple[str, psutil.Process], monkeypatch: pytest.MonkeyPatch
) -> None:
    url, process = frozen_valkey
    monkeypatch.setattr(system, "CHECK_SECONDS", 0.2)
    object.__setattr__(hub, "cache", connect_cache(url))
    for _ in range(2):  # the second finds the first still asking
        assert client.get("/api/v1/health/ready").json["checks"] == {"database": "connected", "redis": "unavailable"}
    process.send_signal(signal.SIGCONT)
    monkeypatch.setattr(system, "CHECK_SECONDS", 20)
    assert client.get("/api/v1/health/ready").json["status"] == "ready"


def test_a_check_that_fails_in_any_way_is_no_answer() -> None:
    def fail() -> None:
        raise ValueError("odd")

    check = Check("odd", fail)
    assert [check.is_answered(5), check.is_answered(5)] == [False, False]
    assert Check("good", lambda: None).is_answered(5)
