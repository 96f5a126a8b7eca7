"""Ordering a render, pausing it, going on, and how much it may cost: the verbs of a job that an agent owns."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from app import outbox
from app.core import jobs, outcomes, pay_later, render_billing, render_holds, render_units
from app.errors import Conflict, InvalidInput, NotFound
from app.models.jobs import Job, WorkUnit
from app.models.render_orders import RenderOrder
from app.values import clock
from app.values.money import Money
from app.values.render_prices import most_seconds
from app.values.render_tiers import OVERDUE, queue_priority
from app.values.states import HELD, JobState, PaymentState, UnitState, advance

CREDITS, PREPAY, DEFERRED = "credits", "prepay", render_billing.DEFERRED
MODES = (CREDITS, PREPAY, DEFERRED)
PAUSED_BY_OWNER = "PAUSED_BY_OWNER"
PAY_LATER_NOTHING = Money(0, pay_later.PRICED_IN)


@dataclass(frozen=True, slots=True)
class Price:
    """What a render costs, in the asset that it is paid with: `bound` at most, by the hours of nodes at `per_hour`."""

    per_hour: Money
    bound: Money
    rate: Decimal
    rate_source: str


@dataclass(frozen=True, slots=True)
class Placement:
    """An order. `frames` are all frames, rising, and `settings` how they are rendered (`render_units.plan` makes units of both);
    `kind` is the capability that they need. `priority` is its owner's, among what is in the same tier. `window_units` and
    `allocation` as in RenderOrder. `expires_at`: so long it may be paid, of one that is paid first. `order_id`: the same for the
    same order."""

    account_id: uuid.UUID
    name: str
    kind: str
    frames: tuple[int, ...]
    settings: Mapping[str, Any]
    tier: str
    priority: int
    mode: str
    price: Price
    max_amount: Money | None
    window_units: int
    allocation: Mapping[str, Any] = field(default_factory=dict)
    scene_id: uuid.UUID | None = None
    prompt: str | None = None
    expires_at: datetime | None = None
    order_id: uuid.UUID | None = None


def place(session: Session, wanted: Placement) -> Job:
    """Write an order down. One that is paid from the balance, or when it is done, begins at once; `prepay` waits for `confirm`.

    PaymentRequired says what is there: roll back. An order that was placed before under its `order_id` is found again.
    """
    if (known := placed(session, wanted.account_id, wanted.order_id)) is not None:
        return known
    if wanted.max_amount is not None:
        _assert_cap(wanted.max_amount)
    job = _write_job(session, wanted)
    limit = min(wanted.price.bound.minor, (wanted.max_amount or wanted.price.bound).minor)
    order = RenderOrder(
        job_id=job.id,
        account_id=wanted.account_id,
        mode=wanted.mode,
        rate=wanted.price.rate,
        rate_source=wanted.price.rate_source,
        price_per_hour_minor=wanted.price.per_hour.minor,
        bound_minor=wanted.price.bound.minor,
        max_amount_minor=wanted.max_amount.minor if wanted.max_amount else None,
        limit_minor=limit,
        charged_minor=0,
        window_units=wanted.window_units,
        allocation=dict(wanted.allocation),
        prompt=wanted.prompt,
    )
    session.add(order)
    session.flush()
    outbox.announce(session, "job:new", job.id)
    if wanted.mode != PREPAY:
        confirm(session, job, order)
    return job


def placed(session: Session, account_id: uuid.UUID, order_id: uuid.UUID | None) -> Job | None:
    """The job of an order that was placed before, and whose answer was lost."""
    if order_id is None or session.get(Job, order_id) is None:
        return None
    return get_own(session, account_id, order_id)


def _write_job(session: Session, wanted: Placement) -> Job:
    bound = wanted.price.bound
    limit = most_seconds(wanted.price.per_hour, bound.minor)
    settings = {**wanted.settings, "frame_list": list(wanted.frames), "max_seconds": limit}
    job = Job(
        id=wanted.order_id or uuid.uuid4(),
        dialect=render_billing.DIALECT,
        kind=wanted.kind,
        name=wanted.name,
        account_id=wanted.account_id,
        scene_id=wanted.scene_id,
        state=JobState.OPEN,
        payment_state=PaymentState.PENDING,
        settings=settings,
        breakdown={"total": str(bound.decimal)},
        price_minor=bound.minor,
        asset=bound.asset,
        priority=wanted.priority,
        tier=wanted.tier,
        units_total=render_units.count(settings),
        units_completed=0,
        created_at=clock.now(),
        expires_at=wanted.expires_at,
    )
    session.add(job)
    session.flush()
    return job


def confirm(session: Session, job: Job, order: RenderOrder) -> None:
    """The order's money is there, or is to be there when it is done: set it aside, make its units and begin. The job is locked,
    or new.

    PaymentRequired where the balance does not hold what may be spent.
    """
    if order.mode != DEFERRED:
        render_holds.add(session, order.account_id, job.id, Money(order.limit_minor, job.asset))
    job.payment_state = advance(PaymentState(job.payment_state), PaymentState.CONFIRMED)
    job.paid_at = clock.now()
    render_units.make(session, job, int(order.allocation.get("scene_memory_bytes", 0)))
    render_units.feed(session, job, order)
    render_billing.pause_for_money(session, job, order)
    outbox.announce(session, "job:paid", job.id)


def get_own(session: Session, account_id: uuid.UUID, job_id: uuid.UUID) -> Job:
    """An account's own render; NotFound for anybody else's, as for none."""
    query = select(Job).where(Job.id == job_id, Job.account_id == account_id, Job.dialect == render_billing.DIALECT)
    job = session.scalars(query).one_or_none()
    if job is None:
        raise NotFound("there is no such job of yours", code="JOB_NOT_FOUND")
    return job


def lock_own(session: Session, account_id: uuid.UUID, job_id: uuid.UUID) -> tuple[Job, RenderOrder]:
    """The same, locked as it is now, with its order."""
    get_own(session, account_id, job_id)
    return jobs.lock(session, job_id), render_billing.order_of(session, job_id)


def pause(session: Session, account_id: uuid.UUID, job_id: uuid.UUID) -> Job:
    """Hand out no more frames; those that nodes have are finished and charged. Again is harmless; Conflict JOB_NOT_OPEN when over
    or not paid."""
    job, _ = lock_own(session, account_id, job_id)
    if job.state == JobState.PAUSED:
        job.reason_code, job.error_message = PAUSED_BY_OWNER, None  # a higher cap alone does not go on with it
        return job
    _assert_under_way(job)
    job.state, job.reason_code = advance(JobState(job.state), JobState.PAUSED), PAUSED_BY_OWNER
    render_units.park(session, job.id)
    outbox.announce(session, "job:progress", job.id)
    return job


def resume(session: Session, account_id: uuid.UUID, job_id: uuid.UUID) -> Job:
    """Go on. Again is harmless; Conflict MAX_AMOUNT_REACHED while the cap covers no frame, JOB_NOT_OPEN when over."""
    job, order = lock_own(session, account_id, job_id)
    if job.state == JobState.OPEN and job.payment_state == PaymentState.CONFIRMED:
        return job
    _assert_under_way(job)
    job.state = advance(JobState(job.state), JobState.OPEN)
    job.reason_code = job.error_message = None
    render_units.feed(session, job, order)
    if render_billing.pause_for_money(session, job, order):
        raise Conflict("max_amount covers no further frame; raise it by PATCH first", code=render_billing.OVER_LIMIT)
    outbox.announce(session, "job:progress", job.id)
    return job


def set_cap(
    session: Session, account_id: uuid.UUID, job_id: uuid.UUID, cap: Money, pay_later_most: Money = PAY_LATER_NOTHING
) -> Job:
    """Let the job cost so much at most. A higher cap sets more aside, and a job that paused for it goes on; a lower one gives
    back, but never below what is charged and under way (Conflict MAX_AMOUNT_TOO_LOW). PaymentRequired as `place`; of a job that
    is paid when it is done as `pay_later.assert_within`: raised, it is one more order within `pay_later_most`."""
    job, order = lock_own(session, account_id, job_id)
    _assert_not_over(job)
    _assert_cap(cap)
    if cap.asset != job.asset:
        raise InvalidInput(f"this job is paid in {job.asset}", code="ASSET_MISMATCH")
    if order.mode == PREPAY and job.payment_state == PaymentState.PENDING:
        raise Conflict("its payment was asked for by the max_amount it has; cancel it and order anew", code="JOB_NOT_PAID")
    limit = min(order.bound_minor, cap.minor)
    least = order.charged_minor + render_units.share(job, order) * render_units.units_out(session, job.id)
    if limit < least:
        message = f"{Money(least, job.asset)} {job.asset} are spent or under way; pause the job to lower max_amount further"
        raise Conflict(message, code="MAX_AMOUNT_TOO_LOW")
    change = limit - order.limit_minor
    if order.mode == DEFERRED and change > 0:
        pay_later.assert_within(session, account_id, Money(change, job.asset), order.rate, pay_later_most)
    if order.mode != DEFERRED and job.payment_state == PaymentState.CONFIRMED:
        if change > 0:
            render_holds.add(session, order.account_id, job.id, Money(change, job.asset))
        elif change < 0:
            render_holds.give_back(session, job.id, Money(-change, job.asset))
    order.max_amount_minor, order.limit_minor = cap.minor, limit
    if job.state == JobState.PAUSED and job.reason_code == render_billing.OVER_LIMIT:
        job.state, job.reason_code, job.error_message = advance(JobState.PAUSED, JobState.OPEN), None, None
    render_units.feed(session, job, order)
    render_billing.pause_for_money(session, job, order)
    outbox.announce(session, "job:progress", job.id)
    return job


def rename(session: Session, account_id: uuid.UUID, job_id: uuid.UUID, name: str) -> Job:
    """Give a job another name, whatever has become of it."""
    job, _ = lock_own(session, account_id, job_id)
    job.name = name
    return job


def set_priority(session: Session, account_id: uuid.UUID, job_id: uuid.UUID, priority: int) -> Job:
    """Move what waits of a job in the queue, within its tier, and what may come back: priorities beyond ±100 are as good as
    those."""
    job, _ = lock_own(session, account_id, job_id)
    _assert_not_over(job)
    if job.priority == priority:
        return job
    job.priority = priority
    is_out = WorkUnit.state.in_(HELD) | (WorkUnit.state == UnitState.QUEUED) & ~WorkUnit.is_parked  # others get it when fed
    waiting = (WorkUnit.job_id == job.id, WorkUnit.ordinal >= 0, is_out)
    ids = list(session.scalars(select(WorkUnit.id).where(*waiting).order_by(WorkUnit.id).with_for_update()))
    is_overdue = WorkUnit.state.in_(HELD) & (WorkUnit.priority == OVERDUE)  # counts as such until the node is done with it
    changed = update(WorkUnit).where(WorkUnit.id.in_(ids), ~is_overdue)
    session.execute(changed.values(priority=queue_priority(job.tier, priority)))
    outbox.announce(session, "job:progress", job.id)
    return job


def cancel(session: Session, account_id: uuid.UUID, job_id: uuid.UUID) -> Job:
    """Call a job off: finished frames are kept and charged, all else comes back. Again is harmless; Conflict JOB_OVER for one
    that ended otherwise."""
    job, _ = lock_own(session, account_id, job_id)
    if job.state != JobState.CANCELLED:
        _assert_not_over(job)
        outcomes.cancel(session, job, "CANCELLED_BY_USER", "cancelled by its owner")
    return job


def _assert_cap(cap: Money) -> None:
    if cap.minor <= 0:
        message = "max_amount must be more than zero; leave it out for what the estimate says"
        raise InvalidInput(message, code="MAX_AMOUNT_INVALID")


def _assert_not_over(job: Job) -> None:
    if jobs.is_over(job):
        raise Conflict(f"this job is {job.state}", code="JOB_OVER")


def _assert_under_way(job: Job) -> None:
    _assert_not_over(job)
    if job.payment_state != PaymentState.CONFIRMED:
        raise Conflict("this job is not paid yet", code="JOB_NOT_PAID")
