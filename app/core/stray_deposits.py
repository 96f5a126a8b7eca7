"""Money that came to the hub's wallet on Solana and that no deposit takes: an operator credits it to whose it is, once."""

import uuid
from datetime import timedelta

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from app.core import payments
from app.core.payments import Decision
from app.core.solana_hub import SolanaHub
from app.errors import Conflict, Refused, Unavailable
from app.models.payments import Payment
from app.values import clock
from app.values.chain import Sighting
from app.values.money import Money
from app.values.payment_check import judge
from app.values.payouts import SOLANA

_ONE_AT_A_TIME = text("SELECT pg_advisory_xact_lock(hashtext('stray_deposits'))")
NOTE, MEMO_PREFIX = "credited by the operator", "operator:"


def credit(session: Session, hub: SolanaHub, account_id: uuid.UUID, seen: Sighting) -> Money:
    """Put what a transaction brought onto the account's balance; returns how much that is.

    Refused for one that is not final, has failed, or brought none of the hub's tokens; Conflict for one that was credited before,
    or that a deposit takes by its memo.
    """
    if hub.wallet is None:
        raise Unavailable("this hub takes no deposits on Solana: set SOLANA_WALLET", code="SOLANA_NOT_TAKEN")
    _assert_landed(seen)
    amount, mint, payer = _brought(hub, hub.wallet, seen)
    _assert_stray(session, seen)
    session.execute(_ONE_AT_A_TIME)  # two that credit one transaction at once don't see each other's rows
    now, payment_id = clock.now(), uuid.uuid4()
    payment = Payment(
        id=payment_id,
        account_id=account_id,
        purpose="deposit",
        chain=SOLANA,
        asset=amount.asset,
        mint=mint,
        amount_minor=amount.minor,
        pay_to=hub.wallet,
        memo=f"{MEMO_PREFIX}{payment_id}",
        note=NOTE,
        created_at=now,
        expires_at=now + timedelta(seconds=1),
    )
    session.add(payment)
    session.flush()
    shown = payments.note_shown(session, payment, seen.signature)
    decided = payments.decide(session, shown.id, Decision("accepted", received_minor=amount.minor, payer=payer))
    if decided.state != "accepted":
        raise Conflict("this transaction was credited before", code=payments.TRANSACTION_USED)
    return amount


def _assert_landed(seen: Sighting) -> None:
    if not seen.is_final:
        raise Refused("this transaction is not final yet: try again in a minute", code="NOT_FINAL")
    if seen.error is not None:
        raise Refused(f"this transaction failed on the chain ({seen.error}): it brought nothing", code="TRANSACTION_FAILED")


def _brought(hub: SolanaHub, wallet: str, seen: Sighting) -> tuple[Money, str | None, str]:
    """How much of which token, as instructions and balances both show it, and whose transfer it was."""
    found: list[tuple[Money, str | None, str]] = []
    taken: dict[str, str | None] = {"SOL": None, **hub.mints}
    for asset, mint in taken.items():
        paid = [item for item in seen.movements if item.destination == wallet and item.mint == mint]
        minor = min(sum(item.amount_minor for item in paid), seen.changes.get((wallet, mint), 0))
        if minor > 0:
            found.append((Money(minor, asset), mint, paid[0].source))
    if len(found) != 1:
        what = "several of the hub's tokens" if found else f"none of {', '.join(taken)}"
        raise Refused(f"this transaction brought {what} to {wallet}", code="NOTHING_TO_CREDIT")
    return found[0]


def _assert_stray(session: Session, seen: Sighting) -> None:
    """What a deposit takes by its memo is that deposit's, whether or not it is booked yet."""
    for payment in session.scalars(select(Payment).where(Payment.memo.in_(seen.memos), Payment.chain == SOLANA)):
        verdict = judge(
            seen,
            pay_to=payment.pay_to,
            mint=payment.mint,
            amount_minor=payment.amount_minor,
            memo=payment.memo,
            created_at=payment.created_at,
            expires_at=payment.expires_at,
        )
        if verdict.state in payments.BOOKED:
            message = f"this transaction carries the memo of deposit {payment.id}, and is credited for that by itself"
            raise Conflict(message, code="DEPOSIT_TAKES_IT")
