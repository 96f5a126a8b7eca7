"""What a job's end means in money when the client paid the provider directly: the fee, and what is owed back."""

import uuid
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Protocol

from sqlalchemy import ARRAY, UUID, bindparam, select, text
from sqlalchemy.orm import Session

from app.core import ledger
from app.core.ledger import Party
from app.errors import Unavailable
from app.models.jobs import Job
from app.models.nodes import Provider
from app.models.payments import Payment, Refund
from app.values import clock
from app.values.money import DOWN, Money, from_decimal
from app.values.purposes import Purpose
from app.values.states import PaymentState, advance

# Where what a provider owes is taken from, in this order; a slash takes the stake first.
BALANCE_FIRST = ("balance", "stake", "unstaking")
STAKE_FIRST = ("stake", "unstaking", "balance")
LOCK_TRIES = 10  # of accounts whose creditors change while they are waited for
REFUNDED_FROM = ("balance", "debt")  # what a refund may open of its debtor's; a stake that is not there is not opened


class Priced(Protocol):
    """What of a job says how much was earned: the job itself, or a row with these fields."""

    id: Any
    price_minor: Any
    asset: Any
    units_total: Any
    breakdown: Any


def charge_fee(session: Session, job: Job, units_done: int) -> None:
    """Book the platform's share of what was delivered, as quoted, as owed by the provider (once per job)."""
    if job.provider_id is not None:
        collect_fee(session, job, session.get_one(Provider, job.provider_id).account_id, units_done)


def collect_fee(session: Session, job: Priced, debtor: uuid.UUID, units_done: int) -> None:
    """`charge_fee`, where the provider's account is known."""
    delivered = earned_part(job, units_done)
    if delivered.minor == 0:
        return
    quoted = Decimal(job.breakdown["platform_fee"])
    fee = from_decimal(quoted * delivered.minor / job.price_minor, job.asset, DOWN)
    if fee.minor:
        _collect(session, debtor, Party("fees"), fee, f"fee:{job.id}", job.id)


def earned_part(job: Priced, units_done: int) -> Money:
    """The part of the price that the finished units have earned; rounding favours the client."""
    price = Money(job.price_minor, job.asset)
    if units_done >= job.units_total:
        return price
    return from_decimal(price.decimal * units_done / job.units_total, job.asset, DOWN)


def _collect(
    session: Session,
    debtor: uuid.UUID,
    to: Party,
    amount: Money,
    reference: str,
    job_id: uuid.UUID | None,
    kinds: Sequence[str] = BALANCE_FIRST,
    description: str | None = None,
) -> Money:
    """Take from the provider what it has of these kinds, and book the rest as its debt; returns what was taken now."""
    taken = Money(0, amount.asset)
    held = ledger.available(session, debtor, kinds, amount.asset)
    purpose = Purpose.REFUND if description else None
    for kind, has in held.items():
        part = Money(min(has.minor, amount.minor - taken.minor), amount.asset)
        if part.minor:
            ledger.post(session, Party(kind, debtor), to, part, f"{reference}:{kind}", job_id, purpose, description)
            taken += part
    rest = amount - taken
    if rest.minor:
        owed_to = Party("owed", to.owner_id) if to.owner_id else to
        ledger.post(session, Party("debt", debtor), owed_to, rest, f"{reference}:debt", job_id)
    return taken


def refund_unfinished(session: Session, job: Job, units_done: int) -> None:
    """A paid job ended early: the finished part is charged, what was not delivered is owed to the client."""
    if job.payment_state != PaymentState.CONFIRMED:
        return
    if job.provider_id is not None and job.account_id is not None:
        debtor = session.get_one(Provider, job.provider_id).account_id
        lock(session, {job.account_id: ("balance", "owed"), debtor: REFUNDED_FROM}, job.asset)
    charge_fee(session, job, units_done)
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
    lock(session, {creditor: ("balance", "owed"), debtor: REFUNDED_FROM}, amount.asset)
    whole = Refund(job_id=job.id, payment_id=payment.id, debtor_id=debtor, creditor_id=creditor, reason=reason)
    refund(session, whole, amount, reference)


def refund(
    session: Session,
    whole: Refund,
    amount: Money,
    reference: str,
    kinds: Sequence[str] = BALANCE_FIRST,
    description: str | None = None,
) -> Money:
    """Give `amount` from the debtor of `whole` to its creditor: what the debtor has of these kinds at once, the rest as its debt,
    with a row for each of the two. Once per reference, which the caller sees to. Returns what was credited."""
    debtor, creditor = whole.debtor_id, whole.creditor_id
    if debtor == creditor:
        taken = amount  # who rents from himself has the money already
    else:
        taken = _collect(
            session, debtor, Party("balance", creditor), amount, reference, whole.job_id, kinds, description
        )
    for status, part in (("credited", taken), ("owed", amount - taken)):
        if part.minor:
            _write_refund(session, whole, part, status, f"{reference}:{status}")
    if taken.minor and debtor != creditor:
        settle_debts(session, creditor, amount.asset)
    return taken


