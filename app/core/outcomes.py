"""How attempts, units and jobs end: completed, failed, released, or their lease lost."""

import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from app import outbox
from app.core import pricing, settlement
from app.errors import Conflict
from app.models.jobs import Attempt, Job, Scene, WorkUnit
from app.models.nodes import Node, Provider
from app.values import clock
from app.values.states import JobState, PaymentState, UnitState, advance

HELD = (UnitState.ASSIGNED, UnitState.RENDERING, UnitState.UPLOADED)
FAILURES_IN_A_ROW = 3
UNHEALTHY_SECONDS = 300


@dataclass(frozen=True, slots=True)
class Finished:
    """Bytes that the hub has checked, for one live attempt."""

    attempt_id: uuid.UUID
    fence: int
    key: str
    sha256: str
    size_bytes: int
    seconds: float


def lock_live(session: Session, attempt_id: uuid.UUID, fence: int) -> WorkUnit | None:
    """The unit of a live attempt, locked; None when the attempt is not live any more."""
    query = select(WorkUnit).where(
        WorkUnit.attempt_id == attempt_id, WorkUnit.fence == fence, WorkUnit.state.in_(HELD)
    )
    return session.scalars(query.with_for_update()).one_or_none()


def complete(session: Session, finished: Sequence[Finished], fee_percent: int) -> set[uuid.UUID]:
    """Book checked results; returns the attempts that counted. A job whose last unit this is, is settled here.

    Units are locked in the order of their attempts and jobs after their units, so that two nodes never wait in a ring.
    """
    now = clock.now()
    accepted: set[uuid.UUID] = set()
    per_job: Counter[uuid.UUID] = Counter()
    seconds: Counter[uuid.UUID] = Counter()
    for item in sorted(finished, key=lambda item: item.attempt_id):
        unit = lock_live(session, item.attempt_id, item.fence)
        if unit is None:
            continue
        if unit.state != UnitState.UPLOADED:
            unit.state = advance(UnitState(unit.state), UnitState.UPLOADED)
        unit.state = advance(UnitState.UPLOADED, UnitState.COMPLETED)
        unit.result_key, unit.result_sha256, unit.result_bytes = item.key, item.sha256, item.size_bytes
        unit.seconds, unit.progress, unit.completed_at, unit.lease_until = item.seconds, 1.0, now, None
        accepted.add(item.attempt_id)
        per_job[unit.job_id] += 1
        seconds[unit.job_id] += item.seconds  # type: ignore[assignment]
    if accepted:
        session.flush()
        _end_attempts(session, accepted, "completed")
        _forgive(session, accepted)
    for job_id in sorted(per_job):
        _count(session, job_id, per_job[job_id], float(seconds[job_id]), fee_percent)
    return accepted


def _count(session: Session, job_id: uuid.UUID, units: int, seconds: float, fee_percent: int) -> None:
    counted = update(Job).where(Job.id == job_id).values(
        units_completed=Job.units_completed + units, render_seconds=Job.render_seconds + seconds
    )
    job = session.scalars(counted.returning(Job), execution_options={"populate_existing": True}).one()
    if job.units_completed < job.units_total or job.state != JobState.OPEN:
        outbox.announce(session, "job:progress", job_id)
        return
    job.state = advance(JobState(job.state), JobState.COMPLETED)
    job.ended_at = clock.now()
    _settle(session, job, fee_percent)
    outbox.announce(session, "job:completed", job_id)


def _settle(session: Session, job: Job, fee_percent: int) -> None:
    """Fee, the provider's count of jobs, and how long the scene took."""
    settlement.charge_fee(session, job, job.units_completed, fee_percent)
    counted = update(Provider).where(Provider.id == job.provider_id)
    session.execute(counted.values(completed_jobs=Provider.completed_jobs + 1))
    scene = session.get(Scene, job.scene_id)
    if scene is not None:
        key = pricing.settings_key(job.settings)
        pricing.note_seconds(session, scene.sha256, key, job.units_completed, job.render_seconds)


def _end_attempts(session: Session, attempt_ids: Sequence[uuid.UUID] | set[uuid.UUID], state: str, **values: Any) -> None:
    statement = update(Attempt).where(Attempt.id.in_(attempt_ids), Attempt.state == "live")
    session.execute(statement.values(state=state, ended_at=clock.now(), **values))


def _forgive(session: Session, attempt_ids: set[uuid.UUID]) -> None:
    """A success ends a node's row of failures."""
    nodes = select(Attempt.node_id).where(Attempt.id.in_(attempt_ids))
    statement = update(Node).where(Node.id.in_(nodes), Node.failures_in_a_row > 0)
    session.execute(statement.values(failures_in_a_row=0, unhealthy_until=None))


