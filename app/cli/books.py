"""migrate and invariants: the database and what must always hold in it."""

import sys

import click

from app.cli.context import open_database
from app.cli.printing import as_json_option, examples, print_json
from app.core import audit
from app.stack.stack import migrate as migrate_to


@click.command(epilog=examples("migrate", "migrate --revision 0023"))
@click.option("--revision", default="head", show_default=True, help="The revision to bring the database to.")
def migrate(revision: str) -> None:
    """Bring DATABASE_URL to the newest revision."""
    with open_database(as_owner=True) as (_, database):
        migrate_to(database, revision)
    click.echo(f"the database is at {revision}")


@click.command(epilog=examples("invariants", "invariants --json"))
@as_json_option
def invariants(as_json: bool) -> None:
    """Hold the ledger against itself. Exit status 1 when the books do not balance."""
    with open_database() as (_, database), database.unit_of_work() as session:
        differences = audit.differences(session)
    if as_json:
        print_json({"differences": differences})
    else:
        click.echo("\n".join(differences) or "the books balance")
    sys.exit(1 if differences else 0)


COMMANDS = (migrate, invariants)
