"""A signed-in owner's jobs, of every dialect, as one list: each job with where its work is."""

import uuid
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, case, func, literal, or_, select, tuple_
from sqlalchemy.orm import Session

from app.errors import NotFound
from app.models.jobs import Attempt, Job, WorkUnit
from app.values.states import JobState, PaymentState, UnitState

U = UnitState
States = tuple[PaymentState, UnitState, JobState]
_UNDER_WAY = (JobState.OPEN, JobState.PAUSED)


@dataclass(frozen=True, slots=True)
class OwnedJob:
    """`lead` is how far the job's furthest unit is; an offer that stands counts as assigned. What has no unit yet is queued.

    `node_id`, `dispatched_at` and `result_key` are of its first unit: the node it is offered to or was last with, since when, and
    the file that counts. `retries` are failures and lost leases, over all units.
    """

    job: Job
    lead: UnitState
    node_id: uuid.UUID | None
    dispatched_at: datetime | None
    result_key: str | None
    retries: int

    @property
    def states(self) -> States:
        return PaymentState(self.job.payment_state), self.lead, JobState(self.job.state)


def page(
    session: Session, account_id: uuid.UUID, limit: int, offset: int, among: Collection[States] | None = None
) -> list[OwnedJob]:
    """The account's jobs, the newest first; with `among`, those in one of these combinations of states."""
    query = _query().where(Job.account_id == account_id)
    if among is not None:
        query = query.where(
            Job.state.in_({states[2] for states in among}),
            tuple_(Job.payment_state, lead(), Job.state).in_([tuple(str(part) for part in states) for states in among]),
        )
    query = query.order_by(Job.created_at.desc(), Job.id).limit(limit).offset(offset)
    return [_owned(row) for row in session.execute(query)]


def get(session: Session, account_id: uuid.UUID, job_id: uuid.UUID) -> OwnedJob:
    """One job; NotFound for anybody else's, as for none."""
    query = _query().where(Job.id == job_id, Job.account_id == account_id)
    row = session.execute(query.execution_options(populate_existing=True)).one_or_none()
    if row is None:
        raise NotFound("Job not found")
    return _owned(row)


def _owned(row: Any) -> OwnedJob:
    return OwnedJob(row[0], UnitState(row[1]), row[2], row[3], row[4], int(row[5] or 0))


def _has_unit(condition: ColumnElement[bool]) -> ColumnElement[bool]:
    return select(WorkUnit.id).where(WorkUnit.job_id == Job.id, WorkUnit.ordinal >= 0, condition).exists()


def lead() -> ColumnElement[str]:
    """A job that is over is not looked into."""
    offered = and_(WorkUnit.state == U.QUEUED, WorkUnit.offered_node_id.is_not(None))
    return case(
        (Job.state.not_in(_UNDER_WAY), literal(U.COMPLETED.value)),
        (or_(Job.units_completed > 0, _has_unit(WorkUnit.state.in_((U.RENDERING, U.UPLOADED)))), literal(U.RENDERING.value)),
        (_has_unit(or_(WorkUnit.state == U.ASSIGNED, offered)), literal(U.ASSIGNED.value)),
        else_=literal(U.QUEUED.value),
    )


def _query() -> Select[Any]:
    first = (
        select(WorkUnit.id, WorkUnit.offered_node_id, WorkUnit.result_key)
        .where(WorkUnit.job_id == Job.id, WorkUnit.ordinal == 0)
        .lateral("first")
    )
    last = (
        select(Attempt.node_id, Attempt.started_at)
        .where(Attempt.unit_id == first.c.id)
        .order_by(Attempt.fence.desc())
        .limit(1)
        .lateral("last")
    )
    retries = (
        select(func.sum(WorkUnit.failures + WorkUnit.losses))
        .where(WorkUnit.job_id == Job.id, WorkUnit.ordinal >= 0)
        .correlate(Job)
        .scalar_subquery()
    )
    is_offered = first.c.offered_node_id.is_not(None)
    node_id = func.coalesce(first.c.offered_node_id, last.c.node_id)
    dispatched_at = case((is_offered, Job.paid_at), else_=last.c.started_at)
    columns = (Job, lead(), node_id, dispatched_at, first.c.result_key, retries)
    return select(*columns).outerjoin(first, literal(True)).outerjoin(last, literal(True))
