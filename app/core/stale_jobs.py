"""Jobs that nobody goes on with: quotes that were not paid, paid jobs that nobody takes."""

import uuid
from datetime import timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.core import outcomes, render_billing
from app.models.jobs import Attempt, Job, WorkUnit
from app.values import clock
from app.values.states import HELD, JobState, PaymentState, UnitState

BATCH = 100
TRIES_MOST = 20  # of one unit: who takes it and gives it back again and again is no sign of life


def withdraw_old_quotes(session: Session, older_than_seconds: int, batch: int = BATCH) -> int:
    """Withdraw quotes that nobody paid, long after they could have been; their files go with them. Returns how many."""
    before = clock.now() - timedelta(seconds=older_than_seconds)
    query = select(Job.id).where(
        Job.payment_state == PaymentState.PENDING, Job.state == JobState.OPEN, Job.expires_at < before
    )
    old = list(session.scalars(query.order_by(Job.expires_at).limit(batch).with_for_update(skip_locked=True)))

    def withdraw(job_id: uuid.UUID) -> int:
        outcomes.cancel_unpaid(session, job_id, "QUOTE_EXPIRED", "the quote was not paid in time; ask for a new one")
        return 1

    return outcomes.end_each(session, old, withdraw)


def fail_untaken_jobs(session: Session, untaken_seconds: int, batch: int = BATCH) -> int:
    """End paid jobs of which nobody has taken or finished anything for long: the client gets its refund. Returns how many.

    A render that was paused has as much time again from when its units were handed out anew, and so has what a node has just
    given back, or lost.
    """
    before = clock.now() - timedelta(seconds=untaken_seconds)
    is_fed = (Job.dialect == render_billing.DIALECT) & (WorkUnit.state == UnitState.QUEUED) & ~WorkUnit.is_parked
    was_tried = select(Attempt.id).where(Attempt.unit_id == WorkUnit.id, Attempt.ended_at > before).exists()
    is_back = (WorkUnit.state == UnitState.QUEUED) & (WorkUnit.fence <= TRIES_MOST) & was_tried
    alive = WorkUnit.state.in_(HELD) | (WorkUnit.completed_at > before) | is_fed & (WorkUnit.queued_at > before) | is_back
    in_work = select(WorkUnit.id).where(WorkUnit.job_id == Job.id, WorkUnit.ordinal >= 0, alive).exists()
    query = select(Job.id).where(
        Job.state == JobState.OPEN, Job.payment_state == PaymentState.CONFIRMED, Job.paid_at < before, ~in_work
    )
    untaken = list(session.scalars(query.order_by(Job.paid_at).limit(batch).with_for_update(skip_locked=True)))

    def end(job_id: uuid.UUID) -> int:
        outcomes.fail_job(session, job_id, "NO_TAKER", "nothing of the provider's took the work in time; the money is owed back")
        return 1

    return outcomes.end_each(session, untaken, end)
