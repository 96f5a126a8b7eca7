"""The doctor against real servers that something is wrong with."""

import errno
import socket
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from alembic import command

from app.config import Settings
from app.db import Database
from app.observability import scrubbing
from app.stack import doctor
from app.stack.doctor import FAIL, OK, WARN, Finding, chains, machine, parts, servers, together
from app.stack.doctor.place import Place, look_around
from app.stack.leftovers import MARK
from app.stack.ports import free_port
from app.stack.valkey import Valkey
from tests.conftest import alembic_config
from tests.factories.chain_nodes import Node
from tests.factories.payouts import Mischief, between, signer_process
from tests.factories.ton import TonChain

REAL = {"lightyard_env": "production", "secret_key": "k" * 32}


def place(tmp_path: Path, is_running: bool = False, **settings: object) -> Place:
    found = look_around(Settings(lightyard_home=str(tmp_path), **settings))  # type: ignore[arg-type]
    return Place(found.settings, is_running, found.embedded)


def one(findings: object, name: str) -> Finding:
    (found,) = [item for item in findings if item.name == name]  # type: ignore[attr-defined]
    return found


def test_what_hangs_and_what_breaks_is_a_finding_and_the_others_are_not_kept_waiting() -> None:
    release = threading.Event()

    def hangs() -> list[Finding]:
        release.wait(30)
        return []

    def breaks() -> list[Finding]:
        raise ZeroDivisionError("by zero")

    began = time.monotonic()
    found = together({"a": hangs, "b": breaks, "c": lambda: [Finding(OK, "c", "well")]}, {}, most_seconds=0.5)
    release.set()
    assert time.monotonic() - began < 20
    assert [(item.mark, item.name) for item in found] == [(FAIL, "a"), (FAIL, "b"), (OK, "c")]
    assert "no answer" in found[0].text and "ZeroDivisionError: by zero" in found[1].text and found[0].advice


