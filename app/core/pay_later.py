"""Renders that are paid when they are done: how much of one account's may be open at once, for nothing is held for them."""

import uuid
from decimal import Decimal

from sqlalchemy import case, func, select
from sqlalchemy.orm import Session

from app.errors import ConfigError, InvalidInput, PaymentRequired
from app.models.accounts import Account
from app.models.jobs import Job
from app.models.render_orders import RenderOrder
from app.values.money import DECIMALS, UP, Money, from_decimal, parse
from app.values.states import JobState

SETTING = "PAY_LATER_MOST"
MODE = "pay_before_download"
PRICED_IN = "RENDER"
_OVER = (JobState.COMPLETED, JobState.FAILED, JobState.CANCELLED)


def read_most(text: str) -> Money:
    """Read PAY_LATER_MOST; 0 is nothing at all. ConfigError says what is wrong."""
    try:
        most = parse(text, PRICED_IN)
    except InvalidInput as error:
        raise ConfigError(f"{SETTING}: {error.message}") from None
    if most.minor < 0:
        raise ConfigError(f"{SETTING} must be 0 or more")
    return most


def assert_within(session: Session, account_id: uuid.UUID, wanted: Money, rate: Decimal, most: Money) -> None:
    """Let an account owe no more than `most` (RENDER) with `wanted`, at `rate` of its asset for one RENDER: what its open renders
    may come to, and its finished ones have. Orders of one account are looked at one after the other.

    PaymentRequired UNPAID_LIMIT says what is left.
    """
    lock = select(Account.id).where(Account.id == account_id).with_for_update(key_share=True)
    session.execute(lock)
    left = Money(max(0, most.minor - _owed(session, account_id).minor), PRICED_IN)
    asked = from_decimal(wanted.decimal / rate, PRICED_IN, UP)
    if asked.minor > left.minor:
        message = (
            f"{asked} {PRICED_IN} would be rendered before they are paid, and {left} may be: pay what is finished first, "
            "lower max_amount, or choose credits or prepay"
        )
        details = {"available": str(left), "requested": str(asked), "asset": PRICED_IN}
        raise PaymentRequired(message, code="UNPAID_LIMIT", details=details)


def _owed(session: Session, account_id: uuid.UUID) -> Money:
    minor = case((Job.state.in_(_OVER), RenderOrder.charged_minor), else_=RenderOrder.limit_minor)
    query = select(Job.asset, func.sum(minor / RenderOrder.rate)).join(Job, Job.id == RenderOrder.job_id)
    open_ones = (RenderOrder.account_id == account_id, RenderOrder.mode == MODE, RenderOrder.settled_at.is_(None))
    rows = session.execute(query.where(*open_ones).group_by(Job.asset))
    return from_decimal(sum((Decimal(row[1]).scaleb(-DECIMALS[row[0]]) for row in rows), Decimal(0)), PRICED_IN, UP)