def fail(session: Session, attempt_id: uuid.UUID, fence: int, code: str, message: str, limits: tuple[int, int]) -> str | None:
    """A node reported a failure: the unit is kept away from that node, and after too many of them the job fails.

    `limits` are (failures, attempts in all). Returns the unit's new state, or None if the attempt was not live.
    """
    unit = lock_live(session, attempt_id, fence)
    if unit is None:
        return None
    _end_attempts(session, [attempt_id], "failed", error_code=code[:64], error_message=message[:2000])
    node_id = session.scalar(select(Attempt.node_id).where(Attempt.id == attempt_id))
    unit.failures += 1
    if node_id is not None:
        unit.blocked_nodes = [*unit.blocked_nodes, node_id]
        _count_failure(session, node_id)
    _return_unit(session, unit, code, message, limits)
    return unit.state


def _count_failure(session: Session, node_id: uuid.UUID) -> None:
    """Three failures in a row make a node UNHEALTHY for a while (its circuit breaker)."""
    node = session.scalars(select(Node).where(Node.id == node_id).with_for_update()).one()
    node.failures_in_a_row += 1
    if node.failures_in_a_row >= FAILURES_IN_A_ROW:
        node.unhealthy_until = clock.now() + timedelta(seconds=UNHEALTHY_SECONDS)
        node.failures_in_a_row = 0


def _return_unit(session: Session, unit: WorkUnit, code: str, message: str, limits: tuple[int, int]) -> None:
    if unit.failures >= limits[0] or unit.failures + unit.losses >= limits[1]:
        unit.state = advance(UnitState(unit.state), UnitState.FAILED)
        unit.lease_until = None
        session.flush()
        fail_job(session, unit.job_id, code, message)
        return
    _requeue(session, unit)


def _requeue(session: Session, unit: WorkUnit) -> None:
    unit.state = advance(UnitState(unit.state), UnitState.QUEUED)
    unit.attempt_id = unit.lease_until = None
    unit.rung_at = clock.now()
    outbox.ring(session, unit.capability, unit.id)


def release(session: Session, attempt_id: uuid.UUID, fence: int) -> bool:
    """A node gives a unit back unharmed; nothing is counted against anybody."""
    unit = lock_live(session, attempt_id, fence)
    if unit is None:
        return False
    _end_attempts(session, [attempt_id], "released")
    _requeue(session, unit)
    return True


def expire_leases(session: Session, limits: tuple[int, int], batch: int = 200) -> int:
    """Take back units whose lease ran out: a lost lease is not a failure. Returns how many."""
    query = select(WorkUnit).where(WorkUnit.state.in_(HELD), WorkUnit.lease_until < clock.now()).limit(batch)
    units = list(session.scalars(query.with_for_update(skip_locked=True)))
    for unit in units:
        if unit.state not in HELD:
            continue  # its job failed through another unit of this very batch
        if unit.attempt_id is not None:
            _end_attempts(session, [unit.attempt_id], "lost")
        unit.losses += 1
        _return_unit(session, unit, "LEASE_LOST", "the node stopped reporting", limits)
    return len(units)


def fail_job(session: Session, job_id: uuid.UUID, code: str, message: str) -> None:
    """End a job as failed: finished frames are kept and charged, the rest is refunded."""
    _end_job(session, job_id, JobState.FAILED, code, message)
    outbox.announce(session, "job:failed", job_id)


def _end_job(session: Session, job_id: uuid.UUID, state: JobState, code: str, message: str) -> None:
    job = session.scalars(
        select(Job).where(Job.id == job_id).with_for_update().execution_options(populate_existing=True)
    ).one()
    if job.state != JobState.OPEN:
        return
    job.state = advance(JobState.OPEN, state)
    job.reason_code, job.error_message, job.ended_at = code[:64], message[:2000], clock.now()
    pending = (WorkUnit.job_id == job_id, WorkUnit.state.in_((UnitState.QUEUED, *HELD)))
    live = select(WorkUnit.attempt_id).where(*pending, WorkUnit.attempt_id.is_not(None))
    session.execute(
        update(Attempt).where(Attempt.id.in_(live), Attempt.state == "live").values(state="cancelled", ended_at=clock.now())
    )
    session.execute(update(WorkUnit).where(*pending).values(state=UnitState.CANCELLED, lease_until=None))
    done = session.scalar(
        select(func.count()).where(WorkUnit.job_id == job_id, WorkUnit.state == UnitState.COMPLETED)
    )
    settlement.refund_unfinished(session, job, int(done or 0))


def ring_again(session: Session, after_seconds: int, batch: int = 200) -> int:
    """Ring units that nobody claimed: losing a doorbell is harmless because of this. Returns how many."""
    before = clock.now() - timedelta(seconds=after_seconds)
    stale = (
        select(WorkUnit.id)
        .where(WorkUnit.state == UnitState.QUEUED, WorkUnit.rung_at < before)
        .order_by(WorkUnit.rung_at)
        .limit(batch)
        .with_for_update(skip_locked=True)
    )
    statement = update(WorkUnit).where(WorkUnit.id.in_(stale)).values(rung_at=clock.now())
    rung = session.execute(statement.returning(WorkUnit.capability, WorkUnit.id)).all()
    for capability in {row[0] for row in rung}:
        units = [row[1] for row in rung if row[0] == capability]
        for unit_id in units[:8]:
            outbox.ring(session, capability, unit_id)
    return len(rung)


