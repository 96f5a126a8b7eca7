"""ton: money that came in on TON and that no payment takes, and deposits, for the operator."""

import uuid

import click

from app.cli.context import open_database
from app.cli.printing import as_json_option, examples, print_json, print_table
from app.config import Settings
from app.core import accounts, arrivals, chain_cursors, ton_deposits, ton_hub
from app.db import Session
from app.errors import NotFound
from app.models.arrivals import Arrival
from app.values import emails, ton_address
from app.values.money import parse

COMMENT_SIGNS = 80
COLUMNS = ("id", "occurred_at", "code", "amount", "asset", "payer", "comment", "token", "hash")


@click.group()
def ton() -> None:
    """Look at what came in on TON, and give it to whose it is."""


@ton.command(epilog=examples("ton unclaimed --json"))
@as_json_option
def unclaimed(as_json: bool) -> None:
    """List what came in and no payment takes, the oldest first."""
    with open_database() as (_, database), database.unit_of_work() as session:
        rows = [_row(item) for item in arrivals.unclaimed(session)]
    if as_json:
        print_json(rows)
    else:
        shown = [row | {"comment": _printable(row["comment"])} for row in rows]
        print_table(shown, COLUMNS, "everything that came in belongs to somebody")


def _printable(comment: str | None) -> str | None:
    """A stranger's words, on one line and without what a terminal would obey."""
    if comment is None:
        return None
    return "".join(sign if sign.isprintable() else "?" for sign in comment[:COMMENT_SIGNS])


def _row(item: Arrival) -> dict[str, str | None]:
    money = arrivals.money_of(item)
    values = {name: getattr(item, name) for name in COLUMNS if name != "amount"} | {"amount": money or item.amount_minor}
    return {name: None if values[name] is None else str(values[name]) for name in COLUMNS}


@ton.command(epilog=examples("ton assign 5f0c1c9e-… jane@example.com"))
@click.argument("arrival_id", type=click.UUID)
@click.argument("owner")
def assign(arrival_id: uuid.UUID, owner: str) -> None:
    """Put ARRIVAL_ID on the balance of OWNER: an e-mail address, a wallet on TON, or an account's id."""
    with open_database() as (settings, database), database.unit_of_work() as session:
        money = arrivals.assign(session, arrival_id, _account(session, settings, owner))
    click.echo(f"{money} {money.asset} are {owner}'s now")


@ton.command(epilog=examples("ton dismiss 5f0c1c9e-…"))
@click.argument("arrival_id", type=click.UUID)
def dismiss(arrival_id: uuid.UUID) -> None:
    """Put ARRIVAL_ID away, dealt with otherwise: its money stays on the ledger's account `unclaimed`."""
    with open_database() as (_, database), database.unit_of_work() as session:
        arrivals.put_away(session, arrival_id)
    click.echo(f"{arrival_id}: put away")


@ton.command(epilog=examples("ton deposit jane@example.com 1.5 USDT --json"))
@click.argument("owner")
@click.argument("amount")
@click.argument("asset", default="TON")
@click.option("--seconds", default=86_400, help="How long it may be paid.", show_default=True)
@as_json_option
def deposit(owner: str, amount: str, asset: str, seconds: int, as_json: bool) -> None:
    """Ask OWNER for a deposit of AMOUNT: where to pay it, and with which comment."""
    money = parse(amount, asset.upper())
    with open_database() as (settings, database), database.unit_of_work() as session:
        hub, account_id = ton_hub.read(settings), _account(session, settings, owner)
        payment = ton_deposits.ask(session, hub, account_id, money, "deposit:", seconds)
        is_test = settings.ton_network == ton_address.TESTNET
        pay_to = ton_address.read(payment.pay_to).friendly(bounceable=False, test_only=is_test)
        asked = {"id": str(payment.id), "amount": str(money), "asset": money.asset, "pay_to": pay_to, "memo": payment.memo}
    if as_json:
        print_json(asked)
    else:
        click.echo(f"pay {money} {money.asset} to {pay_to} with the comment {asked['memo']}")


@ton.command(epilog=examples("ton reread UQBv…"))
@click.argument("address")
def reread(address: str) -> None:
    """Read ADDRESS anew, from the first payment that was asked for: after the chain went back behind what was read."""
    with open_database() as (settings, database), database.unit_of_work() as session:
        found = ton_address.read(address, settings.ton_network)
        if not chain_cursors.forget(session, ton_deposits.CHAIN, found.raw):
            raise NotFound(f"{address} is not read: nobody was asked to pay there")
    click.echo(f"{address} is read anew; nothing is booked twice")


def _account(session: Session, settings: Settings, owner: str) -> uuid.UUID:
    try:
        return accounts.known_id(session, uuid.UUID(owner))
    except ValueError:
        pass
    if "@" in owner:
        kind, value = "email", emails.normalise(owner)
    else:
        kind, value = "ton", ton_address.read(owner, settings.ton_network).raw
    found = accounts.credentials(session, kind, value)
    if found is None:
        raise NotFound(f"nobody is registered as {owner}")
    return found.account_id


COMMANDS = (ton,)
