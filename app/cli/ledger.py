"""ledger: the books as they are. Everything here only reads: the server itself refuses anything else."""

import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from itertools import islice
from typing import Any

import click

from app.cli.context import open_database
from app.cli.printing import (
    as_json_option,
    examples,
    print_facts,
    print_json,
    print_json_around,
    print_json_rows,
    print_rows,
    print_table,
)
from app.core import statements
from app.core.ledger import PLATFORM_KINDS, USER_KINDS
from app.core.statements import FIRST, LAST, Meant, Span
from app.db import Database, Session
from app.errors import InvalidInput
from app.values.money import DECIMALS, Money

TOTALS = ("asset", "kind", "accounts", "balance")
BALANCES = ("balance", "asset", "kind", "owner", "account_id")
ENTRIES = ("number", "created_at", "kind", "asset", "amount", "balance_after", "reference", "purpose")
LEGS = ("number", "direction", "kind", "owner", "amount", "balance_after", "tree", "anchor_state")
asset_option = click.option("--asset", type=click.Choice(list(DECIMALS), case_sensitive=False), help="Only this asset.")
kind_option = click.option("--kind", type=click.Choice([*USER_KINDS, *PLATFORM_KINDS]), help="Only accounts of this kind.")
FORMATS = ["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"]
WHO = "ACCOUNT is an e-mail address, a wallet, an account's id, or one of the platform's own: " + ", ".join(PLATFORM_KINDS) + "."


@click.group()
def ledger() -> None:
    """Read the books: totals, balances, entries, transfers, statements."""


@ledger.command(epilog=examples("ledger totals", "ledger totals --json | jq -r '.[] | select(.kind == \"balance\")'"))
@as_json_option
def totals(as_json: bool) -> None:
    """What all accounts of each kind hold together, by asset: what users have, what is owed, what the fees brought."""
    with open_database(only_reads=True) as (_, database), database.unit_of_work() as session:
        rows = statements.totals(session)
    print_json(rows) if as_json else print_table(rows, TOTALS, "the books are empty")


@ledger.command(epilog=examples("ledger balances --asset USDC", "ledger balances --account jane@example.com --zero --json"))
@asset_option
@kind_option
@click.option("--account", "who", help="Only those of this account: an e-mail address, a wallet, or an id.")
@click.option("--zero", "with_empty", is_flag=True, help="Empty ones, too.")
@as_json_option
def balances(asset: str | None, kind: str | None, who: str | None, with_empty: bool, as_json: bool) -> None:
    """Every ledger account with what is on it."""
    with open_database(only_reads=True) as (_, database):
        meant = Meant(None, kind, asset)
        if who is not None:
            with database.unit_of_work() as session:
                meant = _narrowed(statements.find(session, who), asset, kind)
        read = partial(statements.balances, meant=meant, with_empty=with_empty)
        rows = _pages(database, lambda session, last: read(session, after=uuid.UUID(last["id"]) if last else None))
        print_json_rows(rows) if as_json else print_rows(rows, BALANCES, "nobody has any")


@ledger.command(epilog=examples("ledger entries fees --asset SOL", "ledger entries jane@example.com --limit 0 --json", note=WHO))
@click.argument("account")
@asset_option
@kind_option
@click.option("--since", type=click.DateTime(FORMATS), help="From this day or moment (UTC) on.")
@click.option("--until", type=click.DateTime(FORMATS), help="Up to before this day or moment (UTC).")
@click.option("--limit", default=100, show_default=True, type=click.IntRange(0), help="Most entries; 0 is all of them.")
@as_json_option
def entries(
    account: str, asset: str | None, kind: str | None, since: datetime | None, until: datetime | None, limit: int, as_json: bool
) -> None:
    """The entries of ACCOUNT, the newest first. A debit, which leaves the account, is below zero."""
    with open_database(only_reads=True) as (_, database):
        ids, span = _accounts(database, account, asset, kind), _span(since, until)
        rows = _limited(_entries(database, ids, span, newest_first=True), limit)
        print_json_rows(rows) if as_json else print_rows(rows, ENTRIES, "no entries in this time")


@ledger.command(epilog=examples("ledger transfer payout:5f0c…:paid", "ledger transfer 42 --json"))
@click.argument("reference")
@as_json_option
def transfer(reference: str, as_json: bool) -> None:
    """One transfer with both its legs, and the trees that they are anchored in.

    REFERENCE is the transfer's, or its id, or the number or id of one of its entries.
    """
    with open_database(only_reads=True) as (_, database), database.unit_of_work() as session:
        found = statements.transfer(session, reference)
    if as_json:
        print_json(found)
        return
    print_facts({name: value for name, value in found.items() if name != "entries"})
    click.echo()
    print_table(found["entries"], LEGS, "")


