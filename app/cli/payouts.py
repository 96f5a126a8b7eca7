"""payouts: what leaves, what is held, and what the chains and the books do not agree on (docs/payouts-runbook.md)."""

import getpass
import uuid
from datetime import datetime
from typing import Any

import click

from app.cli.context import open_database
from app.cli.printing import as_json_option, examples, print_facts, print_json, print_table
from app.core import accounts, payout_addresses, payout_signings
from app.core import payout_reconciliation as reconciliation
from app.core import payouts as verbs
from app.db import Session
from app.errors import InvalidInput, NotFound
from app.models.payouts import Payout, PayoutDifference
from app.observability import logs
from app.values.money import Money, parse
from app.values.payouts import CHAINS, chain_of
from app.values.states import PayoutState

COLUMNS = ("number", "id", "state", "chain", "amount", "destination", "tx_hash", "held_reason", "delayed_reason", "created_at")
DIFFERENCES = ("id", "kind", "chain", "tx_hash", "payout_id", "detail", "found_at", "acknowledged_by")
WALLETS = ("chain", "address", "halted_at", "halted_reason", "read_at")
OPEN = (PayoutState.CREATED, PayoutState.SIGNED, PayoutState.SENT, PayoutState.EXPIRED)


@click.group()
def payouts() -> None:
    """Look at what leaves the marketplace, and decide what only a person can."""


@payouts.command("list", epilog=examples("payouts list --held", "payouts list --all --chain ton --json"))
@click.option("--chain", type=click.Choice(CHAINS))
@click.option("--all", "with_ended", is_flag=True, help="Confirmed and cancelled ones, too.")
@click.option("--held", "only_held", is_flag=True, help="Only those that wait for `retry` or `cancel`.")
@click.option("--delayed", "only_delayed", is_flag=True, help="Only those that wait for their payee to open a token account.")
@click.option("--limit", default=100, show_default=True, type=click.IntRange(1, 10_000))
@as_json_option
def list_payouts(
    chain: str | None, with_ended: bool, only_held: bool, only_delayed: bool, limit: int, as_json: bool
) -> None:
    """List payouts, the newest first."""
    states = () if with_ended else OPEN
    wanted = verbs.Filter(chain=chain, is_held=only_held or None, is_delayed=only_delayed or None, states=states)
    with open_database() as (_, database), database.unit_of_work() as session:
        rows = [_row(item) for item in verbs.listed(session, wanted, limit)]
    print_json(rows) if as_json else print_table(rows, COLUMNS, "no payouts")


@payouts.command(epilog=examples("payouts show 17", "payouts show 17 --json"))
@click.argument("payout")
@as_json_option
def show(payout: str, as_json: bool) -> None:
    """Show PAYOUT (its number or id) and every transaction that was signed for it."""
    with open_database() as (_, database), database.unit_of_work() as session:
        found = _find(session, payout)
        body = _row(found) | {"reference": found.reference, "origin": found.origin, "failures": found.failures}
        body["signings"] = [
            {name: _text(getattr(row, name)) for name in ("tx_hash", "outcome", "error", "times_sent", "answer", "created_at")}
            for row in verbs.signings_of(session, found.id)
        ]
    if as_json:
        print_json(body)
        return
    print_facts({name: value for name, value in body.items() if name != "signings"})
    print_table(body["signings"], ("tx_hash", "outcome", "error", "times_sent", "created_at"), "nothing was signed for it yet")


@payouts.command(epilog=examples("payouts retry 17"))
@click.argument("payout")
def retry(payout: str) -> None:
    """Let a held PAYOUT be signed again. Look first why it was held: `lightyard payouts show`.

    For one that is delayed, the chain is looked at again at once.
    """
    _change(payout, lambda session, found: verbs.retry(session, found), "will be signed again")


@payouts.command(epilog=examples("payouts cancel 17"))
@click.argument("payout")
def cancel(payout: str) -> None:
    """Give a PAYOUT that is created or expired back to its account's balance."""
    _change(payout, lambda session, found: verbs.cancel(session, found), "is cancelled; its money is back on the balance")


@payouts.command("differences", epilog=examples("payouts differences", "payouts differences --all --json"))
@click.option("--all", "with_acknowledged", is_flag=True, help="Acknowledged ones, too.")
@as_json_option
def list_differences(with_acknowledged: bool, as_json: bool) -> None:
    """What the chains and the books do not agree on. Exit status 1 when anything is open."""
    with open_database() as (_, database), database.unit_of_work() as session:
        rows = [_difference(item) for item in reconciliation.differences(session, with_acknowledged)]
        ledger = reconciliation.ledger_differences(session)
    print_json({"differences": rows, "ledger": ledger}) if as_json else print_table(rows, DIFFERENCES, "no differences")
    for line in [] if as_json else ledger:
        click.echo(f"ledger: {line}")
    if ledger or any(row["acknowledged_by"] is None for row in rows):
        raise SystemExit(1)


