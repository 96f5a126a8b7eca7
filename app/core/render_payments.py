"""What is paid for one render: asked for, booked from the chain or the balance, and handed out to whoever rendered.

A payment asks for the whole: of a `prepay` job what may be spent, of one that is paid before download what its frames cost. What
comes short, late or too much is its payer's, on the balance.
"""

import uuid
from datetime import timedelta

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from app import outbox
from app.core import jobs, ledger, redeem, render_billing, render_holds, render_orders, settlement, solana_deposits
from app.core.deposits import TOLD
from app.core.ledger import Party
from app.core.solana_hub import SolanaHub
from app.errors import Conflict
from app.models.jobs import Job
from app.models.payments import ChainTransaction, Payment
from app.models.render_orders import RenderOrder
from app.values import clock, memos
from app.values.money import Money
from app.values.payouts import SOLANA
from app.values.purposes import Purpose
from app.values.states import PaymentState

PURPOSE, MEMO_PREFIX = "render", "rnp:"
QUOTE_LIVES = 4  # times as long as a quote is good it may be asked for again: its rate is the order's, and rates move
LEDGER, OWN_BALANCE = "ledger", "balance"  # chain and payee of what was paid from the balance, and was never asked for on a chain

_SHARES = text("""
SELECT n.account_id, sum(u.cost_minor)::bigint FROM work_units u
JOIN attempts a ON a.id = u.attempt_id JOIN nodes n ON n.id = a.node_id
WHERE u.job_id = :job_id AND u.cost_minor > 0 GROUP BY n.account_id ORDER BY n.account_id
""")


def amount_due(session: Session, job: Job) -> Money | None:
    """What the job, locked by the caller, waits for, in its own asset; None when there is nothing to pay (any more, or yet)."""
    order = render_billing.order_of(session, job.id)
    is_over = jobs.is_over(job)
    if order.mode == render_orders.PREPAY and job.payment_state == PaymentState.PENDING and not is_over:
        return Money(order.limit_minor, job.asset)
    if order.mode == render_orders.DEFERRED and is_over and order.charged_minor and order.settled_at is None:
        return Money(order.charged_minor, job.asset)
    return None


def find(session: Session, job_id: uuid.UUID) -> Payment | None:
    """The payment that was asked for a job, or made."""
    query = select(Payment).where(Payment.job_id == job_id, Payment.purpose == PURPOSE)
    return session.scalars(query).one_or_none()


def ask(session: Session, hub: SolanaHub, job: Job, seconds: int) -> Payment:
    """The payment that a job, locked by the caller or new, waits for; asked for again, it is the same one with more time.

    Conflict where nothing is to be paid: JOB_PAID, JOB_OVER, or JOB_NOT_FINISHED (its price is not known yet); QUOTE_EXPIRED for
    one that was asked for long ago. Errors as `solana_deposits.till`. Credits are paid in RENDER, one for one.
    """
    amount = amount_due(session, job)
    if amount is None:
        raise _nothing_due(session, job)
    _assert_quoted(job, seconds)
    expires_at = clock.now() + timedelta(seconds=seconds)
    payment = _lock(session, job.id)
    if payment is None:
        payment = _write(session, hub, job, amount)
    if payment.state == "open":
        payment.amount_minor, payment.expires_at = amount.minor, expires_at
    if job.payment_state == PaymentState.PENDING:
        job.expires_at = payment.expires_at
    session.flush()
    return payment


def _write(session: Session, hub: SolanaHub, job: Job, amount: Money) -> Payment:
    asset = redeem.SOURCE if amount.asset == redeem.CREDITS else amount.asset
    wallet, mint = solana_deposits.till(session, hub, asset)
    return _row(session, job, Money(amount.minor, asset), SOLANA, wallet, mint)


def _row(session: Session, job: Job, amount: Money, chain: str, pay_to: str, mint: str | None) -> Payment:
    reference, now = uuid.uuid4(), clock.now()
    payment = Payment(
        id=reference,
        job_id=job.id,
        account_id=job.account_id,
        purpose=PURPOSE,
        chain=chain,
        asset=amount.asset,
        mint=mint,
        amount_minor=amount.minor,
        pay_to=pay_to,
        memo=memos.short(MEMO_PREFIX, reference),
        state="open",
        created_at=now,
        expires_at=now,
    )
    session.add(payment)
    session.flush()
    return payment


def _lock(session: Session, job_id: uuid.UUID) -> Payment | None:
    """Its job is locked before. Transactions shown for it meanwhile don't wait."""
    query = select(Payment).where(Payment.job_id == job_id, Payment.purpose == PURPOSE).with_for_update(key_share=True)
    return session.scalars(query.execution_options(populate_existing=True)).one_or_none()


