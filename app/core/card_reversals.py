"""What goes back of a payment by card: the newest word on each refund, dispute and charge, and what they amount to."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.models.card_payments import CardReversal
from app.values.card_events import Reversed


def note(session: Session, told: Reversed, told_at: int) -> None:
    """Keep what an event says, unless a newer one was there before. Call it with the payment locked.

    Within one second the further state wins, and of a charge's growing sums the larger.
    """
    row = session.get(CardReversal, told.object_id)
    if row is None:
        row = CardReversal(id=told.object_id, payment=told.payment, kind=told.kind)
        row.told_at, row.rank, row.amount_minor, row.is_counted = -1, 0, 0, False
        session.add(row)
    if (row.told_at, row.rank, row.amount_minor) < (told_at, told.rank, told.amount_minor):
        row.told_at, row.rank, row.amount_minor, row.is_counted = told_at, told.rank, told.amount_minor, told.is_counted
    session.flush()


def total(session: Session, payment: str) -> int:
    """What was refunded and what is disputed, in the currency's minor units.

    Refunds are told twice, each for itself and summed up by the charge, and an endpoint may hear only one of them: the larger
    counts. A refund that failed after the charge's word is no longer in its sum.
    """
    rows = session.scalars(select(CardReversal).where(CardReversal.payment == payment)).all()
    refunds = [row for row in rows if row.kind == "refund"]
    singly = sum(row.amount_minor for row in refunds if row.is_counted)
    summed = 0
    for charge in (row for row in rows if row.kind == "charge"):
        failed = (row.amount_minor for row in refunds if not row.is_counted and row.told_at >= charge.told_at)
        summed += max(0, charge.amount_minor - sum(failed))
    return max(singly, summed) + sum(row.amount_minor for row in rows if row.kind == "dispute" and row.is_counted)
