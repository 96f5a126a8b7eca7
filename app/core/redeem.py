"""RENDER turned into render credits: one for one, exactly, and for good."""

import uuid

from sqlalchemy.orm import Session

from app.core import ledger, settlement
from app.core.ledger import Party
from app.errors import InvalidInput
from app.values.money import Money
from app.values.purposes import Purpose

SOURCE, CREDITS = "RENDER", "RCREDIT"
DESCRIPTION = "RENDER redeemed for render credits"


def redeem(session: Session, account_id: uuid.UUID, amount: Money, redemption_id: uuid.UUID) -> Money:
    """Turn so much RENDER of an account's balance into as many credits, once per `redemption_id`; returns the credits.

    PaymentRequired says what is there: roll back. RENDER is locked before RCREDIT; nobody locks them the other way round.
    """
    if amount.asset != SOURCE or amount.minor <= 0:
        raise InvalidInput(f"redeem takes an amount of {SOURCE} above zero", code="AMOUNT_INVALID")
    credits = Money(amount.minor, CREDITS)
    balance, exchange, reference = Party("balance", account_id), Party("exchange"), f"redeem:{redemption_id}"
    for asset in (SOURCE, CREDITS):
        settlement.lock(session, {account_id: ("balance",)}, asset)
    for source, destination, part in ((balance, exchange, amount), (exchange, balance, credits)):
        ledger.post(session, source, destination, part, f"{reference}:{part.asset}", None, Purpose.ADJUSTMENT, DESCRIPTION)
    settlement.settle_debts(session, account_id, CREDITS)
    return credits
