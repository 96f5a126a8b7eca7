"""Money set aside for a compute task: held when it is ordered, paid to its provider up to what it cost, the rest given back."""

import uuid

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from app.core import ledger, settlement
from app.core.ledger import Party
from app.errors import Conflict
from app.models.tasks import TaskHold
from app.values import clock
from app.values.money import DOWN, Money, share
from app.values.purposes import Purpose
from app.values.states import HoldState

KINDS = ("balance", "held")  # between which a client's money moves here


def hold(session: Session, account_id: uuid.UUID, job_id: uuid.UUID, amount: Money) -> TaskHold:
    """Set `amount` aside for a job that is in the database. PaymentRequired says what is there: roll back."""
    row = TaskHold(
        id=uuid.uuid4(),
        job_id=job_id,
        account_id=account_id,
        asset=amount.asset,
        amount_minor=amount.minor,
        state=HoldState.HELD,
    )
    session.add(row)
    session.flush()
    _set_aside(session, row, amount, "0")
    return row


def resize(session: Session, job_id: uuid.UUID, amount: Money) -> None:
    """Hold that much from now on, more or less than before. PaymentRequired as `hold`; Conflict once it is paid or given back."""
    row = session.scalars(
        select(TaskHold).where(TaskHold.job_id == job_id).with_for_update().execution_options(populate_existing=True)
    ).one()
    if row.state != HoldState.HELD:
        raise Conflict("this task is over", code="TASK_OVER")
    settlement.lock(session, {row.account_id: KINDS}, row.asset)
    change = amount.minor - row.amount_minor
    step = str(uuid.uuid4())
    if change > 0:
        _set_aside(session, row, Money(change, row.asset), step)
    elif change < 0:
        _give_back(session, row, Money(-change, row.asset), step)
    row.amount_minor = amount.minor


def release(session: Session, job_id: uuid.UUID) -> TaskHold | None:
    """Give everything back; None when it was paid or given back before, or there never was any."""
    row = _end(session, job_id, HoldState.RELEASED)
    if row is not None:
        settlement.lock(session, {row.account_id: KINDS}, row.asset)
        row.earned_minor = row.fee_minor = 0
        _give_back(session, row, Money(row.amount_minor, row.asset), "end")
    return row


def capture(session: Session, job_id: uuid.UUID, cost: Money, payee: uuid.UUID, fee_percent: int) -> TaskHold | None:
    """Pay `cost`, or all that is held where that is less, to the account that did the work, less the platform's share; what is
    left goes back to the client. None as `release`: of any number of ends at once, one does it."""
    row = _end(session, job_id, HoldState.CAPTURED)
    if row is None:
        return None
    settlement.lock(session, {payee: ("balance",), row.account_id: KINDS}, row.asset)
    whole = Money(min(cost.minor, row.amount_minor), row.asset)
    fee = share(whole, fee_percent, DOWN)
    earned = whole - fee
    held = Party("held", row.account_id)
    if fee.minor:
        ledger.post(session, held, Party("fees"), fee, f"task:fee:{job_id}", job_id)
    if earned.minor:
        description = "A compute task"
        reference = f"task:earning:{job_id}"
        ledger.post(session, held, Party("balance", payee), earned, reference, job_id, Purpose.EARNING, description)
        settlement.settle_debts(session, payee, row.asset)
    _give_back(session, row, Money(row.amount_minor - whole.minor, row.asset), "rest")
    row.provider_account_id, row.earned_minor, row.fee_minor = payee, earned.minor, fee.minor
    return row


def _set_aside(session: Session, row: TaskHold, amount: Money, step: str) -> None:
    if amount.minor:
        source, held = Party("balance", row.account_id), Party("held", row.account_id)
        ledger.post(session, source, held, amount, f"task:hold:{row.job_id}:{step}", row.job_id, Purpose.USAGE, "A compute task")


def _give_back(session: Session, row: TaskHold, amount: Money, step: str) -> None:
    if amount.minor:
        held, balance = Party("held", row.account_id), Party("balance", row.account_id)
        ledger.post(session, held, balance, amount, f"task:release:{row.job_id}:{step}", row.job_id, Purpose.REFUND, "Not used")
        settlement.settle_debts(session, row.account_id, row.asset)


def _end(session: Session, job_id: uuid.UUID, state: HoldState) -> TaskHold | None:
    """The one writer of a hold's end: whoever gets the row here has it alone."""
    statement = (
        update(TaskHold)
        .where(TaskHold.job_id == job_id, TaskHold.state == HoldState.HELD)
        .values(state=state, ended_at=clock.now())
        .returning(TaskHold)
        .execution_options(populate_existing=True)
    )
    return session.scalars(statement).one_or_none()