@payouts.command(epilog=examples("payouts acknowledge all --by jane"))
@click.argument("difference")
@click.option("--by", default=getpass.getuser, help="Who has looked into it; the user of this shell if not said.")
def acknowledge(difference: str, by: str) -> None:
    """Say that DIFFERENCE (an id, or `all`) was looked into; a halted wallet signs again once none is left."""
    logs.configure("WARNING")
    with open_database() as (_, database), database.unit_of_work() as session:
        meant = [_uuid(difference)] if difference != "all" else [item.id for item in reconciliation.differences(session)]
        goes_on = [reconciliation.acknowledge(session, item, by) for item in meant]
    click.echo(f"acknowledged {len(meant)}; " + ("signing goes on" if all(goes_on) else "others are open: signing stays halted"))


@payouts.command(epilog=examples("payouts book 5f0c1c9e-… 17"))
@click.argument("difference", type=click.UUID)
@click.argument("payout")
def book(difference: uuid.UUID, payout: str) -> None:
    """Say that the transaction of DIFFERENCE has paid PAYOUT, which you have seen on the chain: it is never paid again."""
    _change(payout, lambda session, found: reconciliation.book(session, difference, found), "is booked as paid")


@payouts.command(epilog=examples("payouts enter 5f0c1c9e-… 0.05 SOL 7eUc…"))
@click.argument("payout_id", type=click.UUID)
@click.argument("amount")
@click.argument("asset")
@click.argument("to")
@click.option("--account", type=click.UUID, help="Whose it was; the account of the wallet TO if not said.")
def enter(payout_id: uuid.UUID, amount: str, asset: str, to: str, account: uuid.UUID | None) -> None:
    """Write down again what a restored backup has lost: PAYOUT_ID, its transaction's memo, paid AMOUNT of ASSET to TO.

    It is taken off the balance, and held until it is booked.
    """
    logs.configure("WARNING")
    money = parse(amount, asset.upper())
    with open_database() as (settings, database), database.unit_of_work() as session:
        chain = chain_of(money.asset)
        address = payout_addresses.read(chain, to, settings.ton_network)
        owner = accounts.credentials(session, chain, address) if account is None else None
        if account is None and owner is None:
            raise NotFound(f"nobody is known by the wallet {address}: say whose it was with --account")
        account_id = accounts.known_id(session, account) if account is not None else owner.account_id  # type: ignore[union-attr]
        number = verbs.enter(session, payout_id, account_id, money, address).number
    click.echo(f"payout {number} is entered and held: `lightyard payouts book DIFFERENCE {number}` next")


@payouts.command(epilog=examples("payouts disown solana 5VERv8NMvz…"))
@click.argument("chain", type=click.Choice(CHAINS))
@click.argument("tx_hash")
def disown(chain: str, tx_hash: str) -> None:
    """Say that TX_HASH, which one server showed as a payment of ours, never was: look on explorers of others first.

    Its payouts are held until `retry`; the wallet goes on with the others.
    """
    logs.configure("WARNING")
    with open_database() as (_, database), database.unit_of_work() as session:
        numbers = [payout.number for payout in payout_signings.disown(session, chain, tx_hash)]
    held = ", ".join(map(str, numbers)) or "none"
    click.echo(f"{tx_hash} is disowned; payouts held: {held} (`lightyard payouts retry` once you are sure)")


@payouts.command(epilog=examples("payouts wallets --json"))
@as_json_option
def wallets(as_json: bool) -> None:
    """The hot wallets, and whether they sign."""
    with open_database() as (_, database), database.unit_of_work() as session:
        rows = [{name: _text(getattr(item, name)) for name in WALLETS} for item in reconciliation.wallets(session)]
    print_json(rows) if as_json else print_table(rows, WALLETS, "no wallet yet: the signer was never asked")


def _change(payout: str, verb: Any, said: str) -> None:
    logs.configure("WARNING")
    with open_database() as (_, database), database.unit_of_work() as session:
        found = _find(session, payout)
        verb(session, found.id)
    click.echo(f"payout {found.number} {said}")


def _find(session: Session, text: str) -> Payout:
    if text.isdigit():
        found = verbs.get(session, int(text))
        if found is None:
            raise InvalidInput(f"there is no payout {text}")
        return found
    return verbs.locked(session, _uuid(text))


def _uuid(text: str) -> uuid.UUID:
    try:
        return uuid.UUID(text)
    except ValueError:
        raise InvalidInput(f"{text!r} is no id: see `lightyard payouts list` and `lightyard payouts differences`") from None


def _row(payout: Payout) -> dict[str, Any]:
    body = {name: _text(getattr(payout, name)) for name in COLUMNS if name != "amount"}
    return body | {"amount": f"{Money(payout.amount_minor, payout.asset)} {payout.asset}"}


def _difference(item: PayoutDifference) -> dict[str, Any]:
    return {name: _text(getattr(item, name)) for name in DIFFERENCES}


def _text(value: Any) -> Any:
    return str(value) if isinstance(value, uuid.UUID | datetime) else value


COMMANDS = (payouts,)
