"""What a client does with tasks: order one, change it while it waits, call it off."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy.orm import Session

from app import outbox
from app.core import doorbells, outcomes, resources, task_assignments, task_holds, tasks
from app.core.tasks import TaskView
from app.errors import Conflict
from app.models.jobs import Job, WorkUnit
from app.models.tasks import Task
from app.values import clock, task_prices
from app.values.money import Money
from app.values.states import HELD, PaymentState, UnitState
from app.values.task_resources import Resources

PRIORITIES = {"high": 10, "normal": 0, "low": -10}
CANCELLED = "cancelled by its owner"


@dataclass(frozen=True, slots=True)
class TaskOrder:
    """One container to be run once. `max_price` is per hour; `order_id` the same for the same order, asked for again."""

    account_id: uuid.UUID
    name: str
    type: str
    docker_image: str
    command: Sequence[str]
    resources: Resources
    max_price: Money
    timeout_seconds: int
    priority: str = "normal"
    location: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    has_network: bool = False
    order_id: uuid.UUID | None = None


def create(session: Session, order: TaskOrder) -> TaskView:
    """Set the most that the task can cost aside, queue it, and ring for it. Asked for again under its `order_id`, it is found.

    PaymentRequired says what is there: roll back.
    """
    if order.order_id is not None and session.get(Job, order.order_id) is not None:
        return tasks.get_own(session, order.account_id, order.order_id)
    most = task_prices.cost(order.max_price, order.timeout_seconds)
    job = _write_job(session, order, most)
    unit = WorkUnit(
        id=uuid.uuid4(),
        job_id=job.id,
        ordinal=0,
        kind=tasks.UNIT_KIND,
        capability=tasks.CAPABILITY,
        priority=job.priority,
        state=UnitState.QUEUED,
        queued_at=job.created_at,
        rung_at=job.created_at,
    )
    session.add_all([unit, _task(job.id, order)])
    session.flush()
    task_holds.hold(session, order.account_id, job.id, most)
    doorbells.ring(session, tasks.CAPABILITY, None, [unit.id])
    outbox.announce(session, "job:new", job.id)
    return tasks.get_own(session, order.account_id, job.id)


def _write_job(session: Session, order: TaskOrder, most: Money) -> Job:
    now = clock.now()
    job = Job(
        id=order.order_id or uuid.uuid4(),
        dialect=tasks.DIALECT,
        kind=tasks.KIND,
        name=order.name,
        account_id=order.account_id,
        payment_state=PaymentState.CONFIRMED,
        settings={"frame_list": [], "output_format": "BYTES"},  # as the other dialects read it
        breakdown={"total": str(most.decimal)},
        price_minor=most.minor,
        asset=most.asset,
        priority=PRIORITIES[order.priority],
        units_total=1,
        paid_at=now,
        created_at=now,
    )
    session.add(job)
    session.flush()
    return job


def _task(job_id: uuid.UUID, order: TaskOrder) -> Task:
    asked = order.resources
    return Task(
        job_id=job_id,
        type=order.type,
        docker_image=order.docker_image,
        command=list(order.command),
        environment=dict(order.environment),
        has_network=order.has_network,
        cpu_cores=asked.cpu_cores,
        gpu_count=asked.gpu_count,
        gpu_memory_gb=asked.gpu_memory_gb,
        ram_gb=asked.ram_gb,
        storage_gb=asked.storage_gb,
        location=order.location,
        priority=order.priority,
        max_price_minor=order.max_price.minor,
        timeout_seconds=order.timeout_seconds,
    )


def warnings_of(session: Session, view: TaskView) -> list[str]:
    """Why a task may wait for long: everybody asks more than it offers. Nobody at all is no warning: nodes have no prices."""
    asset = view.job.asset
    least = resources.least_price_minor(session, view.task, asset)
    if least is None or least <= view.task.max_price_minor:
        return []
    return [f"nobody offers what this task needs at its price; the least that is asked is {Money(least, asset)} {asset} an hour"]


@dataclass(frozen=True, slots=True)
class TaskChange:
    """What of a task its owner changes; None stays. `max_price_minor` is per hour."""

    name: str | None = None
    max_price_minor: int | None = None
    priority: str | None = None


def change(session: Session, account_id: uuid.UUID, task_id: uuid.UUID, wanted: TaskChange) -> TaskView:
    """Name it anew, price it anew, or move it in the queue. What somebody has taken keeps its price; it may only be offered more,
    for whoever has it next.

    NotFound TASK_NOT_FOUND; Conflict TASK_OVER, or TASK_ALREADY_ACCEPTED for a lower price too late; PaymentRequired as `create`.
    """
    view = own(session, account_id, task_id)
    task_assignments.assert_open(view)
    job, task, unit = view.job, view.task, view.unit
    if wanted.name is not None:
        job.name = wanted.name
    if wanted.priority is not None:
        task.priority = wanted.priority
        job.priority = unit.priority = PRIORITIES[wanted.priority]
    if wanted.max_price_minor is not None and wanted.max_price_minor != task.max_price_minor:
        if wanted.max_price_minor < task.max_price_minor and unit.state in HELD:
            raise Conflict(
                "somebody has taken this task at its price; cancel it, or offer more",
                code="TASK_ALREADY_ACCEPTED",
                details={"task_id": str(task_id)},
            )
        task.max_price_minor = wanted.max_price_minor
        most = task_prices.cost(Money(task.max_price_minor, job.asset), task.timeout_seconds)
        task_holds.resize(session, job.id, most)
        job.price_minor, job.breakdown = most.minor, {"total": str(most.decimal)}
        if unit.state == UnitState.QUEUED:
            doorbells.ring(session, tasks.CAPABILITY, None, [unit.id])
    session.flush()
    outbox.announce(session, "job:progress", job.id)
    return tasks.get_own(session, account_id, task_id)


def cancel(session: Session, account_id: uuid.UUID, task_id: uuid.UUID) -> TaskView:
    """Call a task off. What ran of it is paid for, all else comes back. Doing so again is harmless.

    NotFound TASK_NOT_FOUND; Conflict TASK_OVER for one that ended otherwise.
    """
    view = own(session, account_id, task_id)
    if view.status == "cancelled":
        return view
    task_assignments.assert_open(view)
    outcomes.cancel(session, view.job, "CANCELLED_BY_USER", CANCELLED)
    session.flush()
    return tasks.get_own(session, account_id, task_id)


def own(session: Session, account_id: uuid.UUID, task_id: uuid.UUID) -> TaskView:
    """A task of an account's, locked: its job, then its unit."""
    tasks.get_own(session, account_id, task_id)
    return task_assignments.lock(session, task_id)