@dataclass(frozen=True, slots=True)
class ExpectedPicture:
    """What an attempt's upload must be; None for a size means that the scene's own counts."""

    upload_key: str
    format: str
    width: int | None
    height: int | None
    is_completed: bool


def expected_picture(session: Session, attempt_id: uuid.UUID, fence: int) -> ExpectedPicture | None:
    """What to check a result against; None when the attempt is not live (and did not complete)."""
    query = (
        select(Attempt.upload_key, Attempt.state, Job.settings)
        .join(WorkUnit, WorkUnit.id == Attempt.unit_id)
        .join(Job, Job.id == WorkUnit.job_id)
        .where(Attempt.id == attempt_id, Attempt.fence == fence, Attempt.state.in_(("live", "completed")))
    )
    row = session.execute(query).one_or_none()
    if row is None:
        return None
    settings = row[2]
    return ExpectedPicture(
        row[0], settings["output_format"], settings.get("width"), settings.get("height"), row[1] == "completed"
    )


def foreign(session: Session, node_id: uuid.UUID, attempt_ids: Sequence[uuid.UUID]) -> bool:
    """Whether one of these attempts was handed to somebody else."""
    query = select(Attempt.id).where(Attempt.id.in_(attempt_ids), Attempt.node_id.is_distinct_from(node_id))
    return session.scalar(query.limit(1)) is not None


def fail_paid_job(session: Session, job_id: uuid.UUID, code: str, message: str) -> None:
    """The provider itself says that it can't: refused for a job that is not paid or is over."""
    job = session.scalars(select(Job).where(Job.id == job_id).with_for_update()).one()
    if job.payment_state != PaymentState.CONFIRMED or job.state != JobState.OPEN:
        raise Conflict("this job is not under way", code="JOB_NOT_OPEN")
    fail_job(session, job_id, code, message)


def note_failure(session: Session, job_id: uuid.UUID, message: str) -> None:
    """An unsigned failure is only noted: anybody could have sent it."""
    statement = update(Job).where(Job.id == job_id, Job.state == JobState.OPEN, Job.failure_noted_at.is_(None))
    session.execute(statement.values(failure_note=message[:2000], failure_noted_at=clock.now()))


def end_noted_failures(session: Session, silence_seconds: int = 60) -> int:
    """End jobs whose unsigned failure was followed by no sign of life. Returns how many."""
    before = clock.now() - timedelta(seconds=silence_seconds)
    alive = (
        select(WorkUnit.id)
        .where(
            WorkUnit.job_id == Job.id,
            (WorkUnit.completed_at > Job.failure_noted_at) | WorkUnit.state.in_(HELD),
        )
        .exists()
    )
    query = select(Job.id, Job.failure_note).where(
        Job.state == JobState.OPEN, Job.failure_noted_at < before, Job.payment_state == PaymentState.CONFIRMED, ~alive
    )
    rows = session.execute(query.limit(100)).all()
    for job_id, note in rows:
        fail_job(session, job_id, "PROVIDER_FAILED", note or "the provider reported a failure")
    return len(rows)


def take_over(session: Session, job_id: uuid.UUID) -> dict[int, tuple[uuid.UUID, int]]:
    """Give every unfinished frame of a paid job to its provider's own software: {frame: (attempt, fence)}.

    Whatever a node of the provider still holds is lost by the fence; a job that is over is a Conflict.
    """
    job = session.scalars(select(Job).where(Job.id == job_id)).one()
    if job.payment_state != PaymentState.CONFIRMED or job.state != JobState.OPEN:
        raise Conflict("this job is not under way", code="JOB_NOT_OPEN")
    query = select(WorkUnit).where(WorkUnit.job_id == job_id, WorkUnit.state != UnitState.COMPLETED)
    taken: dict[int, tuple[uuid.UUID, int]] = {}
    for unit in session.scalars(query.order_by(WorkUnit.id).with_for_update()):
        if unit.attempt_id is not None:
            _end_attempts(session, [unit.attempt_id], "released")
        if unit.state != UnitState.QUEUED:
            unit.state = advance(UnitState(unit.state), UnitState.QUEUED)
        unit.state = advance(UnitState.QUEUED, UnitState.ASSIGNED)
        unit.fence, unit.attempt_id = unit.fence + 1, uuid.uuid4()
        unit.lease_until = clock.now() + timedelta(seconds=300)
        key = f"results/{job_id}/{unit.id}/{unit.fence}"
        session.add(Attempt(id=unit.attempt_id, unit_id=unit.id, fence=unit.fence, upload_key=key))
        taken[unit.frame or 0] = (unit.attempt_id, unit.fence)
    return taken
