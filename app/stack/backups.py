"""Copies of the database: taken with PostgreSQL's own pg_dump, so many kept, and brought back into an empty database."""

import os
import shutil
import subprocess
import threading
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import structlog
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from app import pulse
from app.errors import ConfigError
from app.values import clock

log = structlog.get_logger()
LEDGER_ROLE = "lightyard_app"  # made by the migrations; a role is the cluster's, and in no dump
AGAIN_SECONDS = 300.0  # after a backup that failed
PULSE_SECONDS = 10.0
LEFT_AFTER = timedelta(days=1)  # no dump is written for so long: its writer was killed
AHEAD = timedelta(minutes=5)  # of a clock that was put right; what is further ahead was named by a wrong one
_NAME = "lightyard-%Y%m%dT%H%M%SZ.dump"


def take(database_url: str, folder: Path, keep: int) -> Path:
    """Dump the database into a new file of `folder`, read the file's own table of contents, and delete all but the newest `keep`.

    A dump shows one moment, whatever is written meanwhile. ConfigError where it can't be made; older ones are then all kept.
    """
    target = folder / clock.now().strftime(_NAME)
    part = target.with_suffix(".part")
    try:
        _clear_left(folder)
        part.touch(mode=0o640)
        _run(["pg_dump", "--format=custom", f"--file={part}"], database_url)
        _run(["pg_restore", "--list", str(part)])
        with part.open("rb") as written:
            os.fsync(written.fileno())
        part.replace(target)
    except OSError as error:
        raise ConfigError(f"{folder} can't be written: {error.strerror}; give a folder that this user may write") from None
    finally:
        part.unlink(missing_ok=True)
    for old in found(folder)[keep:]:
        old.unlink(missing_ok=True)
    return target


def _clear_left(folder: Path) -> None:
    """Delete what a writer left that was killed: a disk full of halves has no room for a whole one."""
    oldest = clock.now() - LEFT_AFTER
    for left in folder.glob("lightyard-*.part"):
        started = _taken_at(left.with_suffix(".dump"))
        if started is not None and started < oldest:
            left.unlink(missing_ok=True)


def tell(folder: Path, figures: Path | None) -> None:
    """Write when the newest dump was taken where node exporter's text file collector reads; nothing where there is no dump."""
    newest = _newest_at(folder)
    if figures is None or newest is None:
        return
    name = "lightyard_backup_last_success_timestamp_seconds"
    part = figures / "lightyard_backup.part"
    part.write_text(f"# HELP {name} When the last backup was whole\n# TYPE {name} gauge\n{name} {newest.timestamp():.0f}\n")
    part.chmod(0o644)
    part.replace(figures / "lightyard_backup.prom")


def found(folder: Path) -> list[Path]:
    """The whole dumps of a folder, the newest first."""
    return sorted((path for path in folder.glob("lightyard-*.dump") if _taken_at(path) is not None), reverse=True)


def age(folder: Path) -> timedelta | None:
    """How old the newest dump is; None without any."""
    newest = _newest_at(folder)
    return None if newest is None else clock.now() - newest


def _newest_at(folder: Path) -> datetime | None:
    """When the newest was taken; one that a wrong clock has put into the future says nothing."""
    latest = clock.now() + AHEAD
    return next((at for path in found(folder) if (at := _taken_at(path)) is not None and at <= latest), None)


def _taken_at(path: Path) -> datetime | None:
    try:
        return datetime.strptime(path.name, _NAME).replace(tzinfo=UTC)
    except ValueError:
        return None


@dataclass(frozen=True, slots=True)
class Plan:
    """Where dumps go, how often, how many stay, and where node exporter's text files lie."""

    folder: Path
    every: timedelta
    keep: int
    figures: Path | None = None


def keep_taking(database_url: str, plan: Plan, pulse_folder: str, stopping: threading.Event) -> None:
    """One dump whenever the newest is too old, until `stopping`; a failed one is logged and tried again in minutes."""
    not_before = clock.now()
    while not stopping.is_set():
        pulse.touch(pulse_folder, "backup")
        newest = age(plan.folder)
        if clock.now() >= not_before and (newest is None or newest >= plan.every):
            try:
                log.info("backup.taken", path=str(take(database_url, plan.folder, plan.keep)))
            except ConfigError as error:
                log.error("backup.failed", error=error.message, again_seconds=AGAIN_SECONDS)
                not_before = clock.now() + timedelta(seconds=AGAIN_SECONDS)
        tell(plan.folder, plan.figures)
        stopping.wait(PULSE_SECONDS)


def restore(database_url: str, dump: Path, into: str = "") -> None:
    """Bring a dump back into a database without tables, whole or not at all. ConfigError where it can't be done.

    `into` is another database on DATABASE_URL's server, made where it is missing.
    """
    if not dump.exists():
        raise ConfigError(f"{dump} does not exist: `lightyard backups list` shows those there are")
    try:
        if into:
            database_url = _beside(database_url, into)
        with psycopg.connect(database_url, connect_timeout=10) as connection:
            if connection.execute("SELECT 1 FROM pg_tables WHERE schemaname = 'public'").fetchone():
                raise ConfigError("the database is not empty: restore into a new one, and point DATABASE_URL at it")
            if not connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (LEDGER_ROLE,)).fetchone():
                connection.execute(f"CREATE ROLE {LEDGER_ROLE} NOLOGIN")
                connection.execute(f"GRANT {LEDGER_ROLE} TO CURRENT_USER")
    except psycopg.Error as error:
        raise ConfigError(f"the database can't be prepared: {str(error).strip()}") from None
    _run(["pg_restore", "--exit-on-error", "--single-transaction", "--no-owner", str(dump)], database_url)


def _beside(database_url: str, name: str) -> str:
    """The address of the database `name` on the same server."""
    with psycopg.connect(database_url, connect_timeout=10, autocommit=True) as connection:
        if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,)).fetchone():
            connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0 ENCODING 'UTF8'").format(sql.Identifier(name)))
    return make_conninfo(database_url, dbname=name)


def _run(command: list[str], database_url: str = "") -> None:
    """One of PostgreSQL's programs; the password goes by the environment, which other users can't read."""
    if shutil.which(command[0]) is None:
        raise ConfigError(f"{command[0]} is not installed: install postgresql-client, at least as new as the server")
    environment = dict(os.environ)
    if database_url:
        target = {name: str(value) for name, value in conninfo_to_dict(database_url).items()}
        environment["PGPASSWORD"] = target.pop("password", "")
        command = [*command, f"--dbname={make_conninfo('', **target)}"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode != 0:
        raise ConfigError(f"{command[0]} failed: {done.stderr.strip()[-1000:]}")
