"""How attempts, units and jobs end otherwise than well: failed, released, or their lease lost."""

import uuid
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any, TypeVar

import structlog
from sqlalchemy import ColumnElement, func, select, update
from sqlalchemy.orm import Session

from app import counts, outbox
from app.core import (
    attempts,
    credit_holds,
    dead_letters,
    doorbells,
    inspections,
    nodes,
    render_billing,
    render_blocks,
    scene_timings,
    settlement,
    task_billing,
    task_ends,
    task_marks,
    tasks,
)
from app.core.task_ends import Exit
from app.db import after_commit
from app.models.jobs import Attempt, Job, WorkUnit
from app.models.nodes import Node
from app.values import clock
from app.values.reputation import Outcome
from app.values.states import HELD, AttemptState, JobState, PaymentState, UnitState, advance

log = structlog.get_logger()
K = TypeVar("K")
BACK_OFF_LIMIT_SECONDS = 3600
# What a node says of the work itself does not count against the node.
WORKS_OWN_FAULTS = inspections.SCENE_FAULTS | {
    "PAYLOAD_INVALID", "INFERENCE_REFUSED", "TILES_UNSUPPORTED", "ENGINE_UNSUPPORTED", "PICTURE_LIMIT", "OUTPUT_LIMIT",
}  # fmt: skip
RENDERS_OWN_FAULTS = WORKS_OWN_FAULTS | {"TIME_LIMIT"}  # whose limit is what was quoted for it


def lock_jobs(session: Session, attempt_ids: Collection[uuid.UUID]) -> None:
    """Lock the jobs of these attempts, in the order of their ids, before any unit of theirs is locked.

    Whoever changes units by attempt or by job takes the job first: completing and ending a job never wait in a ring.
    """
    owned = select(WorkUnit.job_id).where(WorkUnit.attempt_id.in_(attempt_ids))
    session.execute(select(Job.id).where(Job.id.in_(owned)).order_by(Job.id).with_for_update())


def lock_live(session: Session, pairs: Collection[tuple[uuid.UUID, int]]) -> dict[uuid.UUID, WorkUnit]:
    """The units of those (attempt, fence) that are live, locked in the order of their ids, by attempt."""
    if not pairs:
        return {}
    fences = dict(pairs)
    lock_jobs(session, fences)
    query = select(WorkUnit).where(WorkUnit.attempt_id.in_(fences), WorkUnit.state.in_(HELD)).order_by(WorkUnit.id)
    units = session.scalars(query.with_for_update().execution_options(populate_existing=True))
    return {unit.attempt_id: unit for unit in units if unit.attempt_id and fences[unit.attempt_id] == unit.fence}


def end_attempts(session: Session, attempt_ids: Collection[uuid.UUID], state: AttemptState, **values: Any) -> None:
    statement = update(Attempt).where(Attempt.id.in_(attempt_ids), Attempt.state == AttemptState.LIVE)
    ended = session.execute(statement.values(state=state, ended_at=clock.now(), **values).returning(Attempt.id)).all()
    if ended:
        after_commit(session, lambda: counts.add("attempts", state.value, amount=len(ended)))


def _forgive(session: Session, attempt_ids: Collection[uuid.UUID]) -> None:
    """A success ends a node's row of failures."""
    workers = select(Attempt.node_id).where(Attempt.id.in_(attempt_ids))
    statement = update(Node).where(Node.id.in_(workers), Node.failures_in_a_row > 0)
    session.execute(statement.values(failures_in_a_row=0, unhealthy_until=None))


