"""An account's deposits as it is told of them: what was asked for, and what came of each transaction."""

import uuid
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.core import payments
from app.errors import NotFound
from app.models.payments import ChainTransaction, Payment
from app.values import clock
from app.values.money import Money

PURPOSE = "deposit"


@dataclass(frozen=True, slots=True)
class DepositView:
    """A deposit. `received` is what has come onto the balance for it; `transactions` are those that were seen, the oldest first,
    and empty in a list of deposits."""

    payment: Payment
    received: Money
    transactions: tuple[ChainTransaction, ...] = ()

    @property
    def amount(self) -> Money:
        return Money(self.payment.amount_minor, self.payment.asset)

    @property
    def is_confirmed(self) -> bool:
        """Whether one transaction has paid it as it was asked for."""
        return self.payment.state == "confirmed"

    @property
    def is_expired(self) -> bool:
        return clock.now() > self.payment.expires_at


def get_own(session: Session, account_id: uuid.UUID, deposit_id: uuid.UUID) -> DepositView:
    """One deposit of the account. NotFound DEPOSIT_NOT_FOUND for anybody else's, as for none."""
    query = select(Payment).where(Payment.id == deposit_id, Payment.account_id == account_id, Payment.purpose == PURPOSE)
    payment = session.scalars(query).one_or_none()
    if payment is None:
        raise NotFound(
            f"there is no deposit {deposit_id}", code="DEPOSIT_NOT_FOUND", details={"deposit_id": str(deposit_id)}
        )
    return view(session, payment)


def view(session: Session, payment: Payment) -> DepositView:
    """A payment to the hub with what came of it."""
    received = _received(session, [payment])[payment.id]
    return DepositView(payment, received, tuple(payments.shown_for(session, payment.id)))


def listed(session: Session, account_id: uuid.UUID, assets: Sequence[str], limit: int, offset: int) -> list[DepositView]:
    """The account's deposits in these assets, the newest first."""
    query = select(Payment).where(Payment.account_id == account_id, Payment.purpose == PURPOSE, Payment.asset.in_(assets))
    query = query.order_by(Payment.created_at.desc(), Payment.id).limit(limit).offset(offset)
    found = list(session.scalars(query))
    received = _received(session, found)
    return [DepositView(payment, received[payment.id]) for payment in found]


def _received(session: Session, found: Collection[Payment]) -> dict[uuid.UUID, Money]:
    query = select(ChainTransaction.payment_id, func.sum(ChainTransaction.received_minor))
    query = query.where(ChainTransaction.payment_id.in_([item.id for item in found]), ChainTransaction.state.in_(payments.BOOKED))
    sums = {payment_id: int(minor) for payment_id, minor in session.execute(query.group_by(ChainTransaction.payment_id))}
    return {item.id: Money(sums.get(item.id, 0), item.asset) for item in found}