def test_no_finding_tells_the_key_in_a_chains_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What an RPC server refuses is told with its whole address, where vendors have their keys."""
    monkeypatch.setattr(doctor, "_PROBES", {"solana": chains.solana, "evm": chains.evm, "ton": chains.ton})
    server = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)  # as it is, it refuses whatever it is asked
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}/v2/7Qm3kV9xTzR2bN5w?api-key=hG4dLp8sYc"
    try:
        found = doctor.examine(Settings(lightyard_home=str(tmp_path), solana_rpc_url=url, evm_rpc_url=url, ton_api_url=url))
    finally:
        scrubbing.know(Settings())
        server.shutdown()
        server.server_close()
    assert [item.mark for item in found] == [FAIL, FAIL, FAIL] and all("501" in item.text for item in found)
    assert not any(key in str(item) for item in found for key in ("7Qm3kV9xTzR2bN5w", "hG4dLp8sYc")), found


def test_a_database_that_is_behind_or_ahead_is_told_apart(database: Database, database_url: str, tmp_path: Path) -> None:
    here = place(tmp_path, database_url=database_url)
    assert {item.mark for item in servers.postgres(here)} == {OK}
    command.downgrade(alembic_config(database), "-1")
    behind = one(servers.postgres(here), "migrations")
    assert (behind.mark, behind.advice) == (FAIL, "lightyard migrate")
    with database.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    assert "older than the database" in one(servers.postgres(here), "migrations").text
    with database.engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE alembic_version")
    assert "no tables yet" in one(servers.postgres(here), "migrations").text


def test_a_role_that_is_missing_and_a_server_that_is_away(database_url: str, tmp_path: Path) -> None:
    found = one(servers.postgres(place(tmp_path, database_url=database_url, database_role="nobody_at_all")), "role")
    assert found.mark == FAIL and "GRANT" in found.advice
    good = one(servers.postgres(place(tmp_path, database_url=database_url, database_role="lightyard_app")), "role")
    assert good.mark == OK
    away = one(servers.postgres(place(tmp_path, database_url="postgresql://jane:geheim@127.0.0.1:1/x")), "postgres")
    assert away.mark == FAIL and "DATABASE_URL" in away.advice and "geheim" not in away.text + away.advice


def test_a_valkey_that_forgets_or_is_away(tmp_path: Path, valkey: Valkey) -> None:
    import redis

    client = redis.Redis.from_url(valkey.url)
    here = place(tmp_path, redis_url=valkey.url)
    assert one(servers.valkey(here), "valkey").mark == OK
    client.config_set("maxmemory", "100mb")
    client.config_set("maxmemory-policy", "allkeys-lru")
    try:
        assert one(servers.valkey(here), "valkey").mark == WARN
    finally:
        client.config_set("maxmemory-policy", "noeviction")
        client.config_set("maxmemory", "0")
    away = one(servers.valkey(place(tmp_path, redis_url="redis://:geheim@127.0.0.1:1/0")), "valkey")
    assert away.mark == FAIL and "geheim" not in away.text
    broker = one(servers.broker(place(tmp_path, broker_url="amqp://guest:geheim@127.0.0.1:1//")), "broker")
    assert broker.mark == FAIL and "geheim" not in broker.text


def test_a_solana_that_lags_is_of_another_network_or_away(tmp_path: Path) -> None:
    node, mischief = Node("--slot-ms", "25"), Mischief()
    try:
        with between(node.url, mischief) as url:
            here = place(tmp_path, solana_rpc_url=f"{url},http://127.0.0.1:1/secret-key")
            well, away = chains.solana(here)
            assert (well.mark, away.mark) == (OK, FAIL) and "local chain" in well.text and "secret-key" not in away.text
            mischief.behind_seconds = 4000
            late, _ = chains.solana(here)
            assert late.mark == WARN and "old by this host's clock" in late.text
            real = one(chains.solana(place(tmp_path, solana_rpc_url=url, **REAL)), "solana")
            assert real.mark == FAIL and "money here is real" in real.text
    finally:
        node.end()


def test_a_ton_of_another_network_is_seen(tmp_path: Path) -> None:
    ton = TonChain()
    try:
        here = one(chains.ton(place(tmp_path, ton_api_url=ton.api_url)), "ton")
        assert here.mark in (OK, WARN) and "a local chain" in here.text  # in memory its clock may stand still
        assert one(chains.ton(place(tmp_path, ton_api_url=ton.api_url, **REAL)), "ton").mark == FAIL
        assert one(chains.ton(place(tmp_path, ton_api_url="http://127.0.0.1:1/api/v2")), "ton").mark == FAIL
    finally:
        ton.end()


def test_a_signer_that_is_away_empty_or_cannot_pay_fees(tmp_path: Path) -> None:
    assert one(parts.signer(place(tmp_path / "none")), "signer").mark == OK
    away = one(parts.signer(place(tmp_path / "none", is_running=True)), "signer")
    assert away.mark == FAIL and "lightyard signer run" in away.advice
    node = Node("--slot-ms", "0")
    try:
        with signer_process(tmp_path) as signer:
            here = place(tmp_path, solana_rpc_url=node.url, signer_socket=str(signer.home / "signer.sock"))
            poor = next(item for item in parts.signer(here) if "solana" in item.text)
            assert poor.mark == WARN and "0.0000 SOL for fees" in poor.text and "send it SOL" in poor.advice
    finally:
        node.end()


def test_a_store_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    bad = one(parts.storage(place(tmp_path, storage_url=f"file://{tmp_path}/file/below")), "storage")
    good = one(parts.storage(place(tmp_path, storage_url=f"file://{tmp_path}/files")), "storage")
    assert (bad.mark, good.mark) == (FAIL, OK) and "STORAGE_URL" in bad.advice
    assert list((tmp_path / "files").rglob("doctor/*")) == []


def _taken(other: socket.socket, tries: int = 20) -> int:
    """A hub's port that is free while `other` listens on the one 899 above: tests beside this one look for ports, too."""
    for _ in range(tries):
        port = free_port(899, 900, 902)
        try:
            other.bind(("127.0.0.1", port + 899))
        except OSError as error:
            assert error.errno == errno.EADDRINUSE
            continue
        other.listen()
        return port
    raise AssertionError(f"no port in {tries} tries")


def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    with socket.socket() as other:
        port = _taken(other)
        found = {item.text: item for item in machine.ports(place(tmp_path, port=port))}
    assert found[f"{port} is free"].mark == OK
    taken = found[f"{port + 899} is taken"]
    assert taken.mark == FAIL and f"sport = :{port + 899}" in taken.advice


def test_what_a_killed_stack_left_is_named(tmp_path: Path) -> None:
    assert one(machine.leftovers(place(tmp_path)), "leftovers").mark == OK
    (tmp_path / "processes.json").write_text("{}")
    command_line = [sys.executable, "-c", "import time; time.sleep(60)"]
    with subprocess.Popen(command_line, env={MARK: str(tmp_path.resolve())}) as process:
        try:
            running, stale = machine.leftovers(place(tmp_path))
        finally:
            process.kill()
    assert running.mark == stale.mark == WARN and running.advice == f"kill -9 {process.pid}"
    assert str(tmp_path / "processes.json") in stale.text


@pytest.mark.parametrize("name, version", [("httpx", "0.0.1"), ("structlog", None)])
def test_packages_that_are_missing_or_others_are_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, version: str | None
) -> None:
    assert one(machine.packages(place(tmp_path)), "packages").mark == OK
    real = machine.metadata.version

    def told(package: str) -> str:
        if package != name:
            return real(package)
        if version is None:
            raise machine.metadata.PackageNotFoundError(package)
        return version

    monkeypatch.setattr(machine.metadata, "version", told)
    found = one(machine.packages(place(tmp_path)), "packages")
    assert found.mark == FAIL and name in found.text and "requirements.lock" in found.advice