def fail(
    session: Session,
    attempt_id: uuid.UUID,
    fence: int,
    code: str,
    message: str,
    limits: tuple[int, int],
    exited: Exit | None = None,
) -> str | None:
    """A failure was reported: the unit is kept away from that node, and after too many of them the job fails; a task whose
    container `exited`, or whose time is up, is over at once. `limits` are (failures, attempts in all). Returns the unit's new
    state, or None if the attempt was not live."""
    unit = lock_live(session, [(attempt_id, fence)]).get(attempt_id)
    if unit is None:
        return None
    end = task_ends.of_failure(session, unit, attempt_id, code, message, exited) if unit.kind == tasks.UNIT_KIND else None
    code, message = (end.reason, end.message) if end is not None else (code, message)
    attempts.tell_ended(session, unit, AttemptState.FAILED, code[:64])
    end_attempts(session, [attempt_id], AttemptState.FAILED, error_code=code[:64], error_message=message[:2000])
    if end is not None:
        fail_job(session, unit.job_id, code, message)
        session.refresh(unit)
        return unit.state
    node_id = session.scalar(select(Attempt.node_id).where(Attempt.id == attempt_id))
    unit.failures += 1
    if node_id is not None:
        unit.blocked_nodes = [*unit.blocked_nodes, node_id]
        is_render = _is_render(session, unit)
        of_work = RENDERS_OWN_FAULTS if is_render else WORKS_OWN_FAULTS
        if code not in (task_marks.TASKS_OWN_FAULTS if unit.kind == tasks.UNIT_KIND else of_work):
            nodes.count_failure(session, node_id)
        if is_render:
            render_blocks.note_failure(session, unit.job_id, node_id, code[:64])
    if unit.kind == tasks.UNIT_KIND:
        task_marks.note_failure(session, attempt_id, code)
    _return_unit(session, unit, code, message, limits, _back_off_seconds(session, unit))
    return unit.state


def _is_render(session: Session, unit: WorkUnit) -> bool:
    """Whether it is a unit that a render is paid for."""
    return unit.kind != inspections.KIND and render_billing.is_render(session.get_one(Job, unit.job_id))


def _back_off_seconds(session: Session, unit: WorkUnit) -> int:
    """A dispatched job is tried again after 2, 4, 8 … seconds; a job of a provider's own nodes at once."""
    job = session.get_one(Job, unit.job_id)
    return min(2**unit.failures, BACK_OFF_LIMIT_SECONDS) if dead_letters.is_dispatched(job) else 0


def _return_unit(
    session: Session, unit: WorkUnit, code: str, message: str, limits: tuple[int, int], after_seconds: int = 0
) -> None:
    if unit.kind == inspections.KIND:
        _return_inspection(session, unit, code, message, limits)
        return
    if unit.failures >= limits[0] or unit.failures + unit.losses >= limits[1]:
        unit.state = advance(UnitState(unit.state), UnitState.FAILED)
        unit.lease_until = None
        session.flush()
        fail_job(session, unit.job_id, code, f"{message}{_tries(session, unit)}")
        return
    _requeue(session, unit, after_seconds)


def _tries(session: Session, unit: WorkUnit) -> str:
    """That a render did not end for want of trying."""
    if not _is_render(session, unit):
        return ""
    nodes = session.scalar(select(func.count(Attempt.node_id.distinct())).where(Attempt.unit_id == unit.id))
    return f" (tried {unit.failures + unit.losses} times, on {nodes} node{'' if nodes == 1 else 's'})"


def _return_inspection(session: Session, unit: WorkUnit, code: str, message: str, limits: tuple[int, int]) -> None:
    """A failed inspection warns; it never ends a job, and a scene's own fault needs no second opinion in a quote."""
    is_worth_it = code not in inspections.SCENE_FAULTS or inspections.needs_opinion(unit, code)
    if is_worth_it and unit.failures < limits[0] and unit.failures + unit.losses < limits[1]:
        _requeue(session, unit)
        return
    unit.state = advance(UnitState(unit.state), UnitState.FAILED)
    unit.lease_until = None
    inspections.note(session, unit, {"error": {"code": code, "message": message}})


def inspected(session: Session, attempt_id: uuid.UUID, fence: int, seconds: float, report: Mapping[str, Any]) -> bool:
    """A node opened the scene: keep its report. False if the attempt was not live."""
    unit = lock_live(session, [(attempt_id, fence)]).get(attempt_id)
    if unit is None or unit.kind != inspections.KIND:
        return False
    unit.state = advance(advance(UnitState(unit.state), UnitState.UPLOADED), UnitState.COMPLETED)
    unit.seconds, unit.progress, unit.completed_at, unit.lease_until = seconds, 1.0, clock.now(), None
    attempts.tell_ended(session, unit, AttemptState.COMPLETED)
    end_attempts(session, [attempt_id], AttemptState.COMPLETED)
    _forgive(session, [attempt_id])
    inspections.note(session, unit, inspections.told(report))
    return True