def _assert_quoted(job: Job, seconds: int) -> None:
    """Nobody waits for a better rate at the hub's cost."""
    if job.payment_state == PaymentState.PENDING and clock.now() > job.created_at + timedelta(seconds=QUOTE_LIVES * seconds):
        raise Conflict("this was quoted too long ago; cancel the job, and order it anew", code="QUOTE_EXPIRED")


def _nothing_due(session: Session, job: Job) -> Conflict:
    order = render_billing.order_of(session, job.id)
    if order.mode == render_orders.DEFERRED and not jobs.is_over(job):
        return Conflict("this job is paid when it is over: its price is known then", code="JOB_NOT_FINISHED")
    if jobs.is_over(job) and (job.payment_state == PaymentState.PENDING or order.charged_minor == 0):
        return Conflict(f"this job is {job.state}, and there is nothing to pay", code="JOB_OVER")
    return Conflict("this job is paid", code="JOB_PAID")


def book(session: Session, payment: Payment, job: Job, shown: ChainTransaction) -> None:
    """Put what arrived on its payer's balance, once per transaction; what is accepted pays the job from there at once.

    Job and payment are locked by the caller.
    """
    received = Money(shown.received_minor, payment.asset)
    order = render_billing.order_of(session, job.id)
    account_id = order.account_id
    _lock_money(session, job, order)
    reference, description = f"payment:{payment.chain}:{shown.signature}", f"payment {payment.memo}"
    own = Party("balance", account_id)
    ledger.post(session, Party("chain"), own, received, reference, job.id, Purpose.PURCHASE, description)
    if shown.state == "accepted":
        if job.asset == redeem.CREDITS:
            redeem.redeem(session, account_id, Money(payment.amount_minor, payment.asset), payment.id)
        payment.tx_signature = shown.signature
        _settle(session, payment, job)
    else:
        shown.message = TOLD.get(shown.code or "", shown.message)
    settlement.settle_debts(session, account_id, payment.asset)


def pay_from_balance(session: Session, account_id: uuid.UUID, job_id: uuid.UUID, seconds: int) -> Payment:
    """Pay an own job from the balance in its asset; one that was paid so before is answered with that payment, and nothing moves.
    PaymentRequired says what is there: roll back. Conflict as `ask`."""
    job, order = render_orders.lock_own(session, account_id, job_id)
    amount = amount_due(session, job)
    if amount is None:
        paid = find(session, job.id)
        if paid is not None and _is_from_balance(paid):
            return paid
        raise _nothing_due(session, job)
    _assert_quoted(job, seconds)
    payment = _lock(session, job.id) or _row(session, job, amount, LEDGER, OWN_BALANCE, None)
    _lock_money(session, job, order)
    _settle(session, payment, job)
    return payment


def _is_from_balance(payment: Payment) -> bool:
    """Also where it was asked for on a chain first: what pays it there leaves its transaction."""
    return payment.state == "confirmed" and payment.tx_signature is None


def _lock_money(session: Session, job: Job, order: RenderOrder) -> None:
    """All that may be moved for a job, before any of it is; also what it is paid with on a chain."""
    payees = _shares(session, job) if order.mode == render_orders.DEFERRED else {}
    render_holds.lock_money(session, [(order.account_id, payee, job.asset) for payee in (*payees, order.account_id)])


def _shares(session: Session, job: Job) -> dict[uuid.UUID, Money]:
    """What the job's frames cost, by whose nodes rendered them."""
    return {payee: Money(minor, job.asset) for payee, minor in session.execute(_SHARES, {"job_id": job.id})}


def _settle(session: Session, payment: Payment, job: Job) -> None:
    """The money is on the balance: begin the job, or pay those who rendered it."""
    order = render_billing.order_of(session, job.id)
    payment.state, payment.confirmed_at = "confirmed", clock.now()
    if order.mode == render_orders.PREPAY:
        render_orders.confirm(session, job, order)
    else:
        _hand_out(session, job, order)


def _hand_out(session: Session, job: Job, order: RenderOrder) -> None:
    """Pay for frames that were rendered before: every node's account its share, all in one. The money is locked."""
    shares, charged = _shares(session, job), Money(order.charged_minor, job.asset)
    if sum(share.minor for share in shares.values()) != charged.minor:
        raise RuntimeError(f"the frames of job {job.id} do not cost what it was charged")
    render_holds.add(session, order.account_id, job.id, charged)
    for payee, share in shares.items():
        render_holds.pay(session, job.id, payee, share, f"{job.id}:{payee}")
    render_holds.release(session, job.id)
    order.settled_at = clock.now()
    outbox.announce(session, "job:paid", job.id)
