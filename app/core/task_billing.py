"""What a task costs when it ends: the time that the hub saw it run, never more than its node claims or was set aside.

Time that its owner cut short, or its own limit, or its container's own end with another status than 0, is paid for like time that
brought a result: the machine was at work. What failed for the provider's reasons is not.
"""

import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from app.core import task_holds, task_marks, tasks
from app.models.jobs import Job
from app.models.tasks import Task, TaskHold
from app.values import clock, task_prices
from app.values.money import Money
from app.values.reputation import Outcome
from app.values.states import JobState, PaymentState, advance
from app.values.task_states import TIMED_OUT

PLATFORM_FEE_PERCENT = 5

# What the hub sees of a node's time begins with its claim, and of that count the seconds that the node says its container ran;
# that of a provider's software begins when it says so.
_RUN = text("""
SELECT a.id AS attempt_id, u.state, u.seconds, u.lease_until, a.started_at, a.node_id, t.running_at, t.claimed_seconds,
    t.timeout_seconds, coalesce(t.price_minor, t.max_price_minor) AS price_minor, coalesce(n.account_id, p.account_id) AS payee
FROM work_units u JOIN tasks t ON t.job_id = u.job_id JOIN attempts a ON a.unit_id = u.id AND a.fence = u.fence
LEFT JOIN nodes n ON n.id = a.node_id LEFT JOIN providers p ON p.id = a.provider_id
WHERE u.job_id = :job_id AND u.kind = 'container'
""")
_NOTE = text("""
UPDATE tasks t SET claimed_seconds = CAST(ceil(CAST(:seconds AS float8)) AS int),
    running_at = coalesce(t.running_at, greatest(CAST(:now AS timestamptz) - make_interval(secs => :seconds), a.started_at))
FROM work_units u JOIN attempts a ON a.id = u.attempt_id
WHERE u.attempt_id = :attempt_id AND u.kind = 'container' AND t.job_id = u.job_id
""")
_COUNT = text("""
UPDATE providers SET completed_jobs = completed_jobs + 1 WHERE id = (SELECT provider_id FROM tasks WHERE job_id = :job_id)
""")


@dataclass(frozen=True, slots=True)
class _Run:
    """The newest attempt at a task, as it stands."""

    attempt_id: uuid.UUID
    state: str
    seconds: float | None
    lease_until: datetime | None
    started_at: datetime
    node_id: uuid.UUID | None
    running_at: datetime | None
    claimed_seconds: int | None
    timeout_seconds: int
    price_minor: int
    payee: uuid.UUID

    def seen_seconds(self, until: datetime) -> int:
        """What the hub saw of it, in whole seconds; never more than the task may run."""
        begun = self.started_at if self.node_id is not None else self.running_at
        if begun is None:  # software that never said that it began
            return 0
        return min(task_prices.whole_seconds((until - begun).total_seconds()), self.timeout_seconds)


def is_task(job: Any) -> bool:
    """Whether a job is paid by what is set aside for a compute task."""
    return bool(job.dialect == tasks.DIALECT)


def note_seconds(session: Session, attempt_id: uuid.UUID, seconds: float) -> None:
    """A node says for how long the task has run there: no more will be charged, should it be cut short now."""
    session.execute(_NOTE, {"attempt_id": attempt_id, "seconds": min(max(seconds, 0.0), 10.0**6), "now": clock.now()})


def complete(session: Session, job_id: uuid.UUID) -> TaskHold | None:
    """The task is done, and its job locked: pay whoever did it."""
    run = _run(session, job_id)
    if run is None:
        raise RuntimeError("a task was completed by nobody")
    seen = run.seen_seconds(clock.now())
    claimed = seen if run.seconds is None else task_prices.whole_seconds(run.seconds)
    seconds = min(seen, claimed)
    hold = _capture(session, job_id, run, seconds, claimed)
    session.get_one(Task, job_id).exit_code = 0
    session.execute(_COUNT, {"job_id": job_id})  # after the ledger's rows, as wherever a provider's jobs are counted
    if hold is not None:
        task_marks.note_completed(session, job_id, run.attempt_id, Money(hold.earned_minor or 0, hold.asset), seconds)
    return hold


def settle_early(session: Session, job: Job) -> None:
    """The job, locked, has just ended otherwise than well, and its unit still says how far it was: pay for what ran until its
    owner, its time limit or its container itself ended it, and give the rest back."""
    outcome = _charged_end(session, job)
    run = _run(session, job.id) if outcome is not None else None
    seconds = 0 if run is None else _seconds_so_far(run)
    if run is None or outcome is None or seconds == 0:
        task_holds.release(session, job.id)
        job.payment_state = advance(PaymentState(job.payment_state), PaymentState.REFUNDED)
        return
    hold = _capture(session, job.id, run, seconds, run.claimed_seconds)
    earned = Money(hold.earned_minor or 0, job.asset) if hold is not None else None
    task_marks.note(session, run.attempt_id, outcome, earned, seconds)


def _charged_end(session: Session, job: Job) -> Outcome | None:
    """None for an end that is the provider's, or nobody's."""
    if job.state == JobState.CANCELLED:
        return Outcome.CANCELLED
    if session.get_one(Task, job.id).exit_code is not None:
        return Outcome.EXITED
    return Outcome.TIMEOUT if job.reason_code == TIMED_OUT else None


def _seconds_so_far(run: _Run) -> int:
    """Of a task under way. Its lease is its last sign of life: nothing after that counts. A node that has told of no second has
    none to be paid for."""
    if run.state not in ("rendering", "uploaded"):
        return 0
    now = clock.now()
    seen = run.seen_seconds(now if run.lease_until is None else min(now, run.lease_until))
    if run.node_id is None:
        return seen
    return min(seen, run.claimed_seconds or 0)


def is_time_up(session: Session, job_id: uuid.UUID, slack_seconds: int = 5) -> bool:
    """Whether the hub, too, has seen the task run for as long as it may."""
    run = _run(session, job_id)
    return run is not None and run.seen_seconds(clock.now()) >= run.timeout_seconds - slack_seconds


def _run(session: Session, job_id: uuid.UUID) -> _Run | None:
    session.flush()
    row = session.execute(_RUN, {"job_id": job_id}).one_or_none()
    return None if row is None else _Run(*row)


def _capture(session: Session, job_id: uuid.UUID, run: _Run, seconds: int, claimed: int | None) -> TaskHold | None:
    task = session.get_one(Task, job_id)
    asset = session.get_one(Job, job_id).asset
    price = task_prices.cost(Money(run.price_minor, asset), seconds)
    hold = task_holds.capture(session, job_id, price, run.payee, PLATFORM_FEE_PERCENT)
    if hold is not None:
        task.billed_seconds, task.claimed_seconds = seconds, claimed
        task.billed_minor = (hold.earned_minor or 0) + (hold.fee_minor or 0)
    return hold
