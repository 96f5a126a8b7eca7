"""Tasks in the hands of a provider's own software: taken, begun, carried on, given up. Each is an attempt without a node, under a
lease that every sign of life renews; one that runs out gives the task back like any other.

The job is locked first, then its unit; whoever claims on a node's behalf locks the unit, too, so one of all has it.
"""

import uuid
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from app import outbox
from app.core import jobs, outcomes, resources, stakes, tasks
from app.core.task_ends import exit_of
from app.core.tasks import TaskView
from app.errors import Conflict
from app.models.jobs import Attempt, WorkUnit
from app.models.nodes import Provider
from app.values import clock
from app.values.money import Money
from app.values.states import HELD, AttemptState, UnitState, advance


@dataclass(frozen=True, slots=True)
class Terms:
    """How a provider's software holds tasks: for so long without a sign of life; `limits` are (failures, attempts in all);
    `minimum_stakes` what it must have staked to take one, by the asset that the task is paid in."""

    lease_seconds: int
    limits: tuple[int, int]
    minimum_stakes: Mapping[str, Money] = field(default_factory=dict)


def lock(session: Session, task_id: uuid.UUID) -> TaskView:
    """The task as it is now, its job and its unit locked until the unit of work ends. NotFound TASK_NOT_FOUND."""
    tasks.get(session, task_id)
    jobs.lock(session, task_id)
    query = select(WorkUnit.id).where(WorkUnit.job_id == task_id, WorkUnit.kind == tasks.UNIT_KIND).with_for_update()
    session.execute(query)
    return tasks.get(session, task_id)


def assert_open(view: TaskView) -> None:
    """Conflict TASK_OVER, saying how it ended."""
    if view.is_over:
        details = {"task_id": str(view.job.id), "status": view.status}
        raise Conflict(f"this task is over: it is {view.status}", code="TASK_OVER", details=details)


def accept(
    session: Session, provider: Provider, task_id: uuid.UUID, resource_id: uuid.UUID | None, terms: Terms
) -> TaskView:
    """The provider's software takes the task, with this resource or its cheapest that fits: of all who want it, the first has it.

    Conflict TASK_ALREADY_ACCEPTED, also where this provider has it already (`by_you`), TASK_OVER, TASK_FAILED_BEFORE by this
    provider, or RESOURCE_UNAVAILABLE;
    NotFound TASK_NOT_FOUND or RESOURCE_NOT_FOUND; PaymentRequired INSUFFICIENT_STAKE.
    """
    view = lock(session, task_id)
    assert_open(view)
    unit, task = view.unit, view.task
    if unit.state != UnitState.QUEUED or unit.queued_at > clock.now():
        details = {"task_id": str(task_id), "by_you": task.provider_id == provider.id}
        raise Conflict("somebody has taken this task already", code="TASK_ALREADY_ACCEPTED", details=details)
    if session.scalar(select(tasks.has_failed(unit.id, provider.id))):
        message = "this provider has failed at this task; leave it to others"
        raise Conflict(message, code="TASK_FAILED_BEFORE", details={"task_id": str(task_id)})
    if view.job.asset in terms.minimum_stakes:
        stakes.require(session, provider.account_id, terms.minimum_stakes[view.job.asset])
    resource = resources.allocate(session, task, view.job.asset, provider.id, resource_id)
    unit.state = advance(UnitState.QUEUED, UnitState.ASSIGNED)
    unit.fence, unit.attempt_id, unit.progress = unit.fence + 1, uuid.uuid4(), 0.0
    _renew(unit, terms)
    key = f"results/{task_id}/{unit.id}-{unit.fence}"
    attempt = Attempt(id=unit.attempt_id, unit_id=unit.id, provider_id=provider.id, fence=unit.fence, upload_key=key)
    session.add(attempt)
    task.provider_id, task.resource_id = provider.id, None if resource is None else resource.id
    task.price_minor = task.max_price_minor if resource is None else min(resource.price_minor, task.max_price_minor)
    task.running_at = task.claimed_seconds = task.container_id = task.resource_usage = None
    session.flush()
    outbox.announce(session, "job:progress", task_id)
    return tasks.get(session, task_id)


