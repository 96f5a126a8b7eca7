"""Payments on a chain: ask for one, note each transaction that is shown for it, decide once."""

import uuid
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import func, select, tuple_
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from app import outbox
from app.core import accounts, chain_cursors, deposits, jobs, ledger, render_payments, settlement
from app.core.ledger import Party
from app.errors import Conflict, Refused
from app.models.jobs import Job
from app.models.nodes import Provider
from app.models.payments import ChainTransaction, Payment, Refund
from app.models.x402 import X402Settlement
from app.values import clock
from app.values.money import Money

NEVER_SEEN = "never_seen"
TRANSACTION_USED = "TRANSACTION_USED"
BOOKED = ("accepted", "refundable")
SHOWN_AT_MOST = 100
HANDED_OVER = timedelta(minutes=10)  # what was handed over in time by x402 may land so much later; no block hash lives so long
ASKED_ABOUT = ("solana",)  # on the others nobody is sent to ask: the walk over an address decides what it finds


@dataclass(frozen=True, slots=True)
class Decision:
    """What the chain says of a transaction. `state`: pending, accepted, refused or refundable."""

    state: str
    code: str | None = None
    message: str | None = None
    received_minor: int = 0
    payer: str | None = None
    signature: str = ""


@dataclass(frozen=True, slots=True)
class Expected:
    """What a transaction must show to settle a payment."""

    payment_id: uuid.UUID
    signature: str
    pay_to: str
    asset: str
    mint: str | None
    amount_minor: int
    memo: str
    created_at: datetime
    expires_at: datetime
    job_id: uuid.UUID | None = None
    request_id: str | None = None
    traceparent: str | None = None


def ask(session: Session, job: Job, pay_to: str, chain: str, memo_prefix: str) -> Payment:
    """Ask for a job's price. The memo is public on the chain, so it carries the payment's id, never the job's."""
    reference = uuid.uuid4()
    payment = Payment(
        id=reference,
        job_id=job.id,
        purpose="job",
        chain=chain,
        asset=job.asset,
        amount_minor=job.price_minor,
        pay_to=pay_to,
        memo=f"{memo_prefix}{reference}",
        created_at=clock.now(),
        expires_at=job.expires_at,
    )
    session.add(payment)
    chain_cursors.watch(session, chain, pay_to)
    return payment


def of_job(session: Session, job_id: uuid.UUID) -> Payment | None:
    return session.scalars(select(Payment).where(Payment.job_id == job_id)).one_or_none()


def present(session: Session, payment: Payment, signature: str) -> ChainTransaction:
    """Note that this transaction was shown for this payment; one that was booked for another payment is a Conflict."""
    _assert_not_booked(session, payment, signature)
    seen, is_new = _shown(session, payment, signature)
    if is_new:
        _order_check(session, seen)
    else:
        reopen_never_seen(session, seen)
    return seen


def note_shown(session: Session, payment: Payment, signature: str) -> ChainTransaction:
    """Note a transaction that the chain itself was seen to have: it is decided here and now, so nobody is sent to ask."""
    seen, _ = _shown(session, payment, signature)
    if seen.state == "refused" and seen.code == NEVER_SEEN:
        seen.state, seen.code, seen.message, seen.decided_at = "pending", None, None, None
    return seen


def _shown(session: Session, payment: Payment, signature: str) -> tuple[ChainTransaction, bool]:
    """The row of a transaction shown for a payment, and whether it was made just now."""
    row = {
        "id": uuid.uuid4(),
        "chain": payment.chain,
        "signature": signature,
        "payment_id": payment.id,
        "state": "pending",
        "received_minor": 0,
        "created_at": clock.now(),
    }
    session.execute(insert(ChainTransaction).values(row).on_conflict_do_nothing())
    query = select(ChainTransaction).where(
        ChainTransaction.chain == payment.chain,
        ChainTransaction.signature == signature,
        ChainTransaction.payment_id == payment.id,
    )
    seen = session.scalars(query).one()
    return seen, seen.id == row["id"]


def _assert_not_booked(session: Session, payment: Payment, signature: str) -> None:
    query = select(ChainTransaction.id).where(
        ChainTransaction.chain == payment.chain,
        ChainTransaction.signature == signature,
        ChainTransaction.payment_id != payment.id,
        ChainTransaction.state.in_(BOOKED),
    )
    if session.scalar(query) is not None:
        raise Conflict("this transaction was already used for another payment", code=TRANSACTION_USED)


