"""Money that an account pays to the hub itself: asked for with a memo, and put on the account's balance."""

import uuid
from collections.abc import Callable
from datetime import timedelta

from sqlalchemy.orm import Session

from app.core import chain_cursors, ledger, settlement
from app.core.ledger import Party
from app.errors import InvalidInput
from app.models.payments import ChainTransaction, Payment
from app.values import clock, memos
from app.values.money import Money
from app.values.purposes import Purpose

Memo = Callable[[str, uuid.UUID], str]
# What the depositor is told of money that does not settle the payment, by the verdict's code
TOLD = {
    "short": "less arrived than was asked for; it is on the balance",
    "expired": "it arrived after the payment had expired; it is on the balance",
    "before_order": "it is older than the payment; it is on the balance",
    "memo_twice": "it carries more than one memo; it is on the balance",
    "no_transfer": "it came without a transfer that can be read; it is on the balance",
    "already_paid": "this was paid before; the amount is on the balance too",
    "job_over": "nothing was to be paid any more; the amount is on the balance",
}


def ask(
    session: Session,
    account_id: uuid.UUID,
    amount: Money,
    *,
    chain: str,
    pay_to: str,
    mint: str | None,
    memo_prefix: str,
    seconds: int,
    note: str | None = None,
    payment_id: uuid.UUID | None = None,
    memo: Memo = memos.long,
) -> Payment:
    """Ask an account for a deposit to `pay_to`, the hub's own address; `mint` names the token, None the chain's own coin.

    The memo is public on the chain, so it carries the payment's id and nothing else; `note` is the depositor's own word for it.
    `payment_id`: asked for again under one id, it is the same deposit.
    """
    if amount.minor <= 0:
        raise InvalidInput("a deposit must be more than zero")
    known = session.get(Payment, payment_id) if payment_id else None
    if known is not None:
        return known
    reference, now = payment_id or uuid.uuid4(), clock.now()
    payment = Payment(
        id=reference,
        account_id=account_id,
        purpose="deposit",
        chain=chain,
        asset=amount.asset,
        mint=mint,
        amount_minor=amount.minor,
        pay_to=pay_to,
        memo=memo(memo_prefix, reference),
        note=note,
        created_at=now,
        expires_at=now + timedelta(seconds=seconds),
    )
    session.add(payment)
    chain_cursors.watch(session, chain, pay_to)
    return payment


def book(session: Session, payment: Payment, account_id: uuid.UUID, shown: ChainTransaction) -> None:
    """Put what arrived on the balance, once per transaction.

    It is the account's money whether it was enough, too little or late; only what is accepted makes the payment confirmed.
    """
    received = Money(shown.received_minor, payment.asset)
    reference = f"payment:{payment.chain}:{shown.signature}"
    settlement.lock(session, {account_id: ("balance",)}, payment.asset)
    ledger.post(
        session,
        Party("chain"),
        Party("balance", account_id),
        received,
        reference,
        purpose=Purpose.PURCHASE,
        description=f"deposit {payment.memo}",
    )
    if shown.state == "accepted":
        payment.state, payment.tx_signature, payment.confirmed_at = "confirmed", shown.signature, clock.now()
    else:
        shown.message = TOLD.get(shown.code or "", shown.message)
    settlement.settle_debts(session, account_id, payment.asset)