@ledger.command(epilog=examples("ledger statement jane@example.com --asset USDC --since 2026-01-01 --json", note=WHO))
@click.argument("account")
@click.option("--asset", type=click.Choice(list(DECIMALS), case_sensitive=False), required=True)
@click.option("--kind", type=click.Choice([*USER_KINDS, *PLATFORM_KINDS]), help="The kind of account; `balance` if not said.")
@click.option("--since", type=click.DateTime(FORMATS), help="From this day or moment (UTC) on.")
@click.option("--until", type=click.DateTime(FORMATS), help="Up to before this day or moment (UTC).")
@as_json_option
def statement(
    account: str, asset: str, kind: str | None, since: datetime | None, until: datetime | None, as_json: bool
) -> None:
    """What ACCOUNT had, what came, what went, and what it has then: the oldest entry first.

    Exit status 1 when the entries don't add up to what the account says it has.
    """
    if kind is None and account not in PLATFORM_KINDS:
        kind = "balance"
    with open_database(only_reads=True) as (_, database):
        ids, span = _accounts(database, account, asset, kind), _span(since, until)
        sums = _Sums(asset, _opening(database, ids, span))
        rows = sums.counted(_entries(database, ids, span, newest_first=False))
        if as_json:
            print_json_around({"account": account, "asset": asset, **sums.opened()}, "entries", rows, sums.closed)
        else:
            click.echo(f"had  {sums.opened()['opening']} {asset}")
            print_rows(rows, ENTRIES, "no entries in this time")
            told = sums.closed()
            click.echo(f"in   {told['came']}\nout  {told['went']}\nhas  {told['closing']} {asset}")
    if not sums.adds_up:
        click.echo("an entry's balance is not what the entries before it add up to: run `lightyard invariants`", err=True)
        raise SystemExit(1)


class _Sums:
    """Adds up what passes by, and holds it against the balances that the entries were written with."""

    def __init__(self, asset: str, opening: int) -> None:
        self._asset, self._opening, self._came, self._went, self.adds_up = asset, opening, 0, 0, True

    def counted(self, rows: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        for row in rows:
            minor = int(row["amount_minor"])
            self._came, self._went = self._came + max(0, minor), self._went + max(0, -minor)
            if row["balance_after"] is not None and row["balance_after"] != self._closing:
                self.adds_up = False
            yield row

    @property
    def _closing(self) -> str:
        return str(Money(self._opening + self._came - self._went, self._asset))

    def opened(self) -> dict[str, Any]:
        return {"opening": str(Money(self._opening, self._asset))}

    def closed(self) -> dict[str, Any]:
        came, went = Money(self._came, self._asset), Money(self._went, self._asset)
        return {"came": str(came), "went": str(went), "closing": self._closing, "adds_up": self.adds_up}


def _opening(database: Database, ids: list[uuid.UUID], span: Span) -> int:
    if span.since is None:
        return 0
    with database.unit_of_work() as session:
        return statements.balance_before(session, ids, span.since)


def _accounts(database: Database, told: str, asset: str | None, kind: str | None) -> list[uuid.UUID]:
    with database.unit_of_work() as session:
        return statements.ledger_ids(session, _narrowed(statements.find(session, told), asset, kind))


def _narrowed(found: Meant, asset: str | None, kind: str | None) -> Meant:
    return Meant(found.owner_id, kind or found.kind, asset or found.asset)


def _span(since: datetime | None, until: datetime | None) -> Span:
    if since is not None and until is not None and since >= until:
        raise InvalidInput("--until must be later than --since")
    return Span(since and since.replace(tzinfo=UTC), until and until.replace(tzinfo=UTC))


def _entries(database: Database, ids: list[uuid.UUID], span: Span, newest_first: bool) -> Iterator[dict[str, Any]]:
    def read(session: Session, last: dict[str, Any] | None) -> list[dict[str, Any]]:
        after = last["sequence"] if last else LAST if newest_first else FIRST
        return statements.entries(session, ids, span, after, newest_first)

    return _pages(database, read)


def _pages(
    database: Database, read: Callable[[Session, dict[str, Any] | None], list[dict[str, Any]]]
) -> Iterator[dict[str, Any]]:
    """Row after row, read page by page, each in a unit of work of its own that no reader of the output keeps open."""
    last: dict[str, Any] | None = None
    while True:
        with database.unit_of_work() as session:
            page = read(session, last)
        yield from page
        if len(page) < statements.PAGE_ROWS:
            return
        last = page[-1]


def _limited(rows: Iterator[dict[str, Any]], limit: int) -> Iterator[dict[str, Any]]:
    return islice(rows, limit) if limit else rows


COMMANDS = (ledger,)