def _write_refund(session: Session, like: Refund, part: Money, status: str, reference: str) -> None:
    session.add(
        Refund(
            reference=reference,
            job_id=like.job_id,
            payment_id=like.payment_id,
            debtor_id=like.debtor_id,
            creditor_id=like.creditor_id,
            amount_minor=part.minor,
            asset=part.asset,
            reason=like.reason,
            status=status,
            created_at=clock.now(),
        )
    )


_CREDITORS = text("""
SELECT DISTINCT creditor_id FROM refunds WHERE debtor_id = ANY(:owners) AND status = 'owed' AND asset = :asset
""").bindparams(bindparam("owners", type_=ARRAY(UUID(as_uuid=True))))
# Whoever is owed something by one of them is in it, too: what comes in is passed on to those at once.
_LOCK = text("""
SELECT id FROM ledger_accounts WHERE asset = :asset AND (owner_id = ANY(:owners) OR owner_id IN (
    SELECT creditor_id FROM refunds WHERE debtor_id = ANY(:owners) AND status = 'owed' AND asset = :asset))
ORDER BY id FOR UPDATE
""").bindparams(bindparam("owners", type_=ARRAY(UUID(as_uuid=True))))


def lock(session: Session, owners: Mapping[uuid.UUID, Sequence[str]], asset: str) -> None:
    """Lock all that these owners have of an asset, in the one order, until the unit of work ends; accounts of the kinds named are
    opened before, since what is made later is locked out of order, and so are the balances of those whom they owe.

    Whoever moves money more than once in a unit of work does it first: two that pay each other then wait, and never in a ring.
    Somebody may come to be owed while this waits: then all is let go, and locked again with him. Unavailable if that never ends.
    """
    wanted = {"owners": list(owners), "asset": asset}
    for _ in range(LOCK_TRIES):
        creditors = set(session.scalars(_CREDITORS, wanted))
        _open(session, owners, creditors, asset)
        with session.begin_nested() as step:
            session.execute(_LOCK, wanted)
            if set(session.scalars(_CREDITORS, wanted)) <= creditors:
                return
            step.rollback()
    raise Unavailable("the accounts are too busy; try again", code="LEDGER_BUSY")


def _open(session: Session, owners: Mapping[uuid.UUID, Sequence[str]], creditors: set[uuid.UUID], asset: str) -> None:
    kinds = {creditor: {"balance"} for creditor in creditors}
    for owner_id, named in owners.items():
        kinds.setdefault(owner_id, set()).update(named)
    for owner_id in sorted(kinds):
        for kind in sorted(kinds[owner_id]):
            ledger.open_account(session, Party(kind, owner_id), asset)


def settle_debts(session: Session, debtor: uuid.UUID, asset: str) -> Money:
    """Pay what an account owes from its balance: clients first, the oldest refund first, then the platform.

    Call it whenever a balance was credited, after `lock` with the debtor's "balance", taken before that was posted. Returns what
    was paid; a second call finds nothing left to pay.
    """
    query = select(Refund).where(Refund.debtor_id == debtor, Refund.status == "owed", Refund.asset == asset)
    paid = Money(0, asset)
    for refund in session.scalars(query.order_by(Refund.created_at, Refund.id).with_for_update()):
        paid += _repay(session, refund)
    rest = ledger.balance(session, Party("debt", debtor), asset)
    part = ledger.take_up_to(session, Party("balance", debtor), Money(max(0, -rest.minor), asset))
    if part.minor:
        ledger.post(session, Party("balance", debtor), Party("debt", debtor), part, f"settle:{uuid.uuid4()}")
    return paid + part


def _repay(session: Session, refund: Refund) -> Money:
    """Move what the debtor has to the client; a refund that is paid in part is split in two rows.

    What the client itself owes is not paid on from it: that would go on along a chain of debts whose accounts nobody has locked.
    It is paid when the client is next credited, and before any payout of its (`payouts.request`): money leaves only after that.
    """
    part = ledger.take_up_to(session, Party("balance", refund.debtor_id), Money(refund.amount_minor, refund.asset))
    if part.minor == 0:
        return part
    reference = f"settle:{uuid.uuid4()}"
    creditor = refund.creditor_id
    balance, debt = Party("balance", refund.debtor_id), Party("debt", refund.debtor_id)
    ledger.post(session, balance, debt, part, f"{reference}:debt", refund.job_id)
    ledger.post(session, Party("owed", creditor), Party("balance", creditor), part, f"{reference}:owed", refund.job_id)
    if part.minor == refund.amount_minor:
        refund.status = "credited"
    else:
        refund.amount_minor -= part.minor
        _write_refund(session, refund, part, "credited", f"{refund.reference}:{reference}")
    return part
