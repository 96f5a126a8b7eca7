"""Money set aside for a render: from the client's balance, to whoever renders frame by frame, and back.

Credits are good for renders alone, and no chain knows them: whoever renders for them has the RENDER that they were redeemed of.
"""

import uuid
from collections import defaultdict
from collections.abc import Iterable

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.core import ledger, redeem, settlement
from app.core.ledger import Party
from app.models.render_orders import RenderHold
from app.values import clock
from app.values.money import DOWN, Money, share
from app.values.purposes import Purpose

PLATFORM_FEE_PERCENT = 5
PAYER_KINDS, PAYEE_KINDS = ("balance", "held"), ("balance",)


def earned_in(asset: str) -> str:
    """The asset that whoever renders gets, one for one, for a job that is paid with this one."""
    return redeem.SOURCE if asset == redeem.CREDITS else asset


def lock_money(session: Session, payments: Iterable[tuple[uuid.UUID, uuid.UUID, str]]) -> None:
    """Lock all that paying for units will move, before any of it is: (payer, payee, the job's asset) each. One asset after the
    other, in the one order: RENDER before credits, as who redeems."""
    wanted: dict[str, dict[uuid.UUID, tuple[str, ...]]] = defaultdict(dict)
    for payer, payee, asset in payments:
        wanted[earned_in(asset)].setdefault(payee, PAYEE_KINDS)
        wanted[asset][payer] = PAYER_KINDS
    for asset in sorted(wanted, reverse=True):
        settlement.lock(session, wanted[asset], asset)


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
    lock_money(session, [(row.account_id, payee, row.asset)])
    fee = share(cost, PLATFORM_FEE_PERCENT, DOWN)
    held = Party("held", row.account_id)
    if fee.minor:
        ledger.post(session, held, Party("fees"), fee, f"render:fee:{name}", job_id)
    if (cost - fee).minor:
        _earn(session, held, payee, cost - fee, name, job_id)
    row.amount_minor -= cost.minor


def _earn(session: Session, source: Party, payee: uuid.UUID, earned: Money, name: str, job_id: uuid.UUID) -> None:
    paid = Money(earned.minor, earned_in(earned.asset))
    if paid.asset != earned.asset:
        ledger.post(session, source, Party("exchange"), earned, f"render:share:{name}", job_id)
        source = Party("exchange")
    reference, description = f"render:earning:{name}", "A frame rendered"
    ledger.post(session, source, Party("balance", payee), paid, reference, job_id, Purpose.EARNING, description)
    settlement.settle_debts(session, payee, paid.asset)


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
