"""What a provider's own software says of the jobs that it was handed: that it takes their frames, or that it can't."""

import uuid
from datetime import timedelta

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from app.core import outcomes
from app.errors import Conflict
from app.models.jobs import Attempt, Job, WorkUnit
from app.values import clock
from app.values.states import HELD, AttemptState, JobState, PaymentState, UnitState, advance


def fail_paid_job(session: Session, job_id: uuid.UUID, code: str, message: str) -> None:
    """The provider itself says that it can't: refused for a job that is not paid or is over."""
    _lock_under_way(session, job_id)
    outcomes.fail_job(session, job_id, code, message)


def note_failure(session: Session, job_id: uuid.UUID, message: str) -> None:
    """An unsigned failure is only noted: anybody could have sent it."""
    statement = update(Job).where(Job.id == job_id, Job.state == JobState.OPEN, Job.failure_noted_at.is_(None))
    session.execute(statement.values(failure_note=message[:2000], failure_noted_at=clock.now()))


def end_noted_failures(session: Session, silence_seconds: int = 60) -> int:
    """End jobs whose unsigned failure was followed by no sign of life. Returns how many.

    A frame completed since, or one in a node's hands, is such a sign and voids the note. What the provider's software holds is
    none by itself: it is asked (`pushes.set_lease`).
    """
    before = clock.now() - timedelta(seconds=silence_seconds)
    in_a_node = select(Attempt.id).where(Attempt.id == WorkUnit.attempt_id, Attempt.node_id.is_not(None)).exists()
    alive = (
        select(WorkUnit.id)
        .where(
            WorkUnit.job_id == Job.id,
            WorkUnit.ordinal >= 0,
            (WorkUnit.completed_at > Job.failure_noted_at) | (WorkUnit.state.in_(HELD) & in_a_node),
        )
        .exists()
    )
    noted = (Job.state == JobState.OPEN, Job.failure_noted_at < before, Job.payment_state == PaymentState.CONFIRMED)
    session.execute(update(Job).where(*noted, alive).values(failure_note=None, failure_noted_at=None))
    query = select(Job.id, Job.failure_note).where(*noted, ~alive)
    rows = session.execute(query.limit(100)).all()
    notes = {row[0]: row[1] or "the provider reported a failure" for row in rows}

    def end(job_id: uuid.UUID) -> int:
        outcomes.fail_job(session, job_id, "PROVIDER_FAILED", notes[job_id])
        return 1

    return outcomes.end_each(session, notes, end)


def take_over(session: Session, job_id: uuid.UUID, lease_seconds: int = 300) -> dict[int, tuple[uuid.UUID, int]]:
    """Give every unfinished frame of a paid job to its provider's own software: {frame: (attempt, fence)}.

    Whatever a node of the provider still holds is lost by the fence; a job that is over is a Conflict.
    """
    _lock_under_way(session, job_id)
    query = select(WorkUnit).where(
        WorkUnit.job_id == job_id, WorkUnit.ordinal >= 0, WorkUnit.state != UnitState.COMPLETED
    )
    taken: dict[int, tuple[uuid.UUID, int]] = {}
    for unit in session.scalars(query.order_by(WorkUnit.id).with_for_update()):
        if unit.attempt_id is not None:
            outcomes.end_attempts(session, [unit.attempt_id], AttemptState.RELEASED)
        if unit.state != UnitState.QUEUED:
            unit.state = advance(UnitState(unit.state), UnitState.QUEUED)
        unit.state = advance(UnitState.QUEUED, UnitState.ASSIGNED)
        unit.fence, unit.attempt_id = unit.fence + 1, uuid.uuid4()
        unit.lease_until = clock.now() + timedelta(seconds=lease_seconds)
        key = f"results/{job_id}/{unit.id}/{unit.fence}"
        session.add(Attempt(id=unit.attempt_id, unit_id=unit.id, fence=unit.fence, upload_key=key))
        taken[unit.frame or 0] = (unit.attempt_id, unit.fence)
    return taken


def _lock_under_way(session: Session, job_id: uuid.UUID) -> None:
    """Conflict JOB_NOT_OPEN for a job that is not paid, or is over."""
    job = session.scalars(select(Job).where(Job.id == job_id).with_for_update()).one()
    if job.payment_state != PaymentState.CONFIRMED or job.state != JobState.OPEN:
        raise Conflict("this job is not under way", code="JOB_NOT_OPEN")
