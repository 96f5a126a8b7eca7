"""Top-ups: money that an account sends ahead, and that stays on its balance in its own asset."""

import uuid

from sqlalchemy.orm import Session

from app.core import payments, solana_deposits
from app.core.render_payments import MEMO_PREFIX
from app.core.solana_hub import SolanaHub
from app.models.payments import Payment
from app.values import memos
from app.values.money import Money

MOST_WAITING = 100


def ask(
    session: Session, hub: SolanaHub, account_id: uuid.UUID, amount: Money, seconds: int, payment_id: uuid.UUID | None = None
) -> Payment:
    """Ask where to pay a top-up; under one `payment_id` it is one. Errors as `solana_deposits.till`; Refused
    TOO_MANY_DEPOSITS for an account that too many are waited for already."""
    known = session.get(Payment, payment_id) if payment_id else None
    if known is None:
        payments.assert_room(session, account_id, MOST_WAITING)
    return solana_deposits.ask(
        session,
        hub,
        account_id,
        amount,
        memo_prefix=MEMO_PREFIX,
        seconds=seconds,
        payment_id=payment_id,
        memo=memos.short,
    )