def cancel_unpaid(session: Session, job_id: uuid.UUID, code: str, message: str) -> None:
    """Withdraw a quote. What is paid for it all the same is booked as owed back."""
    _end_job(session, job_id, JobState.CANCELLED, code, message)


def _requeue(session: Session, unit: WorkUnit, after_seconds: int = 0) -> None:
    """Back into the queue, ready at once or after a while (a sweep rings for it then)."""
    unit.state = advance(UnitState(unit.state), UnitState.QUEUED)
    unit.attempt_id = unit.lease_until = None
    if _is_render(session, unit):
        render_blocks.keep_away(session, unit)
    if session.get_one(Job, unit.job_id).state == JobState.PAUSED:
        unit.is_parked, unit.rung_at = True, None
        return
    unit.rung_at = clock.now()
    if unit.kind == tasks.UNIT_KIND:
        outbox.tell_followers(session, unit.job_id)
    if after_seconds:
        unit.queued_at = clock.now() + timedelta(seconds=after_seconds)
        return
    doorbells.ring(session, unit.capability, unit.provider_id, [unit.id])


def release(session: Session, attempt_id: uuid.UUID, fence: int) -> bool:
    """A node gives a unit back unharmed; nothing is counted against anybody."""
    unit = lock_live(session, [(attempt_id, fence)]).get(attempt_id)
    if unit is None:
        return False
    attempts.tell_ended(session, unit, AttemptState.RELEASED)
    end_attempts(session, [attempt_id], AttemptState.RELEASED)
    _requeue(session, unit)
    return True


def expire_leases(session: Session, limits: tuple[int, int], batch: int = 200, most_seconds: int = 0) -> int:
    """Take back units whose lease ran out: a lost lease is not a failure. Returns how many.

    With `most_seconds`, those that a node has had for longer than that, too, whatever it says of them: one that hangs, or lies,
    does not keep a job for ever. Each job is a savepoint of its own: one that cannot be taken care of keeps no other waiting.
    """
    ran_out = WorkUnit.lease_until < clock.now()
    if most_seconds:
        began = (Attempt.started_at < clock.now() - timedelta(seconds=most_seconds), Attempt.node_id.is_not(None))
        had = select(Attempt.id).where(Attempt.id == WorkUnit.attempt_id, *began).exists()
        ran_out = ran_out | (WorkUnit.kind != tasks.UNIT_KIND) & had
    expired = (WorkUnit.state.in_(HELD), ran_out)
    jobs = select(WorkUnit.job_id).where(*expired).limit(batch)
    mine = select(Job.id).where(Job.id.in_(jobs)).order_by(Job.id).with_for_update(skip_locked=True)
    return sum(_each(session, list(session.scalars(mine)), lambda job_id: _expire(session, job_id, limits, expired)))


def _expire(session: Session, job_id: uuid.UUID, limits: tuple[int, int], expired: Sequence[ColumnElement[bool]]) -> int:
    query = select(WorkUnit).where(WorkUnit.job_id == job_id, *expired)
    units = list(session.scalars(query.order_by(WorkUnit.id).with_for_update().execution_options(populate_existing=True)))
    silent = [unit.attempt_id for unit in units if unit.attempt_id is not None and _is_render(session, unit)]
    if silent:
        render_blocks.note_silence(session, job_id, silent)
    for unit in units:
        session.refresh(unit)
        if unit.state not in HELD:
            continue  # its job failed through another unit of this very batch
        if unit.attempt_id is not None:
            attempts.tell_ended(session, unit, AttemptState.LOST)
            end_attempts(session, [unit.attempt_id], AttemptState.LOST)
            if unit.kind == tasks.UNIT_KIND:
                task_marks.note(session, unit.attempt_id, Outcome.LATE if unit.state == UnitState.ASSIGNED else Outcome.LOST)
        unit.losses += 1
        _return_unit(session, unit, "LEASE_LOST", "the node stopped reporting", limits)
    session.flush()
    return len(units)


