"""The judge of payments: what a transaction must show before it counts. Pure, so that every trick is a row in a table."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from app.values.chain import Sighting

CLOCK_SKEW = timedelta(seconds=120)  # a validator's clock may be a little behind ours


@dataclass(frozen=True, slots=True)
class Verdict:
    """`pending` is not known yet; `refundable` is money that really arrived but does not pay the job."""

    state: Literal["pending", "accepted", "refused", "refundable"]
    code: str | None = None
    message: str | None = None
    received_minor: int = 0
    payer: str | None = None


def judge(
    seen: Sighting,
    *,
    pay_to: str,
    mint: str | None,
    amount_minor: int,
    memo: str,
    created_at: datetime,
    expires_at: datetime,
) -> Verdict:
    """Accept only what is final, without error, with exactly our memo, in time, and really paid.

    Instructions and balances must both show the amount: a transaction that pays and takes back shows it in one only.
    """
    if not seen.is_final:  # a failure too: on another fork it may still succeed
        return Verdict("pending", "not_final", "the transaction is not final yet")
    if seen.error is not None:
        return Verdict("refused", "transaction_failed", f"the transaction failed on the chain ({seen.error}); pay again")
    paid = [item for item in seen.movements if item.destination == pay_to and item.mint == mint]
    shown = sum(item.amount_minor for item in paid)
    arrived = seen.changes.get((pay_to, mint), 0)
    received = min(shown, arrived)
    payer = next((item.source for item in paid), seen.fee_payer)
    if memo not in seen.memos:
        code = "memo_wrong" if seen.memos else "memo_missing"
        return Verdict("refused", code, f"the transaction must carry exactly the memo {memo}", payer=payer)
    if received <= 0:
        if shown > 0:
            return Verdict("refused", "taken_back", "the payee's balance did not rise: what was paid was taken back", payer=payer)
        if arrived > 0:
            return _back("no_transfer", "the money came without a transfer to the payee that can be read", arrived, payer)
        return Verdict("refused", "wrong_payee", f"nothing in the asked currency arrived at {pay_to}", payer=payer)
    if len(seen.memos) != 1:
        return _back("memo_twice", "the transaction carries more than one memo", received, payer)
    if received < amount_minor:
        return _back("short", f"{received} of {amount_minor} minor units arrived", received, payer)
    if seen.block_time is None or seen.block_time > expires_at:
        return _back("expired", "the payment came after the quote had expired", received, payer)
    if seen.block_time < created_at - CLOCK_SKEW:
        return _back("before_order", "the payment is older than the order", received, payer)
    return Verdict("accepted", received_minor=received, payer=payer)


def _back(code: str, message: str, received: int, payer: str) -> Verdict:
    return Verdict("refundable", code, f"{message}; it is booked as owed back to {payer}", received, payer)
