"""Backups of a real PostgreSQL: whole, so many, brought back or refused; and what happens when they can't be made."""

import os
import threading
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest

from app.config import Settings
from app.core import accounts, audit, credits
from app.db import Database, make_engine
from app.errors import ConfigError
from app.stack import backups
from app.stack.postgres import BIN, Postgres
from app.values import clock
from app.values.money import parse
from app.values.purposes import Purpose

START = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture(autouse=True)
def programs(monkeypatch: pytest.MonkeyPatch) -> None:
    """pg_dump of the embedded server's own version, wherever the tests run."""
    monkeypatch.setenv("PATH", f"{BIN}:{os.environ['PATH']}")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    found = tmp_path / "backups"
    found.mkdir()
    return found


def grant(database: Database, amount: str) -> None:
    with database.unit_of_work() as session:
        account_id = accounts.ensure_identity(session, "email", "jane@example.com")
        credits.grant(session, account_id, parse(amount, credits.ASSET), f"operator:{uuid.uuid4()}", Purpose.ADJUSTMENT, "")


def test_a_dump_shows_its_moment_and_comes_back_whole_under_the_ledger_s_guard(
    database: Database, database_url: str, postgres: Postgres, folder: Path
) -> None:
    grant(database, "100")
    dump = backups.take(database_url, folder, keep=3)
    grant(database, "50")
    name = f"restored_{uuid.uuid4().hex}"
    backups.restore(database_url, dump, into=name)
    restored = Database(make_engine(Settings(database_url=postgres.database_url(name), database_role="lightyard_app")))
    with restored.unit_of_work() as session:
        account_id = accounts.ensure_identity(session, "email", "jane@example.com")
        assert credits.balances(session, account_id)["balance"].minor == 1_000_000, "what came after the dump is not in it"
        assert audit.differences(session) == []
    restored.engine.dispose()
    with psycopg.connect(postgres.database_url(name), autocommit=True) as connection:
        assert connection.execute("SELECT sum(amount_minor) FROM transfers").fetchone() == (1_000_000,)
        with pytest.raises(psycopg.Error, match="append-only"):
            connection.execute("DELETE FROM entries")
    with pytest.raises(ConfigError, match="is not empty"):
        backups.restore(database_url, dump, into=name)
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


def test_so_many_stay_and_the_newest_is_told(database_url: str, folder: Path, tmp_path: Path) -> None:
    try:
        for hours in range(4):
            clock.replace_clock(lambda hours=hours: START + timedelta(hours=hours))  # type: ignore[misc]
            backups.take(database_url, folder, keep=2)
        assert [path.name for path in backups.found(folder)] == [
            "lightyard-20260101T030000Z.dump", "lightyard-20260101T020000Z.dump"
        ]
        (folder / "lightyard-of-mine.dump").touch()
        clock.replace_clock(lambda: START + timedelta(hours=5))
        assert backups.age(folder) == timedelta(hours=2), "what is not ours does not count"
    finally:
        clock.replace_clock(None)
    backups.tell(folder, tmp_path)
    told = (tmp_path / "lightyard_backup.prom").read_text().splitlines()[-1]
    assert told == f"lightyard_backup_last_success_timestamp_seconds {(START + timedelta(hours=3)).timestamp():.0f}"
    assert (folder / "lightyard-of-mine.dump").exists()


def test_a_dump_that_fails_leaves_the_older_ones_and_no_half_one(database_url: str, folder: Path) -> None:
    kept = backups.take(database_url, folder, keep=1)
    with pytest.raises(ConfigError, match="pg_dump failed") as refusal:
        backups.take(database_url.replace("/test_", "/nowhere_"), folder, keep=1)
    assert "does not exist" in refusal.value.message
    assert list(folder.iterdir()) == [kept]


def test_what_a_killed_writer_left_goes_and_a_clock_that_was_wrong_stops_nothing(database_url: str, folder: Path) -> None:
    now = clock.now()
    left, fresh = ((now - timedelta(days=days)).strftime("lightyard-%Y%m%dT%H%M%SZ.part") for days in (2, 0.5))
    for name in (left, fresh, "of-mine.part"):
        (folder / name).touch()
    ahead = folder / (now + timedelta(days=365)).strftime("lightyard-%Y%m%dT%H%M%SZ.dump")
    ahead.touch()
    assert backups.age(folder) is None, "a dump of next year is no sign of health"
    taken = backups.take(database_url, folder, keep=5)
    assert {path.name for path in folder.iterdir()} == {fresh, "of-mine.part", ahead.name, taken.name}
    found = backups.age(folder)
    assert found is not None and timedelta(0) <= found < timedelta(minutes=5)


def test_a_dump_that_is_cut_short_brings_nothing_back(
    database: Database, database_url: str, postgres: Postgres, folder: Path
) -> None:
    grant(database, "1")
    dump = backups.take(database_url, folder, keep=1)
    dump.write_bytes(dump.read_bytes()[: dump.stat().st_size * 2 // 3])
    name = f"restored_{uuid.uuid4().hex}"
    with pytest.raises(ConfigError, match="pg_restore failed"):
        backups.restore(database_url, dump, into=name)
    with psycopg.connect(postgres.database_url(name)) as connection:
        assert connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone() == (0,)
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


def test_a_password_is_on_no_command_line(folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fake = tmp_path / "bin" / "pg_dump"
    fake.parent.mkdir()
    fake.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/arguments; echo "$PGPASSWORD" > {tmp_path}/password; exit 1\n')
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{fake.parent}:{os.environ['PATH']}")
    with pytest.raises(ConfigError):
        backups.take("postgresql://jane:s%20cret@db/lightyard", folder, keep=1)
    assert (tmp_path / "password").read_text() == "s cret\n"
    assert "cret" not in (tmp_path / "arguments").read_text() and "user=jane" in (tmp_path / "arguments").read_text()


def test_the_service_takes_one_at_once_and_pulses_and_ends(database_url: str, folder: Path, tmp_path: Path) -> None:
    stopping = threading.Event()
    plan = backups.Plan(folder, timedelta(hours=24), 2, tmp_path)
    service = threading.Thread(target=backups.keep_taking, args=(database_url, plan, str(tmp_path), stopping))
    service.start()
    try:
        for _ in range(600):
            if (tmp_path / "lightyard_backup.prom").exists():
                break
            service.join(0.1)
    finally:
        stopping.set()
        service.join(30)
    assert not service.is_alive() and len(backups.found(folder)) == 1 and (tmp_path / "backup.pulse").exists()
