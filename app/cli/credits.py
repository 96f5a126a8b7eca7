"""credits: give a user some, and see what a user has."""

import uuid

import click

from app.cli.context import open_database
from app.cli.printing import as_json_option, examples, print_json
from app.core import accounts
from app.core import credits as core
from app.db import Session
from app.errors import InvalidInput, NotFound
from app.values import emails
from app.values.money import parse
from app.values.purposes import Purpose


@click.group()
def credits() -> None:
    """Give credits, and look at balances."""


@credits.command(epilog=examples("credits grant jane@example.com 100 --reference welcome-jane"))
@click.argument("email")
@click.argument("amount")
@click.option("--reference", help="Names this gift: the same one again gives nothing. Without it each call gives.")
@click.option("--description", default="Granted by the operator", help="What the user reads in the history.")
@as_json_option
def grant(email: str, amount: str, reference: str | None, description: str, as_json: bool) -> None:
    """Give AMOUNT credits to the account of EMAIL."""
    money = parse(amount, core.ASSET)
    if money.minor <= 0:
        raise InvalidInput("AMOUNT must be more than zero")
    with open_database() as (_, database), database.unit_of_work() as session:
        account_id = _account(session, email)
        name = f"operator:{reference or uuid.uuid4()}"
        is_given = core.grant(session, account_id, money, name, Purpose.ADJUSTMENT, description)
        balance = core.balances(session, account_id)["balance"]
    if as_json:
        print_json({"granted": is_given, "amount": str(money), "balance": str(balance)})
    else:
        click.echo(f"{f'gave {money}' if is_given else 'given before'}; {email} has {balance} credits")


@credits.command("balance", epilog=examples("credits balance jane@example.com --json"))
@click.argument("email")
@as_json_option
def show_balance(email: str, as_json: bool) -> None:
    """What the account of EMAIL has."""
    with open_database() as (_, database), database.unit_of_work() as session:
        found = core.balances(session, _account(session, email))
    if as_json:
        print_json({kind: str(amount) for kind, amount in found.items()})
    else:
        click.echo(f"{found['balance']} to spend, {found['held']} held for running jobs")


def _account(session: Session, email: str) -> uuid.UUID:
    found = accounts.credentials(session, "email", emails.normalise(email))
    if found is None:
        raise NotFound(f"nobody is registered as {email}")
    return found.account_id


COMMANDS = (credits,)
