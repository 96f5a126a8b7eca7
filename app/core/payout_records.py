"""Payouts that somebody else made: whether the chain shows their transactions."""

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.core import payouts
from app.core.payout_reconciliation import AMOUNT, note
from app.models.payouts import Payout
from app.values import clock
from app.values.states import PayoutState, advance

AGAIN_SECONDS, RARELY_SECONDS = 60, 3600
YOUNG = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Wanted:
    """A recorded transaction that the chain has not shown; addresses raw."""

    payout_id: uuid.UUID
    tx_hash: str
    destination: str
    source: str | None
    amount_nano: int
    transaction_time: datetime


def waiting(session: Session, limit: int = 20) -> list[Wanted]:
    """Records to look for now, the longest unlooked first: every minute for a day, then every hour."""
    now = clock.now()
    looked = func.coalesce(Payout.looked_at, Payout.created_at - timedelta(seconds=AGAIN_SECONDS))
    is_young = (Payout.created_at > now - YOUNG) & (looked <= now - timedelta(seconds=AGAIN_SECONDS))
    is_old = looked <= now - timedelta(seconds=RARELY_SECONDS)
    query = select(Payout).where(Payout.origin == payouts.RECORDED, Payout.state == PayoutState.CREATED, is_young | is_old)
    return [_wanted(payout) for payout in session.scalars(query.order_by(looked).limit(limit))]


def _wanted(payout: Payout) -> Wanted:
    return Wanted(
        payout.id,
        payout.tx_hash or "",
        payout.destination,
        payout.source,
        payout.amount_minor,
        payout.transaction_time or payout.created_at,
    )


def note_not_found(session: Session, payout_id: uuid.UUID) -> None:
    """The chain does not show it, or could not say; `confirmed` stays false until it does, and others are looked for first."""
    payouts.locked(session, payout_id).looked_at = clock.now()


def note_found(session: Session, payout_id: uuid.UUID, is_paid: bool, moment: datetime, told: str) -> bool:
    """The chain shows the transaction. One that paid something else confirms nothing, and is a difference."""
    payout = payouts.locked(session, payout_id)
    payout.looked_at = clock.now()
    if payout.state != PayoutState.CREATED:
        return payout.is_confirmed
    if not is_paid:
        detail = f"recorded as {payout.amount_minor} nanotons to {payout.destination}, but {told}"
        note(session, payout.chain, payout.source or "", AMOUNT, str(payout.id), payout.tx_hash, payout.id, detail)
        return False
    if payout.usd_rate is not None and payout.transaction_time != moment:
        payout.amount_usd = payout.usd_rate = payout.usd_rate_source = None  # the chain's time has a rate of its own
    payout.state = advance(PayoutState.CREATED, PayoutState.CONFIRMED)
    payout.is_confirmed, payout.confirmed_at, payout.transaction_time = True, clock.now(), moment
    payout.confirmations = max(1, payout.confirmations)
    return True
