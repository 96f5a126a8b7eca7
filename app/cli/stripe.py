"""stripe: events that could not be applied, for the operator to mend."""

import json

import click

from app.cli.context import open_database
from app.cli.printing import as_json_option, examples, print_json, print_table
from app.core import card_payments

EVENT_COLUMNS = ("id", "kind", "payment", "code", "message", "created_at")
PAYMENT_COLUMNS = ("id", "paid_minor", "currency", "created_at")


@click.group()
def stripe() -> None:
    """Look at what Stripe sent that nobody could be credited for."""


@stripe.command(epilog=examples("stripe problems --json"))
@as_json_option
def problems(as_json: bool) -> None:
    """List events that were acknowledged but not applied, and payments that nobody was credited for."""
    with open_database() as (_, database), database.unit_of_work() as session:
        events = [_row(item, EVENT_COLUMNS) for item in card_payments.problems(session)]
        payments = [_row(item, PAYMENT_COLUMNS) for item in card_payments.uncredited(session)]
    if as_json:
        print_json({"events": events, "uncredited_payments": payments})
        return
    print_table(events, EVENT_COLUMNS, "no event is waiting to be looked at")
    click.echo()
    print_table(payments, PAYMENT_COLUMNS, "somebody was credited for every payment")


def _row(item: object, columns: tuple[str, ...]) -> dict[str, str | None]:
    values = {name: getattr(item, name) for name in columns}
    return {name: None if value is None else str(value) for name, value in values.items()}


@stripe.command(epilog=examples("stripe retry evt_1Pq…"))
@click.argument("event_id")
def retry(event_id: str) -> None:
    """Apply EVENT_ID again, after what it stumbled over was mended."""
    with open_database() as (settings, database), database.unit_of_work() as session:
        body = card_payments.problem(session, event_id).body
        row = card_payments.retry(session, event_id, json.loads(body or "{}"), card_payments.read_terms(settings))
    click.echo(f"{event_id}: {row.outcome}" + (f" ({row.message})" if row.message else ""))


@stripe.command(epilog=examples("stripe dismiss evt_1Pq…"))
@click.argument("event_id")
def dismiss(event_id: str) -> None:
    """Put EVENT_ID away, dealt with otherwise: it will never count."""
    with open_database() as (_, database), database.unit_of_work() as session:
        card_payments.put_away(session, event_id)
    click.echo(f"{event_id}: put away")


COMMANDS = (stripe,)
