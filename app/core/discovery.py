"""Payments that nobody told us of: what was read on a payee's address is matched by its memos."""

from collections.abc import Iterable

import structlog
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.core import chain_cursors, payments
from app.core.chain_cursors import Address
from app.errors import Conflict
from app.models.payments import ChainTransaction, Payment
from app.values import memos, token_accounts

log = structlog.get_logger()


def note_read(session: Session, place: Address, seen: Iterable[tuple[str, str | None]], newest: str | None) -> int:
    """Show every transaction whose memo is one of ours for its payment, and move the cursor. Returns how many were new."""
    found = 0
    for signature, text in seen:
        for memo in sorted(set(memos.MEMO.findall(text or ""))):  # the RPC joins a transaction's memos into one text
            payment = session.scalars(select(Payment).where(Payment.memo == memo, Payment.chain == place.chain)).one_or_none()
            if payment is not None and place.address in _places(payment):
                found += _show(session, payment, signature)
    chain_cursors.move(session, place, newest)
    return found


def _places(payment: Payment) -> tuple[str, ...]:
    """Where a payment may be seen to arrive: at its payee, and, of a token, at the account that the payee keeps it in."""
    if payment.mint is None:
        return (payment.pay_to,)
    return payment.pay_to, token_accounts.address(payment.pay_to, payment.mint)


def _show(session: Session, payment: Payment, signature: str) -> int:
    query = select(ChainTransaction).where(
        ChainTransaction.chain == payment.chain,
        ChainTransaction.signature == signature,
        ChainTransaction.payment_id == payment.id,
    )
    shown = session.scalars(query).one_or_none()
    if shown is not None:
        payments.reopen_never_seen(session, shown)
        return 0
    try:
        payments.present(session, payment, signature)
    except Conflict:  # it carries two memos of ours, and was booked as owed back for the other one
        log.warning("payments.booked_elsewhere", payment_id=str(payment.id), tx_hash=signature)
        return 0
    return 1
