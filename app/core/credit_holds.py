"""Credits set aside for a job: held when it is dispatched, captured when it is done, released when it is not."""

import uuid

from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from app.core import credits, ledger, settlement, tallies
from app.core.credits import ASSET, HOLD, RELEASE
from app.core.ledger import Party
from app.errors import Conflict
from app.models.credits import CreditHold
from app.values import clock
from app.values.money import DOWN, Money, share
from app.values.purposes import Purpose
from app.values.rates import Conversion, RateSource, convert
from app.values.states import HoldState

EARNED_ASSET = "USDC"


def hold(session: Session, account_id: uuid.UUID, job_id: uuid.UUID, amount: Money, description: str) -> CreditHold:
    """Set `amount` aside for a job that is in the database; nothing is fine, too.

    PaymentRequired says what is available: roll back. A job that failed and is tried again takes a new hold; Conflict
    ALREADY_HELD while one is held, also when two come at once.
    """
    row = _begin(session, account_id, job_id, amount)
    if amount.minor:
        reference = f"{HOLD}{job_id}:{row.number}"
        source, destination = Party("balance", account_id), Party("held", account_id)
        credits.spend(session, source, destination, amount, reference, job_id, description)
    return row


def _begin(session: Session, account_id: uuid.UUID, job_id: uuid.UUID, amount: Money) -> CreditHold:
    last = session.scalar(select(func.max(CreditHold.number)).where(CreditHold.job_id == job_id)) or 0
    values = {
        "id": uuid.uuid4(),
        "account_id": account_id,
        "job_id": job_id,
        "number": last + 1,
        "amount_minor": amount.minor,
        "state": HoldState.HELD,
        "created_at": clock.now(),
    }
    statement = insert(CreditHold).values(values).on_conflict_do_nothing().returning(CreditHold)
    row = session.scalars(statement).one_or_none()
    if row is None:
        raise Conflict("credits are held for this job already", code="ALREADY_HELD")
    return row


def release(session: Session, job_id: uuid.UUID, reason: str) -> CreditHold | None:
    """Give a job's held credits back to whom they belong; None when they were captured or released before, or never held.

    Of any number of captures and releases at once, one does it: the hold's row decides.
    """
    row = _end(session, job_id, HoldState.RELEASED)
    if row is not None and row.amount_minor:
        settlement.lock(session, {row.account_id: ("balance", "held")}, ASSET)
        ledger.post(
            session,
            Party("held", row.account_id),
            Party("balance", row.account_id),
            Money(row.amount_minor, ASSET),
            f"{RELEASE}{job_id}:{row.number}",
            job_id,
            Purpose.REFUND,
            reason,
        )
        settlement.settle_debts(session, row.account_id, ASSET)
    return row


def capture(
    session: Session, job_id: uuid.UUID, operator_id: uuid.UUID, rates: RateSource, operator_percent: int
) -> CreditHold | None:
    """Pay for a job that is done: `operator_percent` of its held credits become USDC of the account that did it, at the rate of
    this moment, which is kept; the platform keeps the rest. None as `release`. Unavailable, and nothing done, without a rate.

    The hold's row is locked first, then the ledger's; a deadlock between batches is Unavailable, and may be tried again.
    """
    row = _end(session, job_id, HoldState.CAPTURED)
    if row is None:
        return None
    whole = Money(row.amount_minor, ASSET)
    part = share(whole, operator_percent, DOWN)
    earned = convert(part, EARNED_ASSET, rates, DOWN)
    held = Party("held", row.account_id)
    name = f"{job_id}:{row.number}"
    if (whole - part).minor:
        ledger.post(session, held, Party("fees"), whole - part, f"credits:fee:{name}", job_id)
    if part.minor:
        ledger.post(session, held, Party("exchange"), part, f"credits:share:{name}", job_id)
    if earned.amount.minor:
        _pay(session, operator_id, earned.amount, f"credits:earning:{name}", job_id)
    _note(row, operator_id, part, earned)
    if whole.minor:
        tallies.count_credits(session, whole)
    return row


def _pay(session: Session, operator_id: uuid.UUID, amount: Money, reference: str, job_id: uuid.UUID) -> None:
    description = "Share of a job paid in credits"
    settlement.lock(session, {operator_id: ("balance",)}, amount.asset)
    ledger.post(
        session, Party("exchange"), Party("balance", operator_id), amount, reference, job_id, Purpose.EARNING, description
    )
    settlement.settle_debts(session, operator_id, amount.asset)


def _note(row: CreditHold, operator_id: uuid.UUID, part: Money, earned: Conversion) -> None:
    row.operator_id, row.operator_minor = operator_id, part.minor
    row.earned_minor, row.earned_asset = earned.amount.minor, earned.amount.asset
    row.rate, row.rate_source = earned.rate, earned.source


def _end(session: Session, job_id: uuid.UUID, state: HoldState) -> CreditHold | None:
    """The one writer of a hold's end: whoever gets the row here has it alone."""
    statement = (
        update(CreditHold)
        .where(CreditHold.job_id == job_id, CreditHold.state == HoldState.HELD)
        .values(state=state, ended_at=clock.now())
        .returning(CreditHold)
        .execution_options(populate_existing=True)
    )
    return session.scalars(statement).one_or_none()
