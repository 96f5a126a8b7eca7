"""disputes: what buyers say against results of tasks, and the operator's decision."""

import getpass
import uuid
from typing import Any

import click

from app.cli.context import open_database
from app.cli.printing import as_json_option, examples, print_facts, print_json, print_table
from app.core import accounts
from app.core import disputes as verbs
from app.core.disputes import Complaint, Wanted
from app.db import Session
from app.errors import InvalidInput
from app.models.disputes import GROUNDS, Dispute
from app.observability import logs
from app.values import clock
from app.values.money import Money, parse
from app.values.states import DisputeState

COLUMNS = ("id", "status", "task_id", "provider_id", "amount", "grounds", "matches_expected", "matches_stored", "matches_rerun",
           "created_at")  # fmt: skip


@click.group()
def disputes() -> None:
    """Look at disputes over tasks' results, and decide them."""


@disputes.command("list", epilog=examples("disputes list", "disputes list --all --json"))
@click.option("--all", "with_decided", is_flag=True, help="Decided ones, too.")
@click.option("--limit", default=100, show_default=True, type=click.IntRange(1, 1000))
@as_json_option
def list_disputes(with_decided: bool, limit: int, as_json: bool) -> None:
    """List disputes, the newest first."""
    wanted = Wanted(state=None if with_decided else DisputeState.OPEN)
    with open_database() as (_, database), database.unit_of_work() as session:
        rows = [_row(session, item) for item in verbs.page(session, wanted, limit)]
    print_json(rows) if as_json else print_table(rows, COLUMNS, "no disputes")


@disputes.command(epilog=examples("disputes show 5f0c1c9e-…", "disputes show 5f0c1c9e-… --json"))
@click.argument("dispute")
@as_json_option
def show(dispute: str, as_json: bool) -> None:
    """Show DISPUTE: what buyer and provider say, and what the hub itself found."""
    with open_database() as (_, database), database.unit_of_work() as session:
        found = _row(session, verbs.locked(session, _id(dispute)))
    print_json(found) if as_json else print_facts(found)


@disputes.command("open", epilog=examples("disputes open 5f0c1c9e-… --grounds rerun --rerun 7a1d… --reason 'another picture'"))
@click.argument("task")
@click.option("--grounds", default="other", show_default=True, type=click.Choice(GROUNDS))
@click.option("--reason", required=True, help="What is wrong, as provider and buyer read it.")
@click.option("--expected", help="The SHA-256 that the result should have.")
@click.option("--rerun", help="The same task, completed by another provider.")
@as_json_option
def open_dispute(task: str, grounds: str, reason: str, expected: str | None, rerun: str | None, as_json: bool) -> None:
    """Open the dispute of TASK for its buyer."""
    complaint = Complaint(grounds, reason, expected, None if rerun is None else _id(rerun))
    logs.configure("WARNING")
    with open_database() as (settings, database), database.unit_of_work() as session:
        operator = accounts.operator_account(session)
        made = verbs.open_dispute(session, _id(task), complaint, settings.dispute_hours, operator, is_operator=True)
        found = _row(session, made)
    print_json(found) if as_json else click.echo(f"dispute {found['id']} is open")


@disputes.command(epilog=examples("disputes decide 5f0c1c9e-… slash --reason 'not the result' --penalty 5",
                                  "disputes decide 5f0c1c9e-… reject --reason 'the hash is right'"))  # fmt: skip
@click.argument("dispute")
@click.argument("decision", type=click.Choice(["slash", "reject"]))
@click.option("--reason", required=True, help="Why, as both read it.")
@click.option("--penalty", default="0", help="With slash: taken from the stake beside the refund, for the platform.")
@click.option("--by", default=getpass.getuser, help="Who decides; the user of this shell if not said.")
@as_json_option
def decide(dispute: str, decision: str, reason: str, penalty: str, by: str, as_json: bool) -> None:
    """Decide DISPUTE, once: slash gives the task's cost back to the buyer, from the provider's stake first."""
    logs.configure("WARNING")
    with open_database() as (_, database), database.unit_of_work() as session:
        row = verbs.locked(session, _id(dispute))
        minor = _penalty(penalty, row.asset)
        if decision == "slash":
            verbs.slash(session, row.id, by, reason, minor)
        elif minor:
            raise InvalidInput("--penalty goes with slash only")
        else:
            verbs.reject(session, row.id, by, reason)
        found = _row(session, row)
    if as_json:
        print_json(found)
    else:
        click.echo(f"dispute {dispute} is {found['status']}" + (f"; {found['refunded']} came back" if found["refunded"] else ""))


def _penalty(text: str, asset: str) -> int:
    money = parse(text, asset)
    if money.minor < 0:
        raise InvalidInput("--penalty must not be below zero")
    return money.minor


def _id(text: str) -> uuid.UUID:
    try:
        return uuid.UUID(text)
    except ValueError:
        raise InvalidInput(f"{text!r} is no id: see `lightyard disputes list`") from None


def _row(session: Session, row: Dispute) -> dict[str, Any]:
    amounts = {"amount": row.cost_minor, "refunded": row.refunded_minor, "owed": row.owed_minor, "penalty": row.penalty_minor}
    return {
        "id": str(row.id),
        "status": row.state,
        "task_id": str(row.job_id),
        "provider_id": None if row.provider_id is None else str(row.provider_id),
        "buyer": str(row.account_id),
        "grounds": row.grounds,
        "reason": row.reason,
        "answer": row.answer,
        **{name: None if minor is None else f"{Money(minor, row.asset)} {row.asset}" for name, minor in amounts.items()},
        "expected_sha256": row.expected_sha256,
        "stored_sha256": row.stored_sha256,
        **verbs.findings(session, row),
        "created_at": clock.to_iso(row.created_at),
        "decided_at": clock.to_iso(row.decided_at),
        "decided_by": row.decided_by,
        "decision_reason": row.decision_reason,
    }


COMMANDS = (disputes,)
