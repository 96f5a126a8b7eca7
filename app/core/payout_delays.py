"""Payouts that wait for their payees: each says what is to be done, and goes on by itself once the chain shows it done."""

import uuid
from collections.abc import Collection, Mapping
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.core.payout_signings import MAY_BE_SIGNED, order_of
from app.models.payouts import Payout
from app.values import clock
from app.values.payouts import Order

SHORTEST, LONGEST = timedelta(minutes=1), timedelta(hours=1)
AGE_PARTS = 10  # the longer it has waited, the more rarely it is looked at


def delay(session: Session, reasons: Mapping[uuid.UUID, str]) -> None:
    """Leave payouts out of batches, for now. What is signed or ended by now stays as it is."""
    now = clock.now()
    for payout in _locked(session, reasons):
        payout.delayed_reason = reasons[payout.id][:500]
        payout.look_again_at = now + _pause(payout, now)


def _pause(payout: Payout, now: datetime) -> timedelta:
    return min(LONGEST, max(SHORTEST, (now - payout.created_at) / AGE_PARTS))


def resume(session: Session, payout_ids: Collection[uuid.UUID]) -> None:
    """What was waited for is there: they may be signed."""
    for payout in _locked(session, payout_ids):
        payout.delayed_reason = payout.look_again_at = None


def _locked(session: Session, payout_ids: Collection[uuid.UUID]) -> list[Payout]:
    query = select(Payout).where(Payout.id.in_(payout_ids), Payout.state.in_(MAY_BE_SIGNED)).order_by(Payout.id)
    return list(session.scalars(query.with_for_update().execution_options(populate_existing=True)))


def due(session: Session, chain: str, most: int) -> list[Order]:
    """Delayed payouts for which the chain is to be looked at now."""
    is_due = (Payout.chain == chain) & (Payout.look_again_at <= clock.now())
    query = select(Payout).where(is_due, Payout.state.in_(MAY_BE_SIGNED), Payout.held_reason.is_(None))
    return [order_of(payout) for payout in session.scalars(query.order_by(Payout.look_again_at).limit(most))]
