"""backups: copies of the database, and the way back."""

import signal
import sys
import threading
from datetime import timedelta
from pathlib import Path

import click

from app.cli.context import settings_with_database
from app.cli.printing import as_json_option, print_json
from app.config import load
from app.observability import logs
from app.stack import backups as copies

_FOLDER = click.Path(path_type=Path, file_okay=False, exists=True)
_folder = click.argument("folder", type=_FOLDER)
_keep = click.option("--keep", default=14, show_default=True, type=click.IntRange(1, 10_000), help="Dumps that stay.")


@click.group()
def backups() -> None:
    """Take and keep copies of the database with pg_dump, and bring one back. Files of jobs (STORAGE_URL) are not in them."""


@backups.command()
@_folder
@_keep
def take(folder: Path, keep: int) -> None:
    """Take one now."""
    click.echo(str(copies.take(settings_with_database().database_url, folder, keep)))


@backups.command()
@_folder
@_keep
@click.option("--every-hours", default=24.0, show_default=True, type=click.FloatRange(0.01, 8760), help="The time between two.")
@click.option("--figures", type=_FOLDER, help="Folder of node exporter's text files.")
def run(folder: Path, keep: int, every_hours: float, figures: Path | None) -> None:
    """Take one whenever the newest is too old, until told to end."""
    settings, stopping = load(), threading.Event()
    logs.configure("INFO")
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    plan = copies.Plan(folder, timedelta(hours=every_hours), keep, figures)
    copies.keep_taking(settings.database_url, plan, settings.pulse_folder, stopping)


@backups.command("list")
@_folder
@as_json_option
def list_(folder: Path, as_json: bool) -> None:
    """The dumps that are there, the newest first."""
    rows = [{"path": str(path), "bytes": path.stat().st_size} for path in copies.found(folder)]
    print_json(rows) if as_json else click.echo("\n".join(f"{row['path']}  {row['bytes']:,} bytes" for row in rows) or "none")


@backups.command()
@_folder
@click.option("--max-age-hours", default=26.0, show_default=True, type=click.FloatRange(0.01, 8760), help="What is good.")
def check(folder: Path, max_age_hours: float) -> None:
    """Exit status 1 when the newest dump is too old, or there is none."""
    newest = copies.age(folder)
    click.echo("no dump is there" if newest is None else f"the newest dump is {newest.total_seconds() / 3600:.1f} hours old")
    sys.exit(0 if newest is not None and newest <= timedelta(hours=max_age_hours) else 1)


@backups.command()
@click.argument("dump", type=click.Path(path_type=Path))
@click.option("--into", default="", help="Another database on the same server, made where it is missing.")
def restore(dump: Path, into: str) -> None:
    """Bring DUMP back into DATABASE_URL, which must be without tables. Everything or nothing of it."""
    copies.restore(settings_with_database().database_url, dump, into)
    click.echo("restored: now `lightyard migrate`, `lightyard invariants`, and docs/payouts-runbook.md before anything is signed")


COMMANDS = (backups,)
