"""dead-letters: dispatched jobs that failed for good, and another try for them."""

import uuid

import click

from app.cli.context import open_database
from app.cli.printing import as_json_option, examples, print_facts, print_json, print_table
from app.core import dead_letters as letters
from app.errors import InvalidInput
from app.observability import logs

COLUMNS = ("id", "job_id", "job_type", "reason_code", "attempts", "created_at", "replayed_at")
TRIES = ("started_at", "ended_at", "state", "node", "error_code", "error_message")


@click.group("dead-letters")
def dead_letters() -> None:
    """Look at jobs that failed for good, and have them tried again."""


@dead_letters.command("list", epilog=examples("dead-letters list", "dead-letters list --all --json"))
@click.option("--all", "with_replayed", is_flag=True, help="Those that were replayed, too.")
@click.option("--limit", default=100, show_default=True, type=click.IntRange(1, 1000))
@as_json_option
def list_letters(with_replayed: bool, limit: int, as_json: bool) -> None:
    """List dead letters, the newest first."""
    with open_database() as (_, database), database.unit_of_work() as session:
        rows = letters.page(session, None if with_replayed else False, limit)
    if as_json:
        print_json(rows)
    else:
        print_table(rows, COLUMNS, "no dead letters")


@dead_letters.command(epilog=examples("dead-letters show 5f0c1c9e-…", "dead-letters show 5f0c1c9e-… --json"))
@click.argument("letter")
@as_json_option
def show(letter: str, as_json: bool) -> None:
    """Show LETTER: its job, why it failed, and each attempt with the node and what that node said."""
    with open_database() as (_, database), database.unit_of_work() as session:
        found = letters.shown(session, _id(letter))
    if as_json:
        print_json(found)
        return
    print_facts({name: value for name, value in found.items() if name != "tries"})
    click.echo()
    print_table(found["tries"], TRIES, "no node ever had it")


def _id(letter: str) -> uuid.UUID:
    try:
        return uuid.UUID(letter)
    except ValueError:
        raise InvalidInput(f"{letter!r} is no dead letter's id: see `lightyard dead-letters list`") from None


@dead_letters.command(epilog=examples("dead-letters replay 5f0c1c9e-…"))
@click.argument("letter")
@as_json_option
def replay(letter: str, as_json: bool) -> None:
    """Try the job of LETTER again, paid by a new hold of its owner's credits. Idle nodes find it within seconds."""
    letter_id = _id(letter)
    logs.configure("WARNING")  # standard output is the answer's
    with open_database() as (_, database), database.unit_of_work() as session:
        job = letters.replay(session, letter_id)
        found = {"id": letter, "job_id": str(job.id), "status": "QUEUED"}
    if as_json:
        print_json(found)
    else:
        click.echo(f"job {found['job_id']} is queued again")


COMMANDS = (dead_letters,)
