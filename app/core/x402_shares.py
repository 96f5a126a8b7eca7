"""How much of a day's budget for fees payments by x402 to others than the hub may use: each payee's share, and that of them all.

Who is paid by x402 pays no fee, so a provider who pays himself again and again would use up everybody's day. As many wallets as
he likes to call himself by use up the share of all payees, and what is paid to the hub goes on.
"""

from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from app.models.payments import Payment
from app.models.x402 import X402Settlement
from app.values import clock
from app.values.x402 import FEE_PER_SIGNATURE, SIGNERS, Unfit

PERIOD = timedelta(hours=24)  # which slides, as the signer's own does
LEAST_FEE_LAMPORTS = SIGNERS * FEE_PER_SIGNATURE
USED_UP = "fee_payer_exhausted"
_ONE_AT_A_TIME = text("SELECT pg_advisory_xact_lock(hashtext('x402_shares'))")


@dataclass(frozen=True, slots=True)
class Shares:
    """Lamports of one fee at most, and those of 24 hours: of what is paid to one payee, and to all of them."""

    fee_lamports: int
    payee_lamports: int
    payees_lamports: int


def payee_of(payment: Payment) -> str | None:
    """Who has a share; None for the hub, to which everything but a render of Rayment's is paid."""
    return payment.pay_to if payment.purpose == "job" else None


def is_left(session: Session, payment: Payment, shares: Shares | None) -> bool:
    """Whether the fee of a payment's transfer would be paid now. Without shares there is no bound."""
    payee = payee_of(payment)
    return payee is None or shares is None or _has_room(session, payee, LEAST_FEE_LAMPORTS, shares)


def take_turn(session: Session) -> None:
    """Who counts and then adds does so alone, in whichever process, until the unit of work ends."""
    session.execute(_ONE_AT_A_TIME)


def assert_left(session: Session, payee: str, lamports: int, shares: Shares) -> None:
    """Unfit where a fee is more than is paid, now or ever; it is the caller's turn."""
    if lamports > shares.fee_lamports:
        raise Unfit(f"the fee may be {lamports} lamports, and {shares.fee_lamports} are paid at most")
    if not _has_room(session, payee, lamports, shares):
        said = "the hub has paid as many fees of payments to providers as it pays in 24 hours: pay this one by memo"
        raise Unfit(said, code=USED_UP)


def _has_room(session: Session, payee: str, lamports: int, shares: Shares) -> bool:
    """What was refused was never signed, and cost nothing; what failed on the chain did."""
    row, fees = X402Settlement, func.sum(X402Settlement.fee_lamports)
    counted = (row.payee.is_not(None), row.state != "refused", row.created_at > clock.now() - PERIOD)
    own, whole = session.execute(select(fees.filter(row.payee == payee), fees).where(*counted)).one()
    return (own or 0) + lamports <= shares.payee_lamports and (whole or 0) + lamports <= shares.payees_lamports