def expectation(session: Session, transaction_id: uuid.UUID) -> Expected | None:
    """What a pending transaction must show; None when it was decided already."""
    brought = (X402Settlement.payment_id == Payment.id) & (X402Settlement.tx_signature == ChainTransaction.signature)
    query = select(ChainTransaction, Payment, Job.request_id, Job.traceparent, X402Settlement.mint, X402Settlement.memo)
    query = query.join(Payment, Payment.id == ChainTransaction.payment_id).outerjoin(Job, Job.id == Payment.job_id)
    query = query.outerjoin(X402Settlement, brought)
    row = session.execute(
        query.where(ChainTransaction.id == transaction_id, ChainTransaction.state == "pending")
    ).one_or_none()
    if row is None:
        return None
    shown, payment, request_id, traceparent, mint, memo = row
    return Expected(
        payment.id,
        shown.signature,
        payment.pay_to,
        payment.asset,
        mint or payment.mint,
        payment.amount_minor,
        memo or payment.memo,
        payment.created_at,
        payment.expires_at + (HANDED_OVER if mint else timedelta()),
        payment.job_id,
        request_id,
        traceparent,
    )


def decide(session: Session, transaction_id: uuid.UUID, decision: Decision) -> ChainTransaction:
    """Book what the chain said, once: the row's lock makes the second of two deciders find it decided.

    A transaction with the memos of two payments is booked for the first that is decided, and refused for the other.
    """
    shown, is_booked_elsewhere = _lock_shown(session, transaction_id)
    if shown.state != "pending" or decision.state == "pending":
        return shown
    job_id = session.scalar(select(Payment.job_id).where(Payment.id == shown.payment_id))
    job = jobs.lock(session, job_id) if job_id else None  # before its payment, as whoever asks for it anew does
    query = select(Payment).where(Payment.id == shown.payment_id).with_for_update(key_share=True)
    payment = session.scalars(query.execution_options(populate_existing=True)).one()
    if decision.state == "accepted" and (payment.state == "confirmed" or (job and not _is_awaited(session, payment, job))):
        decision = Decision(
            "refundable",
            "already_paid" if payment.state == "confirmed" else "job_over",
            "this job needs no payment any more; the amount is owed back",
            decision.received_minor,
            decision.payer,
        )
    if is_booked_elsewhere and decision.state in BOOKED:
        decision = Decision("refused", TRANSACTION_USED, "this transaction was already used for another payment")
    shown.state, shown.code, shown.message = decision.state, decision.code, decision.message
    shown.received_minor, shown.payer, shown.decided_at = decision.received_minor, decision.payer, clock.now()
    if decision.state in BOOKED:
        if job is not None and payment.purpose == render_payments.PURPOSE:
            render_payments.book(session, payment, job, shown)
        elif job is not None:
            _book(session, payment, job, shown)
        elif payment.account_id is not None:
            deposits.book(session, payment, payment.account_id, shown)
    return shown


def _is_awaited(session: Session, payment: Payment, job: Job) -> bool:
    """Whether the job still waits for money."""
    if payment.purpose == render_payments.PURPOSE:
        return render_payments.amount_due(session, job) is not None
    return not jobs.is_over(job)


def _lock_shown(session: Session, transaction_id: uuid.UUID) -> tuple[ChainTransaction, bool]:
    """The shown transaction, and whether another payment has booked it; every row of that transaction stays locked."""
    same = select(ChainTransaction.chain, ChainTransaction.signature).where(ChainTransaction.id == transaction_id)
    query = select(ChainTransaction).where(tuple_(ChainTransaction.chain, ChainTransaction.signature).in_(same))
    locked = query.order_by(ChainTransaction.id).with_for_update().execution_options(populate_existing=True)
    rows = list(session.scalars(locked))
    shown = next(row for row in rows if row.id == transaction_id)
    return shown, any(row is not shown and row.state in BOOKED for row in rows)


