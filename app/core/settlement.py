"""What a job's end means in money when the client paid the provider directly: the fee, and what is owed back."""

import uuid

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.core import ledger
from app.core.ledger import Party
from app.models.jobs import Job
from app.models.nodes import Provider
from app.models.payments import Payment, Refund
from app.values import clock
from app.values.money import DOWN, Money, from_decimal
from app.values.states import PaymentState, advance


def charge_fee(session: Session, job: Job, units_done: int, fee_percent: int) -> None:
    """Book the platform's share of what was delivered as owed by the provider (once per job).

    The price is base + fee percent of the base, so the fee is percent/(100 + percent) of what was delivered.
    """
    delivered = earned_part(job, units_done)
    if delivered.minor == 0 or job.provider_id is None:
        return
    fee = from_decimal(delivered.decimal * fee_percent / (100 + fee_percent), job.asset, DOWN)
    debtor = session.get_one(Provider, job.provider_id).account_id
    if fee.minor:
        _collect(session, debtor, Party("fees"), fee, f"fee:{job.id}", job.id)


def earned_part(job: Job, units_done: int) -> Money:
    """The part of the price that the finished units have earned; rounding favours the client."""
    price = Money(job.price_minor, job.asset)
    if units_done >= job.units_total:
        return price
    return from_decimal(price.decimal * units_done / job.units_total, job.asset, DOWN)


def _collect(session: Session, debtor: uuid.UUID, to: Party, amount: Money, reference: str, job_id: uuid.UUID) -> Money:
    """Take from the provider's balance, then its stake, and book the rest as its debt; returns what was taken now."""
    taken = Money(0, amount.asset)
    for kind in ("balance", "stake"):
        part = ledger.take_up_to(session, Party(kind, debtor), amount - taken)
        if part.minor:
            ledger.post(session, Party(kind, debtor), to, part, f"{reference}:{kind}", job_id)
            taken += part
    rest = amount - taken
    if rest.minor:
        owed_to = Party("owed", to.owner_id) if to.owner_id else to
        ledger.post(session, Party("debt", debtor), owed_to, rest, f"{reference}:debt", job_id)
    return taken


def refund_unfinished(session: Session, job: Job, units_done: int, fee_percent: int = 5) -> None:
    """A paid job ended early: the finished part is charged, what was not delivered is owed to the client."""
    if job.payment_state != PaymentState.CONFIRMED:
        return
    charge_fee(session, job, units_done, fee_percent)
    back = Money(job.price_minor, job.asset) - earned_part(job, units_done)
    payment = session.scalars(select(Payment).where(Payment.job_id == job.id)).one()
    if back.minor and job.account_id is not None:
        book_refund(session, payment, job, job.account_id, back, job.reason_code or "cancelled")
    if units_done == 0:
        job.payment_state = advance(PaymentState(job.payment_state), PaymentState.REFUNDED)


def book_refund(
    session: Session, payment: Payment, job: Job, creditor: uuid.UUID, amount: Money, reason: str, suffix: str = ""
) -> None:
    """Write down what the provider owes; what its balance or stake covers is credited to the client at once."""
    debtor = session.get_one(Provider, job.provider_id).account_id
    reference = f"refund:{payment.id}:{reason}{suffix}"
    if session.scalar(select(Refund.id).where(Refund.reference.in_((f"{reference}:credited", f"{reference}:owed")))):
        return
    taken = Money(0, amount.asset)
    if debtor != creditor:
        taken = _collect(session, debtor, Party("balance", creditor), amount, reference, job.id)
    for status, part in (("credited", taken), ("owed", amount - taken)):
        if part.minor:
            session.add(
                Refund(
                    reference=f"{reference}:{status}",
                    job_id=job.id,
                    payment_id=payment.id,
                    debtor_id=debtor,
                    creditor_id=creditor,
                    amount_minor=part.minor,
                    asset=part.asset,
                    reason=reason,
                    status=status,
                    created_at=clock.now(),
                )
            )


