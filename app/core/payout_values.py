"""What payouts were worth in dollars when they were made: found once, and kept with the row."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from app.models.payouts import Payout
from app.values.money import Money
from app.values.usd_rates import UsdValue


@dataclass(frozen=True, slots=True)
class Unpriced:
    """A payout whose worth nobody has said yet; `at` is its transaction's time."""

    number: int
    amount: Money
    at: datetime


def unpriced(session: Session, after: int, limit: int) -> list[Unpriced]:
    """Payouts with a transaction and without a worth, in the order of their numbers."""
    query = select(Payout.number, Payout.amount_minor, Payout.asset, Payout.transaction_time).where(
        Payout.number > after, Payout.amount_usd.is_(None), Payout.transaction_time.is_not(None)
    )
    rows = session.execute(query.order_by(Payout.number).limit(limit))
    return [Unpriced(number, Money(minor, asset), moment) for number, minor, asset, moment in rows if moment is not None]


def put(session: Session, known: Sequence[tuple[Unpriced, UsdValue]]) -> int:
    """Write what they were worth; one that has its worth by now keeps it. Returns how many got one."""
    count = 0
    for item, worth in known:
        values = {"amount_usd": worth.amount_usd, "usd_rate": worth.rate, "usd_rate_source": worth.source}
        statement = update(Payout).where(Payout.number == item.number, Payout.amount_usd.is_(None)).values(values)
        count += session.execute(statement.returning(Payout.number)).one_or_none() is not None
    return count