def held(session: Session, provider: Provider, task_id: uuid.UUID) -> TaskView:
    """A task that this provider's software has now, locked.

    NotFound TASK_NOT_FOUND for one it never had; Conflict TASK_OVER, TASK_NOT_HELD where it waits again since its lease ran out,
    or TASK_ALREADY_ACCEPTED where somebody else has it by now.
    """
    view = lock(session, task_id)
    attempt = view.attempt
    is_ours = attempt is not None and attempt.provider_id == provider.id
    if is_ours and view.unit.state in HELD:
        return view
    if not is_ours and not _ever_had(session, provider.id, view.unit.id):
        raise tasks.not_found(task_id)
    assert_open(view)
    details = {"task_id": str(task_id)}
    if view.unit.state in HELD:
        raise Conflict("somebody else has this task by now", code="TASK_ALREADY_ACCEPTED", details=details)
    raise Conflict("this task was given back; accept it again if you still want it", code="TASK_NOT_HELD", details=details)


def _ever_had(session: Session, provider_id: uuid.UUID, unit_id: uuid.UUID) -> bool:
    query = select(Attempt.id).where(Attempt.unit_id == unit_id, Attempt.provider_id == provider_id)
    return session.scalar(query.limit(1)) is not None


def start(
    session: Session,
    provider: Provider,
    task_id: uuid.UUID,
    container_id: str | None,
    usage: Mapping[str, Any] | None,
    terms: Terms,
) -> TaskView:
    """The container runs: from now on the task costs. Said again, it changes nothing. Errors as `held`."""
    view = held(session, provider, task_id)
    _run(session, view, terms)
    if container_id is not None:
        view.task.container_id = container_id
    if usage is not None:
        view.task.resource_usage = dict(usage)
    session.flush()
    return view


def _run(session: Session, view: TaskView, terms: Terms) -> None:
    if view.unit.state == UnitState.ASSIGNED:
        view.unit.state = advance(UnitState.ASSIGNED, UnitState.RENDERING)
        view.task.running_at = clock.now()
        outbox.tell_followers(session, view.job.id)
        if view.job.started_at is None:
            view.job.started_at = view.task.running_at
            outbox.announce(session, "job:started", view.job.id)
    _renew(view.unit, terms)


def report(session: Session, provider: Provider, task_id: uuid.UUID, progress: float, terms: Terms) -> TaskView:
    """A sign of life: it is so far, 0 to 1, and so it runs. Errors as `held`."""
    view = held(session, provider, task_id)
    _run(session, view, terms)
    view.unit.progress = progress
    session.flush()
    outbox.announce(session, "job:progress", task_id)
    return view


def fail(
    session: Session, provider: Provider, task_id: uuid.UUID, code: str, message: str, terms: Terms, exit_code: int | None = None
) -> TaskView:
    """The provider's software can't do it: others may, and after too many failures the task fails. With `exit_code`, not 0, its
    container has ended by itself: the task is over, and its seconds since `start` are paid for. Errors as `held`."""
    view = held(session, provider, task_id)
    if view.unit.attempt_id is not None:
        outcomes.fail(session, view.unit.attempt_id, view.unit.fence, code, message, terms.limits, exit_of(exit_code))
    session.flush()
    return tasks.get(session, task_id)


def keep(session: Session, provider_id: uuid.UUID, terms: Terms, task_ids: Collection[uuid.UUID] | None = None) -> int:
    """Renew the leases of tasks in a provider's software: those it names, or else all that run there. Returns how many.

    A sign of life of the software itself: its heartbeat, or that it asks for work.
    """
    mine = select(Attempt.id).where(Attempt.provider_id == provider_id, Attempt.state == AttemptState.LIVE)
    wanted = WorkUnit.state == UnitState.RENDERING if task_ids is None else WorkUnit.job_id.in_(task_ids)
    rows = select(WorkUnit.id).where(WorkUnit.attempt_id.in_(mine), WorkUnit.state.in_(HELD), wanted)
    locked = rows.order_by(WorkUnit.id).with_for_update(skip_locked=True)
    statement = update(WorkUnit).where(WorkUnit.id.in_(locked)).values(lease_until=_lease_end(terms))
    return len(session.execute(statement.returning(WorkUnit.id)).all())


def _renew(unit: WorkUnit, terms: Terms) -> None:
    unit.lease_until = _lease_end(terms)


def _lease_end(terms: Terms) -> Any:
    return clock.now() + timedelta(seconds=terms.lease_seconds)
