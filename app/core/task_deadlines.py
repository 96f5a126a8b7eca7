"""Tasks whose time is up: ended, paid for what ran, and no longer in anybody's hands."""

import uuid
from datetime import timedelta

from sqlalchemy import literal, select
from sqlalchemy.orm import Session

from app.core import outcomes, tasks
from app.models.jobs import Attempt, Job, WorkUnit
from app.models.tasks import Task
from app.values import clock
from app.values.states import HELD, JobState
from app.values.task_states import TIMED_OUT

MESSAGE = "it ran for as long as its owner allowed"


def end_overdue(session: Session, node_seconds: int, batch: int = 100) -> int:
    """End tasks that have run for `timeout_seconds`; returns how many.

    A provider's software is timed from its `start`. A node ends a task by itself and says so: it has `node_seconds` more, for
    fetching the image before and packing the result after.
    """
    second = literal(timedelta(seconds=1))
    allowed = Task.timeout_seconds * second
    of_software = Attempt.node_id.is_(None) & (Task.running_at + allowed < clock.now())
    of_node = Attempt.node_id.is_not(None) & (Attempt.started_at + allowed + timedelta(seconds=node_seconds) < clock.now())
    query = (
        select(Job.id)
        .join(Task, Task.job_id == Job.id)
        .join(WorkUnit, WorkUnit.job_id == Job.id)
        .join(Attempt, Attempt.id == WorkUnit.attempt_id)
        .where(Job.state == JobState.OPEN, WorkUnit.kind == tasks.UNIT_KIND, WorkUnit.state.in_(HELD), of_software | of_node)
    )
    overdue = list(session.scalars(query.order_by(Job.id).limit(batch).with_for_update(of=Job, skip_locked=True)))

    def end(job_id: uuid.UUID) -> int:
        outcomes.fail_job(session, job_id, TIMED_OUT, MESSAGE)
        return 1

    return outcomes.end_each(session, overdue, end)

