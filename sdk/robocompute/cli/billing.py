"""robocompute wallet, robocompute billing: the client's money."""

from __future__ import annotations

from pathlib import Path

import click

from robocompute.cli.context import Session, pass_session
from robocompute.cli.printing import show, show_rows
from robocompute.documents import Document

DEPOSITS = ("deposit_id", "status", "amount", "asset", "memo", "expires_at")
ENTRIES = ("timestamp", "type", "amount", "currency", "task_id", "description")
currency = click.option("--currency", type=click.Choice(["USDC", "USDT"]), default="USDC", show_default=True)


@click.group()
def wallet() -> None:
    """The balance, and deposits."""


@wallet.command()
@pass_session
def balance(session: Session) -> None:
    """What is there."""
    show(session, session.client.wallet.get_balance())


@wallet.command()
@click.argument("amount")
@currency
@pass_session
def deposit(session: Session, amount: str, currency: str) -> None:
    """Say where to pay AMOUNT to: send it with that memo before it expires."""
    show(session, session.client.wallet.deposit(amount, currency))


@wallet.command()
@pass_session
def deposits(session: Session) -> None:
    """One's deposits, the newest first."""
    show_rows(session, session.client.wallet.list_deposits(), "deposits", DEPOSITS)


@click.group()
def billing() -> None:
    """What was paid for what."""


@billing.command()
@click.option("--from", "start_date", metavar="YYYY-MM-DD", help="The first day.")
@click.option("--to", "end_date", metavar="YYYY-MM-DD", help="The last day.")
@pass_session
def history(session: Session, start_date: str | None, end_date: str | None) -> None:
    """Everything that was paid, held and given back."""
    show_rows(session, session.client.billing.get_history(start_date, end_date), "transactions", ENTRIES)


@billing.command()
@click.argument("invoice_id")
@click.option("--pdf", type=click.Path(dir_okay=False, path_type=Path), help="Write it into this file as a PDF.")
@pass_session
def invoice(session: Session, invoice_id: str, pdf: Path | None) -> None:
    """An invoice."""
    if pdf is None:
        show(session, session.client.billing.get_invoice(invoice_id))
    else:
        pdf.write_bytes(session.client.billing.get_invoice_pdf(invoice_id))
        show(session, Document(file=str(pdf)))
