"""`lightyard`: the operator's command line."""

import json
import sys

import click

from app.config import load, unsafe
from app.core import ledger
from app.db import Database, make_engine
from app.errors import LightyardError
from app.stack.up import migrate
from app.stack.up import up as run_stack


@click.group()
def cli() -> None:
    """Lightyard: a marketplace backend for GPU rendering and compute."""


@cli.command()
def up() -> None:
    """Run everything on this machine until Ctrl-C."""
    run_stack()


@cli.command("migrate")
def migrate_database() -> None:
    """Bring DATABASE_URL to the newest revision."""
    migrate(Database(make_engine(load())))


@cli.command()
@click.option("--json", "as_json", is_flag=True, help="print JSON")
def check_config(as_json: bool) -> None:
    """Say which settings production would refuse."""
    problems = unsafe(load())
    click.echo(json.dumps({"refused": problems}) if as_json else "\n".join(problems) or "production would boot")
    sys.exit(1 if problems else 0)


@cli.command()
@click.option("--json", "as_json", is_flag=True, help="print JSON")
def invariants(as_json: bool) -> None:
    """Hold the ledger against itself."""
    with Database(make_engine(load())).unit_of_work() as session:
        differences = ledger.differences(session)
    click.echo(json.dumps({"differences": differences}) if as_json else "\n".join(differences) or "the books balance")
    sys.exit(1 if differences else 0)


def main() -> None:
    """Errors of ours are one line that says what to do."""
    try:
        cli()
    except LightyardError as error:
        click.echo(f"lightyard: {error.message}", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
