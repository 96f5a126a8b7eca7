"""What was paid out to Cocoon's participants, as the tax office wants to read it: by the transaction's time, in UTC."""

from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import ColumnElement, select, tuple_
from sqlalchemy.orm import Session

from app.core.participants import Among
from app.models.participants import Participant
from app.models.payouts import Payout
from app.values.money import Money

ASSET = "TON"
Place = tuple[datetime, int]
"""Where a report was read up to: a transaction's time and its payout's number."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Whose payouts, and of which year (None: all of them)."""

    among: Among
    year: int | None


@dataclass(frozen=True, slots=True)
class TaxRow:
    """A payout that was sent, whether or not the chain has shown it yet. `amount_usd` at the time of the transaction."""

    number: int
    at: datetime
    amount: Money
    tx_hash: str
    participant_id: int
    wallet: str
    amount_usd: Decimal | None
    source: str | None
    is_confirmed: bool
    block_number: int | None
    total_requests: int | None
    total_compute_time_seconds: int | None

    @property
    def place(self) -> Place:
        return self.at, self.number


_COLUMNS: tuple[Any, ...] = (
    Payout.number,
    Payout.transaction_time,
    Payout.amount_minor,
    Payout.tx_hash,
    Payout.participant_id,
    Participant.wallet,
    Payout.amount_usd,
    Payout.source,
    Payout.is_confirmed,
    Payout.block_number,
    Payout.total_requests,
    Payout.total_compute_time_seconds,
)  # a hundred thousand rows need not become objects that can be changed


def page(session: Session, wanted: Wanted, after: Place | None, limit: int) -> list[TaxRow]:
    """The next rows of a report, in the order of their transactions: what a stream reads page by page, each in a unit of work of
    its own, so that a slow reader holds no connection."""
    query = select(*_COLUMNS).join(Participant, Participant.id == Payout.participant_id).where(*_conditions(wanted))
    if after is not None:
        query = query.where(Payout.transaction_time >= after[0], tuple_(Payout.transaction_time, Payout.number) > after)
    query = query.order_by(Payout.transaction_time, Payout.number).limit(limit)
    return [TaxRow(number, at, Money(minor, ASSET), *rest) for number, at, minor, *rest in session.execute(query)]


def _conditions(wanted: Wanted) -> list[ColumnElement[bool]]:
    found = [Payout.asset == ASSET, Payout.participant_id.is_not(None), Payout.state != "cancelled"]
    found += [Payout.transaction_time.is_not(None), Payout.tx_hash.is_not(None)]
    if wanted.among is not None:
        found.append(Payout.participant_id.in_(wanted.among))
    if wanted.year is not None:
        found.append(Payout.transaction_time >= datetime(wanted.year, 1, 1, tzinfo=UTC))
        found.append(Payout.transaction_time < datetime(wanted.year + 1, 1, 1, tzinfo=UTC))
    return found
