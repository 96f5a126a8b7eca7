"""Dead letters: dispatched jobs that failed for good, kept for an operator who may have them tried again."""

import uuid
from typing import Any

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from app import outbox
from app.core import credit_holds, credits, doorbells, uploads
from app.errors import Conflict, NotFound
from app.models.jobs import DeadLetter, Job, WorkUnit
from app.values import clock
from app.values.money import Money
from app.values.states import JobState, PaymentState, UnitState, advance

_NOTE = text("""
INSERT INTO dead_letters (id, job_id, reason_code, error_message, attempts, created_at)
SELECT gen_random_uuid(), j.id, j.reason_code, j.error_message,
    (SELECT coalesce(sum(u.failures + u.losses), 0) FROM work_units u WHERE u.job_id = j.id), :now
FROM jobs j WHERE j.id = :job_id AND j.asset = 'CREDIT'
""")


def is_dispatched(job: Job) -> bool:
    """Whether a job is paid by a hold of its owner's credits, and so may be tried again by a new one."""
    return job.asset == credits.ASSET


def note(session: Session, job_id: uuid.UUID) -> None:
    """A job has failed just now: keep it, if it is a dispatched one."""
    session.flush()
    session.execute(_NOTE, {"job_id": job_id, "now": clock.now()})


def page(session: Session, is_replayed: bool | None, limit: int, offset: int = 0) -> list[dict[str, Any]]:
    """Dead letters, the newest first: those that wait, those that were replayed, or (None) both."""
    query = select(DeadLetter, Job).join(Job, Job.id == DeadLetter.job_id)
    if is_replayed is not None:
        query = query.where(DeadLetter.replayed_at.is_not(None) if is_replayed else DeadLetter.replayed_at.is_(None))
    query = query.order_by(DeadLetter.created_at.desc(), DeadLetter.id).limit(limit).offset(offset)
    return [_row(letter, job) for letter, job in session.execute(query)]


def _row(letter: DeadLetter, job: Job) -> dict[str, Any]:
    return {
        "id": str(letter.id),
        "job_id": str(job.id),
        "job_type": job.kind,
        "payload_ref": job.settings.get("payload_ref"),
        "account_id": str(job.account_id),
        "reason_code": letter.reason_code,
        "error_message": letter.error_message,
        "attempts": letter.attempts,
        "created_at": letter.created_at.isoformat(),
        "replayed_at": letter.replayed_at.isoformat() if letter.replayed_at else None,
    }


_TRIES = text("""
SELECT a.id, a.state, a.started_at, a.ended_at, a.error_code, a.error_message, a.node_id, n.name AS node
FROM attempts a JOIN work_units u ON u.id = a.unit_id LEFT JOIN nodes n ON n.id = a.node_id
WHERE u.job_id = :job_id ORDER BY a.started_at, a.id LIMIT 1000""")


def shown(session: Session, letter_id: uuid.UUID) -> dict[str, Any]:
    """One dead letter with its job's price, and every attempt at it (`tries`). NotFound for an unknown one."""
    query = select(DeadLetter, Job).join(Job, Job.id == DeadLetter.job_id).where(DeadLetter.id == letter_id)
    found = session.execute(query).one_or_none()
    if found is None:
        raise NotFound("Dead letter not found: see `lightyard dead-letters list --all`")
    letter, job = found
    tries = session.execute(_TRIES, {"job_id": job.id}).mappings()
    facts = {"price": str(Money(job.price_minor, job.asset)), "asset": job.asset, "state": job.state, "dialect": job.dialect}
    return _row(letter, job) | facts | {"tries": [_try(row) for row in tries]}


def _try(row: Any) -> dict[str, Any]:
    ids = {"id": str(row["id"]), "node_id": None if row["node_id"] is None else str(row["node_id"])}
    moments = {name: row[name].isoformat() if row[name] else None for name in ("started_at", "ended_at")}
    return ids | moments | {name: row[name] for name in ("state", "node", "error_code", "error_message")}


def replay(session: Session, letter_id: uuid.UUID) -> Job:
    """Try a dead letter's job again from the start, paid by a new hold of its owner's credits.

    NotFound for an unknown one, Conflict if it was replayed already or its file is gone, PaymentRequired if the owner can't pay.
    Any node may have it, those that failed before too: whatever it was, an operator has looked at it.
    """
    letter = session.scalars(select(DeadLetter).where(DeadLetter.id == letter_id)).one_or_none()
    if letter is None:
        raise NotFound("Dead letter not found")
    locked = select(Job).where(Job.id == letter.job_id).with_for_update().execution_options(populate_existing=True)
    job = session.scalars(locked).one()
    session.refresh(letter)
    if letter.replayed_at is not None or job.state != JobState.FAILED or job.account_id is None:
        raise Conflict("this dead letter was replayed already", code="ALREADY_REPLAYED")
    _assert_payload(session, job, job.account_id)
    credit_holds.hold(session, job.account_id, job.id, Money(job.price_minor, job.asset), f"Job execution again: {job.kind}")
    letter.replayed_at = now = clock.now()
    job.payment_state = advance(PaymentState(job.payment_state), PaymentState.CONFIRMED)
    job.state = advance(JobState(job.state), JobState.OPEN)
    job.reason_code = job.error_message = job.ended_at = job.started_at = None
    job.paid_at = now
    _queue_again(session, job)
    return job


def _assert_payload(session: Session, job: Job, account_id: uuid.UUID) -> None:
    """The file that its owner sent is kept from here on; Conflict when it is gone."""
    key = job.settings.get("payload_key")
    if key is None:
        return
    is_there = uploads.note_use(session, account_id, key)
    if not is_there and job.settings["payload_ref"].startswith(uploads.REFERENCE):
        raise Conflict("the file that this job worked on was deleted; its owner must send it again", code="PAYLOAD_GONE")


def _queue_again(session: Session, job: Job) -> None:
    """The failed units start over: neither their failures nor the nodes that met them count any more."""
    query = select(WorkUnit).where(WorkUnit.job_id == job.id, WorkUnit.state == UnitState.FAILED)
    units = list(session.scalars(query.order_by(WorkUnit.id).with_for_update()))
    for unit in units:
        unit.state = advance(UnitState(unit.state), UnitState.QUEUED)
        unit.attempt_id = unit.lease_until = unit.offered_node_id = None
        unit.failures = unit.losses = 0
        unit.blocked_nodes, unit.progress = [], 0.0
        unit.queued_at = unit.rung_at = clock.now()
    outbox.announce(session, "job:queued", job.id)
    doorbells.ring(session, job.kind, job.provider_id, [unit.id for unit in units])
