"""Payouts of Cocoon's participants: those of the engine, and those that an operator recorded."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from app.core.participants import Among
from app.errors import NotFound
from app.models.payouts import Payout
from app.values.money import DECIMALS, Money

ASSET = "TON"


@dataclass(frozen=True, slots=True)
class Summary:
    """What a participant was paid. Moments are of transactions, else of the order; `total` in TON, `amount_usd` of those
    with a value; neither is Money, since a sum may be more than an amount can be."""

    total_payouts: int
    confirmed_payouts: int
    total: Decimal
    amount_usd: Decimal
    first: datetime | None
    last: datetime | None


def page(
    session: Session, among: Among, limit: int, offset: int, participant_id: int | None = None, is_confirmed: bool | None = None
) -> list[Payout]:
    """Payouts, the newest first."""
    conditions = _seen(among)
    if participant_id is not None:
        conditions.append(Payout.participant_id == participant_id)
    if is_confirmed is not None:
        conditions.append(Payout.is_confirmed == is_confirmed)
    query = select(Payout).where(*conditions).order_by(Payout.number.desc()).limit(limit).offset(offset)
    return list(session.scalars(query))


def get(session: Session, number: int, among: Among) -> Payout:
    """One payout by the integer that users know; NotFound for one that is not among those, as for none."""
    query = select(Payout).where(Payout.number == number, *_seen(among)).execution_options(populate_existing=True)
    found = session.scalars(query).one_or_none()
    if found is None:
        raise NotFound("Payout not found", code="PAYOUT_UNKNOWN")
    return found


def summary(session: Session, participant_id: int) -> Summary:
    """Of one participant; what was called off does not count."""
    moment = func.coalesce(Payout.transaction_time, Payout.created_at)
    counted = (func.count(), func.count().filter(Payout.is_confirmed), func.sum(Payout.amount_minor))
    query = select(*counted, func.sum(Payout.amount_usd), func.min(moment), func.max(moment))
    among: Collection[int] = (participant_id,)
    row = session.execute(query.where(*_seen(among), Payout.state != "cancelled")).one()
    return Summary(row[0], row[1], Decimal(row[2] or 0).scaleb(-DECIMALS[ASSET]), row[3] or Decimal(0), row[4], row[5])


def _seen(among: Among) -> list[ColumnElement[bool]]:
    mine = Payout.participant_id.is_not(None) if among is None else Payout.participant_id.in_(among)
    return [mine, Payout.asset == ASSET]


def amount_of(payout: Payout) -> Money:
    return Money(payout.amount_minor, payout.asset)
