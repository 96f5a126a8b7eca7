"""An account's jobs of every dialect, as RNP-019 lists them: how far each is, and what it has cost by now."""

import uuid
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Select, case, func, select, tuple_
from sqlalchemy.orm import Session

from app.core import owned, render_blocks
from app.core.owned import States
from app.errors import Conflict, NotFound
from app.models.jobs import Job, Scene
from app.models.payments import Refund
from app.models.render_orders import RenderOrder
from app.models.tasks import Task
from app.values.money import Money
from app.values.states import JobState, PaymentState, UnitState

DIALECT = "rnp019"
MISSING = "there is no such job of yours"


@dataclass(frozen=True, slots=True)
class AccountJob:
    """`lead` as in `owned`; `order` None for what other dialects sold; `blocked_nodes` get nothing more of it."""

    job: Job
    lead: UnitState
    order: RenderOrder | None
    scene: Scene | None
    cost: Money
    blocked_nodes: int = 0

    @property
    def states(self) -> States:
        return PaymentState(self.job.payment_state), self.lead, JobState(self.job.state)


def page(
    session: Session, account_id: uuid.UUID, limit: int, offset: int, among: Collection[States] | None = None
) -> list[AccountJob]:
    """The account's jobs, the newest first; with `among`, those in one of these combinations of states."""
    query = _query().where(Job.account_id == account_id)
    if among is not None:
        query = query.where(
            Job.state.in_({states[2] for states in among}),
            tuple_(Job.payment_state, owned.lead(), Job.state).in_([tuple(str(part) for part in states) for states in among]),
        )
    return _read(session, query.order_by(Job.created_at.desc(), Job.id).limit(limit).offset(offset))


def get(session: Session, account_id: uuid.UUID, job_id: uuid.UUID) -> AccountJob:
    """One job; NotFound JOB_NOT_FOUND for anybody else's, as for none."""
    query = _query().where(Job.id == job_id, Job.account_id == account_id)
    found = _read(session, query.execution_options(populate_existing=True))
    if not found:
        raise NotFound(MISSING, code="JOB_NOT_FOUND")
    return found[0]


def assert_born_here(session: Session, account_id: uuid.UUID, job_id: uuid.UUID) -> None:
    """A job is changed only where it was ordered: Conflict OTHER_DIALECT for another dialect's, NotFound as `get`."""
    dialect = session.scalar(select(Job.dialect).where(Job.id == job_id, Job.account_id == account_id))
    if dialect is None:
        raise NotFound(MISSING, code="JOB_NOT_FOUND")
    if dialect != DIALECT:
        raise Conflict(f"this job was ordered through {dialect}'s API, and is changed only there", code="OTHER_DIALECT")


def _query() -> Select[Any]:
    return (
        select(Job)
        .add_columns(owned.lead(), RenderOrder, Scene, _foreign_cost())
        .outerjoin(Scene, Scene.id == Job.scene_id)
        .outerjoin(RenderOrder, RenderOrder.job_id == Job.id)
        .outerjoin(Task, Task.job_id == Job.id)
    )


def _foreign_cost() -> ColumnElement[int]:
    """What another dialect's job has cost: a task what it was billed, else its price from its payment on, less what is given
    back; what was only held for it, and released, is none."""
    refunded = select(func.coalesce(func.sum(Refund.amount_minor), 0)).where(Refund.job_id == Job.id).scalar_subquery()
    is_paid = (Job.payment_state == PaymentState.CONFIRMED) & ((Job.dialect == "rayment") | (Job.state == JobState.COMPLETED))
    return case(
        (Task.job_id.is_not(None), func.coalesce(Task.billed_minor, 0)),
        (is_paid, func.greatest(0, Job.price_minor - refunded)),
        else_=0,
    )


def _read(session: Session, query: Select[Any]) -> list[AccountJob]:
    rows = session.execute(query).all()
    blocked = render_blocks.count(session, [row[0].id for row in rows if row[2] is not None])
    return [
        AccountJob(
            job=row[0],
            lead=UnitState(row[1]),
            order=row[2],
            scene=row[3],
            cost=Money(int(row[2].charged_minor if row[2] is not None else row[4]), row[0].asset),
            blocked_nodes=blocked.get(row[0].id, 0),
        )
        for row in rows
    ]
