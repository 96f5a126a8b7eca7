"""Compute tasks as they are read: a job, what of it is only a task's, its one unit, and whoever has that now."""

import uuid
from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import ColumnElement, Exists, Select, exists, func, select, tuple_
from sqlalchemy.orm import InstrumentedAttribute, Session, aliased

from app.core import reputation, resources
from app.errors import NotFound
from app.models.jobs import Attempt, Job, WorkUnit
from app.models.tasks import Task, TaskHold
from app.values import clock, task_states
from app.values.money import Money
from app.values.states import AttemptState, JobState, PaymentState, UnitState
from app.values.task_states import TIMED_OUT, States

DIALECT, KIND, UNIT_KIND, CAPABILITY = "robocompute", "task", "container", "compute"


@dataclass(frozen=True, slots=True)
class TaskView:
    """A task whole. `attempt` is the newest one, None before anybody had it; without a node, it is in its provider's software.
    `hold` is the money set aside for it."""

    job: Job
    task: Task
    unit: WorkUnit
    attempt: Attempt | None
    hold: TaskHold | None

    @property
    def status(self) -> str:
        """In RoboCompute's word."""
        is_timeout = self.job.reason_code == TIMED_OUT
        states = PaymentState(self.job.payment_state), UnitState(self.unit.state), JobState(self.job.state)
        return task_states.word(*states, is_timeout)

    @property
    def is_over(self) -> bool:
        return self.status in task_states.OVER

    def money(self, minor: int | None) -> Money | None:
        """So much in the task's asset."""
        return None if minor is None else Money(minor, self.job.asset)


def not_found(task_id: object) -> NotFound:
    """The same for a task of somebody else's as for none."""
    return NotFound(f"there is no task {task_id}", code="TASK_NOT_FOUND", details={"task_id": str(task_id)})


def read_id(text: str) -> uuid.UUID:
    """A task's id; NotFound for what is none, since no task has it."""
    try:
        return uuid.UUID(text)
    except ValueError:
        raise not_found(text[:100]) from None


def get_own(session: Session, account_id: uuid.UUID, task_id: uuid.UUID) -> TaskView:
    """One task of an account's; NotFound TASK_NOT_FOUND for anybody else's, as for none."""
    return _one(session, task_id, Job.account_id == account_id)


def get(session: Session, task_id: uuid.UUID) -> TaskView:
    """Any task; NotFound TASK_NOT_FOUND."""
    return _one(session, task_id)


def _one(session: Session, task_id: uuid.UUID, *conditions: ColumnElement[bool]) -> TaskView:
    query = _query().where(Job.id == task_id, *conditions).execution_options(populate_existing=True)
    row = session.execute(query).one_or_none()
    if row is None:
        raise not_found(task_id)
    return TaskView(*row)


def page(
    session: Session, account_id: uuid.UUID, status: str | None, limit: int, offset: int
) -> tuple[list[TaskView], int]:
    """An account's tasks, the newest first, those of one status where it is given; and how many there are in all."""
    conditions = (Job.account_id == account_id, *_of_status(status))
    query = _query().where(*conditions).order_by(Job.created_at.desc(), Job.id).limit(limit).offset(offset)
    return [TaskView(*row) for row in session.execute(query)], _count(session, *conditions)


def page_of_provider(
    session: Session, provider_id: uuid.UUID, status: str | None, limit: int, offset: int
) -> tuple[list[TaskView], int]:
    """The tasks that a provider has or had last, the newest first; and how many there are in all."""
    conditions = (Task.provider_id == provider_id, *_of_status(status))
    query = _query().where(*conditions).order_by(Job.created_at.desc(), Job.id).limit(limit).offset(offset)
    return [TaskView(*row) for row in session.execute(query)], _count(session, *conditions)


def available(
    session: Session, provider_id: uuid.UUID, limit: int, head_start_seconds: float, silence_seconds: int
) -> list[TaskView]:
    """What waits and this provider may have, the most urgent first, then the longest waiting; not what it has failed at, nor yet
    what somebody of better repute who is there sees first."""
    wait = reputation.head_start_seconds(session, provider_id, head_start_seconds, silence_seconds)
    query = _query().where(
        WorkUnit.state == UnitState.QUEUED,
        ~WorkUnit.is_parked,
        WorkUnit.capability == CAPABILITY,
        WorkUnit.provider_id.is_(None),
        WorkUnit.queued_at <= clock.now() - timedelta(seconds=wait),
        resources.fits_someone(provider_id),
        ~has_failed(WorkUnit.id, provider_id),
    )
    query = query.order_by(WorkUnit.priority.desc(), WorkUnit.queued_at, WorkUnit.job_id).limit(limit)
    return [TaskView(*row) for row in session.execute(query)]


def has_failed(unit_id: uuid.UUID | InstrumentedAttribute[uuid.UUID], provider_id: uuid.UUID) -> Exists:
    """Whether a provider's software has failed at this unit."""
    tried = aliased(Attempt)
    return exists().where(tried.unit_id == unit_id, tried.provider_id == provider_id, tried.state == AttemptState.FAILED)


def _query() -> Select[Job, Task, WorkUnit, Attempt, TaskHold]:
    return (
        select(Job, Task, WorkUnit, Attempt, TaskHold)
        .join(Task, Task.job_id == Job.id)
        .join(WorkUnit, (WorkUnit.job_id == Job.id) & (WorkUnit.kind == UNIT_KIND))
        .outerjoin(Attempt, (Attempt.unit_id == WorkUnit.id) & (Attempt.fence == WorkUnit.fence))
        .outerjoin(TaskHold, TaskHold.job_id == Job.id)
    )


def _count(session: Session, *conditions: ColumnElement[bool]) -> int:
    query = select(func.count()).select_from(Job).join(Task, Task.job_id == Job.id)
    query = query.join(WorkUnit, (WorkUnit.job_id == Job.id) & (WorkUnit.kind == UNIT_KIND))
    return int(session.scalar(query.where(*conditions)) or 0)


def _of_status(status: str | None) -> tuple[ColumnElement[bool], ...]:
    return () if status is None else (_among(task_states.states_of(status)),)


def _among(states: Collection[States]) -> ColumnElement[bool]:
    is_timeout = func.coalesce(Job.reason_code == TIMED_OUT, False)
    rows = [(str(payment), str(unit), str(job), flag) for payment, unit, job, flag in states]
    return tuple_(Job.payment_state, WorkUnit.state, Job.state, is_timeout).in_(rows)
