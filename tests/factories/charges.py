"""Compute tasks in the database alone, held for and charged by the core's own verbs."""

import uuid
from datetime import datetime, timedelta
from decimal import Decimal

from sqlalchemy import update

from app.core import task_holds
from app.db import Database
from app.models.jobs import Attempt, Job, WorkUnit
from app.models.tasks import Task, TaskHold
from app.values import clock
from app.values.money import parse


def begin(
    database: Database, account_id: uuid.UUID, hold: str, asset: str = "USDC", name: str = "task", seconds: float = 60.0
) -> uuid.UUID:
    """A task that began so many seconds ago, with `hold` set aside for it; the price is 3.60 an hour."""
    now = clock.now()
    job = Job(
        id=uuid.uuid4(), dialect="robocompute", kind="task", name=name, account_id=account_id, settings={}, breakdown={},
        asset=asset, payment_state="confirmed", units_total=1, started_at=now - timedelta(seconds=seconds),
        created_at=now - timedelta(seconds=seconds),
    )
    one = Decimal(1)
    task = Task(
        job_id=job.id, type="cpu", docker_image="busybox", command=["true"], environment={}, cpu_cores=one, ram_gb=one,
        storage_gb=one, max_price_minor=parse("3.60", asset).minor, timeout_seconds=3600,
    )
    with database.unit_of_work() as session:
        session.add(job)
        session.flush()
        unit, attempt = _attempt(job)
        for row in (task, unit, attempt):
            session.add(row)
            session.flush()
        task_holds.hold(session, account_id, job.id, parse(hold, asset))
    return job.id


def _attempt(job: Job) -> tuple[WorkUnit, Attempt]:
    """Somebody runs it since it began."""
    unit_id, attempt_id = uuid.uuid4(), uuid.uuid4()
    unit = WorkUnit(
        id=unit_id, job_id=job.id, ordinal=0, kind="container", capability="compute", state="rendering", queued_at=clock.now(),
        attempt_id=attempt_id, fence=1,
    )
    return unit, Attempt(id=attempt_id, unit_id=unit_id, fence=1, upload_key="x", started_at=job.started_at)


def lose(database: Database, job_id: uuid.UUID) -> None:
    """Whoever ran it is gone: it waits for another."""
    with database.unit_of_work() as session:
        session.execute(update(WorkUnit).where(WorkUnit.job_id == job_id).values(state="queued", attempt_id=None))


def charge(database: Database, job_id: uuid.UUID, cost: str, seconds: int, payee: uuid.UUID) -> None:
    """The task is done: it is charged, and its provider paid."""
    with database.unit_of_work() as session:
        job, task = session.get_one(Job, job_id), session.get_one(Task, job_id)
        job.state, job.ended_at, task.billed_seconds = "completed", clock.now(), seconds
        task.billed_minor = parse(cost, job.asset).minor
        task_holds.capture(session, job_id, parse(cost, job.asset), payee, 5)


def release(database: Database, job_id: uuid.UUID) -> None:
    with database.unit_of_work() as session:
        session.get_one(Job, job_id).state = "cancelled"
        task_holds.release(session, job_id)


def date_charge(database: Database, job_id: uuid.UUID, moment: datetime) -> None:
    """Pretend that it was charged at that time."""
    with database.unit_of_work() as session:
        session.execute(update(TaskHold).where(TaskHold.job_id == job_id).values(ended_at=moment))