def _each(session: Session, keys: Iterable[K], act: Callable[[K], int]) -> Iterator[int]:
    """`act` on each key in a savepoint; what fails is undone alone, logged, and tried again by the next sweep."""
    for key in keys:
        try:
            with session.begin_nested():
                done = act(key)
        except Exception:  # noqa: BLE001  one poisoned row must not stop a sweep for everybody
            log.exception("sweep.skipped", key=str(key))
        else:
            yield done


def end_each(session: Session, job_ids: Iterable[uuid.UUID], end: Callable[[uuid.UUID], int]) -> int:
    """End each of these jobs by `end`, in a savepoint of its own; what fails is left to the next sweep. Returns how many."""
    return sum(_each(session, job_ids, end))


def fail_job(session: Session, job_id: uuid.UUID, code: str, message: str) -> None:
    """End a job as failed: finished frames are kept and charged, the rest is refunded. A dispatched one leaves a dead letter."""
    if _end_job(session, job_id, JobState.FAILED, code, message):
        dead_letters.note(session, job_id)
    outbox.announce(session, "job:failed", job_id)


def cancel(session: Session, job: Job, code: str, message: str) -> None:
    """End a job, locked by the caller, because its owner wants so: what nodes do for it now is lost by its state."""
    if _end_job(session, job.id, JobState.CANCELLED, code, message):
        scene_timings.note_early(session, job)
    outbox.announce(session, "job:cancelled", job.id)


def _end_job(session: Session, job_id: uuid.UUID, state: JobState, code: str, message: str) -> bool:
    """Whether this call ended it: it was open until now."""
    job = session.scalars(
        select(Job).where(Job.id == job_id).with_for_update().execution_options(populate_existing=True)
    ).one()
    if job.state not in (JobState.OPEN, JobState.PAUSED):
        return False
    job.state = advance(JobState(job.state), state)
    job.reason_code, job.error_message, job.ended_at = code[:64], message[:2000], clock.now()
    if job.payment_state == PaymentState.PENDING and job.scene_id is not None and not render_billing.is_render(job):
        outbox.write(session, "scenes.delete", str(job.scene_id))
    pending = (WorkUnit.job_id == job_id, WorkUnit.state.in_((UnitState.QUEUED, *HELD)))
    locked = session.execute(
        select(WorkUnit.id, WorkUnit.attempt_id).where(*pending).order_by(WorkUnit.id).with_for_update()
    ).all()
    end_attempts(session, [row[1] for row in locked if row[1] is not None], AttemptState.CANCELLED)
    if task_billing.is_task(job):
        task_billing.settle_early(session, job)  # by what its unit says, before that is cancelled
    is_replayable = state == JobState.FAILED and dead_letters.is_dispatched(job)  # a replay starts the failed units over
    session.execute(
        update(WorkUnit).where(WorkUnit.id.in_([row[0] for row in locked])).values(
            state=UnitState.FAILED if is_replayable else UnitState.CANCELLED, lease_until=None, offered_node_id=None
        )
    )
    done = session.scalar(
        select(func.count()).where(
            WorkUnit.job_id == job_id, WorkUnit.ordinal >= 0, WorkUnit.state == UnitState.COMPLETED
        )
    )
    if dead_letters.is_dispatched(job):
        _release_hold(session, job, message)
    elif render_billing.is_render(job):
        render_billing.finish(session, job)
    elif not task_billing.is_task(job):
        settlement.refund_unfinished(session, job, int(done or 0))
    return True


def _release_hold(session: Session, job: Job, reason: str) -> None:
    """A dispatched job is one unit: what was held for it goes back whole."""
    credit_holds.release(session, job.id, reason)
    job.payment_state = advance(PaymentState(job.payment_state), PaymentState.REFUNDED)


def foreign(session: Session, node_id: uuid.UUID, attempt_ids: Sequence[uuid.UUID]) -> bool:
    """Whether one of these attempts was handed to somebody else."""
    query = select(Attempt.id).where(Attempt.id.in_(attempt_ids), Attempt.node_id.is_distinct_from(node_id))
    return session.scalar(query.limit(1)) is not None