def _book(session: Session, payment: Payment, job: Job, shown: ChainTransaction) -> None:
    """The client paid the provider directly: it shows in earnings, and what was not due is owed back."""
    received = Money(shown.received_minor, payment.asset)
    provider = session.get_one(Provider, job.provider_id)
    payer = accounts.ensure_identity(session, payment.chain, shown.payer or job.client_wallet or "")
    chain, external = Party("chain"), Party("external", provider.account_id)
    due = Money(payment.amount_minor, payment.asset)
    if shown.state == "refundable" or received.minor > due.minor:
        kinds = ("external", *settlement.REFUNDED_FROM)
        settlement.lock(session, {payer: ("balance", "owed"), provider.account_id: kinds}, payment.asset)
    ledger.post(session, chain, external, received, f"payment:{payment.chain}:{shown.signature}", job.id)
    if shown.state == "refundable":
        reason = shown.code or "refundable"
        settlement.book_refund(session, payment, job, payer, received, reason, f":{shown.signature}")
        return
    payment.state, payment.tx_signature, payment.confirmed_at = "confirmed", shown.signature, clock.now()
    job.account_id, job.client_wallet = payer, shown.payer or job.client_wallet
    if received.minor > due.minor:
        settlement.book_refund(session, payment, job, payer, received - due, "overpaid", f":{shown.signature}")
    jobs.queue(session, job)
    outbox.announce(session, "job:paid", job.id, tx_signature=shown.signature)
    outbox.write(session, "jobs.push", str(job.id))


def pending(session: Session, limit: int = 100, chain: str = "solana") -> list[uuid.UUID]:
    """Transactions that the chain has not decided yet, by lot: a heap of invented ones must not keep a real one waiting."""
    query = select(ChainTransaction.id).where(ChainTransaction.state == "pending", ChainTransaction.chain == chain)
    return list(session.scalars(query.order_by(func.random()).limit(limit)))


def give_up(session: Session, asked: Collection[uuid.UUID], older_than_seconds: int) -> int:
    """Refuse those of the transactions just `asked` for that the chain does not show long after their block hash must have
    expired. One that was not asked for again has its chance yet."""
    query = select(ChainTransaction).where(
        ChainTransaction.id.in_(asked),
        ChainTransaction.state == "pending",
        ChainTransaction.created_at < clock.now() - timedelta(seconds=older_than_seconds),
    )
    stale = list(session.scalars(query.with_for_update(skip_locked=True)))
    for shown in stale:
        shown.state, shown.code, shown.decided_at = "refused", NEVER_SEEN, clock.now()
        shown.message = "the chain never showed this transaction"
    return len(stale)


def refunds_of(session: Session, job_id: uuid.UUID) -> list[Refund]:
    return list(session.scalars(select(Refund).where(Refund.job_id == job_id).order_by(Refund.created_at)))


def shown_for(session: Session, payment_id: uuid.UUID) -> list[ChainTransaction]:
    """The transactions shown for a payment, oldest first: all that were booked and the newest of the useless ones, SHOWN_AT_MOST
    together, since anybody may invent any number of them."""
    query = select(ChainTransaction).where(ChainTransaction.payment_id == payment_id)
    query = query.order_by(ChainTransaction.state.in_(BOOKED).desc(), ChainTransaction.created_at.desc()).limit(SHOWN_AT_MOST)
    return sorted(session.scalars(query), key=lambda shown: shown.created_at)


def get_shown(session: Session, transaction_id: uuid.UUID) -> ChainTransaction:
    """One transaction that was shown, as it stands now."""
    return session.get_one(ChainTransaction, transaction_id)


def reopen_never_seen(session: Session, shown: ChainTransaction) -> None:
    """Ask again about a transaction that the chain had not shown in time: silence was never proof."""
    if shown.state == "refused" and shown.code == NEVER_SEEN:
        shown.state, shown.code, shown.message, shown.decided_at = "pending", None, None, None
        shown.created_at = clock.now()
        _order_check(session, shown)


def _order_check(session: Session, shown: ChainTransaction) -> None:
    if shown.chain in ASKED_ABOUT:
        outbox.write(session, "payments.verify", str(shown.id))


def assert_room(session: Session, account_id: uuid.UUID, most: int, code: str = "TOO_MANY_DEPOSITS") -> None:
    """Refused, with `code`, for an account that so many payments, of deposits and of jobs, are waited for already."""
    waiting = select(func.count()).select_from(Payment)
    waiting = waiting.where(Payment.account_id == account_id, Payment.state == "open", Payment.expires_at > clock.now())
    if int(session.scalar(waiting) or 0) >= most:
        message = f"{most} payments of this account are waited for: make one of them, or wait until they expire"
        raise Refused(message, code=code, details={"most": most})
