"""Money set aside for a render: from the client's balance, to whoever renders frame by frame, and back."""

import uuid

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.core import ledger, settlement
from app.core.ledger import Party
from app.models.render_orders import RenderHold
from app.values import clock
from app.values.money import DOWN, Money, share
from app.values.purposes import Purpose

PLATFORM_FEE_PERCENT = 5
PAYER_KINDS = ("balance", "held")


def add(session: Session, account_id: uuid.UUID, job_id: uuid.UUID, amount: Money) -> None:
    """Set `amount` aside for a job, beside what lies there for it. PaymentRequired says what is there: roll back."""
    row = _lock(session, job_id)
    if row is None:
        row = RenderHold(job_id=job_id, account_id=account_id, asset=amount.asset, amount_minor=0)
        session.add(row)
        session.flush()
    settlement.lock(session, {account_id: PAYER_KINDS}, amount.asset)
    if amount.minor:
        source, held = Party("balance", account_id), Party("held", account_id)
        reference = f"render:hold:{job_id}:{uuid.uuid4()}"
        ledger.post(session, source, held, amount, reference, job_id, Purpose.USAGE, "A render")
    row.amount_minor += amount.minor


def pay(session: Session, job_id: uuid.UUID, payee: uuid.UUID, cost: Money, name: str) -> None:
    """Pay for one unit out of what lies aside: the platform keeps its share. `name` is the attempt's, which is paid once."""
    row = _lock(session, job_id)
    if row is None or row.amount_minor < cost.minor:
        raise RuntimeError(f"job {job_id} was charged more than lies aside for it")
    settlement.lock(session, {row.account_id: PAYER_KINDS, payee: ("balance",)}, row.asset)
    fee = share(cost, PLATFORM_FEE_PERCENT, DOWN)
    held = Party("held", row.account_id)
    if fee.minor:
        ledger.post(session, held, Party("fees"), fee, f"render:fee:{name}", job_id)
    earned = cost - fee
    if earned.minor:
        purpose, description = Purpose.EARNING, "A frame rendered"
        ledger.post(session, held, Party("balance", payee), earned, f"render:earning:{name}", job_id, purpose, description)
        settlement.settle_debts(session, payee, row.asset)
    row.amount_minor -= cost.minor


def give_back(session: Session, job_id: uuid.UUID, amount: Money) -> None:
    """Return a part of what lies aside: its owner lowered the cap."""
    row = _lock(session, job_id)
    if row is None or row.amount_minor < amount.minor:
        raise RuntimeError(f"less than {amount} lies aside for job {job_id}")
    settlement.lock(session, {row.account_id: PAYER_KINDS}, row.asset)
    held, balance = Party("held", row.account_id), Party("balance", row.account_id)
    reference = f"render:release:{job_id}:{uuid.uuid4()}"
    ledger.post(session, held, balance, amount, reference, job_id, Purpose.REFUND, "Not used")
    settlement.settle_debts(session, row.account_id, row.asset)
    row.amount_minor -= amount.minor


def release(session: Session, job_id: uuid.UUID) -> None:
    """Give back all that lies aside for a job; doing so again is harmless."""
    row = _lock(session, job_id)
    if row is None or row.ended_at is not None:
        return
    settlement.lock(session, {row.account_id: PAYER_KINDS}, row.asset)
    if row.amount_minor:
        held, balance = Party("held", row.account_id), Party("balance", row.account_id)
        rest = Money(row.amount_minor, row.asset)
        ledger.post(session, held, balance, rest, f"render:release:{job_id}", job_id, Purpose.REFUND, "Not used")
        settlement.settle_debts(session, row.account_id, row.asset)
    row.amount_minor, row.ended_at = 0, clock.now()


def _lock(session: Session, job_id: uuid.UUID) -> RenderHold | None:
    query = select(RenderHold).where(RenderHold.job_id == job_id).with_for_update()
    return session.scalars(query.execution_options(populate_existing=True)).one_or_none()
