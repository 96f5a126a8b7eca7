"""What was paid out to Cocoon's participants, as the tax office wants to read it: by the transaction's time, in UTC."""

from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

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
    tx_hash: str
    participant_id: int
    wallet: str
    amount: Money
    amount_usd: Decimal | None
    source: str | None
    is_confirmed: bool
    block_number: int | None
    total_requests: int | None
    total_compute_time_seconds: int | None

    @property
    def place(self) -> Place:
        return self.at, self.number


def page(session: Session, wanted: Wanted, after: Place | None, limit: int) -> list[TaxRow]:
    """The next rows of a report, in the order of their transactions: what a stream reads page by page, each in a unit of work of
    its own, so that a slow reader holds no connection."""
    query = select(Payout, Participant.wallet).join(Participant, Participant.id == Payout.participant_id)
    query = query.where(*_conditions(wanted))
    if after is not None:
        query = query.where(Payout.transaction_time >= after[0], tuple_(Payout.transaction_time, Payout.number) > after)
    query = query.order_by(Payout.transaction_time, Payout.number).limit(limit)
    return [_row(payout, wallet) for payout, wallet in session.execute(query)]


def _conditions(wanted: Wanted) -> list[ColumnElement[bool]]:
    found = [Payout.asset == ASSET, Payout.participant_id.is_not(None), Payout.state != "cancelled"]
    found += [Payout.transaction_time.is_not(None), Payout.tx_hash.is_not(None)]
    if wanted.among is not None:
        found.append(Payout.participant_id.in_(wanted.among))
    if wanted.year is not None:
        found.append(Payout.transaction_time >= datetime(wanted.year, 1, 1, tzinfo=UTC))
        found.append(Payout.transaction_time < datetime(wanted.year + 1, 1, 1, tzinfo=UTC))
    return found


def _row(payout: Payout, wallet: str) -> TaxRow:
    assert payout.transaction_time is not None and payout.tx_hash is not None and payout.participant_id is not None
    return TaxRow(
        number=payout.number,
        at=payout.transaction_time,
        tx_hash=payout.tx_hash,
        participant_id=payout.participant_id,
        wallet=wallet,
        amount=Money(payout.amount_minor, payout.asset),
        amount_usd=payout.amount_usd,
        source=payout.source,
        is_confirmed=payout.is_confirmed,
        block_number=payout.block_number,
        total_requests=payout.total_requests,
        total_compute_time_seconds=payout.total_compute_time_seconds,
    )
