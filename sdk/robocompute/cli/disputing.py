"""robocompute disputes: what buyers say against results, and what providers answer."""

from __future__ import annotations

import click

from robocompute.cli.context import Session, pass_session
from robocompute.cli.printing import show, show_rows

COLUMNS = ("dispute_id", "task_id", "status", "grounds", "amount", "currency", "refunded", "owed", "created_at")
GROUNDS = ["result_hash", "rerun", "other"]
status = click.option("--status", type=click.Choice(["open", "slashed", "rejected"]), help="Only these.")
limit = click.option("--limit", type=int, default=50, show_default=True)
offset = click.option("--offset", type=int, default=0, show_default=True)


@click.group()
def disputes() -> None:
    """Dispute a task that was charged, and answer those who do."""


@disputes.command(name="open")
@click.argument("task_id")
@click.option("--grounds", type=click.Choice(GROUNDS), default="other", show_default=True, help="What is wrong with it.")
@click.option("--reason", required=True, help="In words, for the provider and the operator who decides.")
@click.option("--expected-hash", help="What its SHA-256 should be.")
@click.option("--rerun", "rerun_task_id", metavar="TASK_ID", help="The same task, completed by another provider.")
@pass_session
def open_dispute(
    session: Session, task_id: str, grounds: str, reason: str, expected_hash: str | None, rerun_task_id: str | None
) -> None:
    """Say that the result of a task that was paid for is bad."""
    show(session, session.client.tasks.open_dispute(task_id, reason, grounds, expected_hash, rerun_task_id))


@disputes.command(name="show")
@click.argument("task_id")
@pass_session
def show_dispute(session: Session, task_id: str) -> None:
    """A task's dispute, and what the hub itself has found."""
    show(session, session.client.tasks.get_dispute(task_id))


@disputes.command(name="list")
@status
@limit
@offset
@pass_session
def list_disputes(session: Session, status: str | None, limit: int, offset: int) -> None:
    """The disputes over one's own tasks, the newest first."""
    show_rows(session, session.client.tasks.list_disputes(status, limit, offset), "disputes", COLUMNS)


@disputes.command()
@status
@limit
@offset
@pass_session
def against(session: Session, status: str | None, limit: int, offset: int) -> None:
    """As a provider: the disputes over one's results, the newest first."""
    show_rows(session, session.provider.disputes.list(status, limit, offset), "disputes", COLUMNS)


@disputes.command()
@click.argument("dispute_id")
@click.argument("answer")
@pass_session
def answer(session: Session, dispute_id: str, answer: str) -> None:
    """As a provider: say something to a dispute before it is decided."""
    show(session, session.provider.disputes.answer(dispute_id, answer))
