"""Jobs and their units: submit, queue, renew, read. The state column is the truth."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import bindparam, select, text
from sqlalchemy.dialects.postgresql import ARRAY, UUID, insert
from sqlalchemy.orm import Session

from app import outbox
from app.core import doorbells, inspections, pricing, task_billing, tasks
from app.errors import NotFound
from app.models.jobs import Attempt, Job, Scene, WorkUnit
from app.values import clock
from app.values.states import JobState, PaymentState, advance

RENEW = text("""
WITH live AS (
    SELECT u.id, r.progress, r.seconds, a.started_at FROM work_units u
    JOIN unnest(:attempts, CAST(:fences AS int[]), CAST(:progress AS float8[]), CAST(:seconds AS float8[]))
      AS r(attempt_id, fence, progress, seconds)
      ON u.attempt_id = r.attempt_id AND u.fence = r.fence
    JOIN attempts a ON a.id = r.attempt_id AND a.node_id = :node_id
    WHERE u.state IN ('assigned', 'rendering', 'uploaded') ORDER BY u.id FOR UPDATE OF u)
UPDATE work_units u SET progress = live.progress,
    lease_until = CASE WHEN u.kind <> 'inspection' OR u.provider_id IS NOT NULL THEN :lease_until
        ELSE least(CAST(:lease_until AS timestamptz), live.started_at + make_interval(secs => :look_seconds)) END,
    state = CASE WHEN u.kind = 'container' AND u.state = 'assigned' AND live.seconds <= 0 THEN u.state ELSE 'rendering' END
FROM live WHERE u.id = live.id RETURNING u.attempt_id, u.job_id, u.kind
""").bindparams(bindparam("attempts", type_=ARRAY(UUID(as_uuid=True))))


@dataclass(frozen=True, slots=True)
class Order:
    """What a dialect submits: `frames` are the units, in the order in which they are rendered."""

    dialect: str
    kind: str
    frames: tuple[int, ...]
    settings: Mapping[str, Any]
    quote: pricing.Quote
    scene_id: uuid.UUID
    provider_id: uuid.UUID | None
    client_wallet: str | None
    expires_at: datetime
    name: str = ""


def submit(session: Session, order: Order) -> Job:
    """Write the job down, unpaid. Its units are made when the payment is confirmed."""
    price = order.quote.price
    job = Job(
        id=uuid.uuid4(),
        dialect=order.dialect,
        kind=order.kind,
        name=order.name,
        client_wallet=order.client_wallet,
        provider_id=order.provider_id,
        scene_id=order.scene_id,
        payment_state=PaymentState.PENDING,
        settings={**order.settings, "frame_list": list(order.frames)},
        breakdown={
            name: str(getattr(order.quote, name))
            for name in ("base_price", "file_size_fee", "frame_fee", "render_fee", "platform_fee", "total")
        },
        price_minor=price.minor,
        asset=price.asset,
        units_total=len(order.frames),
        expires_at=order.expires_at,
    )
    session.add(job)
    session.flush()
    outbox.announce(session, "job:new", job.id)
    return job


def queue(session: Session, job: Job) -> None:
    """The job is paid: make its units, and ring their queue after the commit."""
    now = clock.now()
    job.payment_state = advance(PaymentState(job.payment_state), PaymentState.CONFIRMED)
    job.paid_at = now
    rows = [
        {
            "id": uuid.uuid4(),
            "job_id": job.id,
            "ordinal": ordinal,
            "kind": "frame",
            "frame": frame,
            "capability": job.kind,
            "provider_id": job.provider_id,
            "priority": job.priority,
            "state": "queued",
            "queued_at": now,
            "rung_at": now,
        }
        for ordinal, frame in enumerate(job.settings["frame_list"])
    ]
    session.execute(insert(WorkUnit), rows)
    doorbells.ring(session, job.kind, job.provider_id, [row["id"] for row in rows])


def renew(
    session: Session,
    node_id: uuid.UUID,
    reports: Sequence[tuple[uuid.UUID, int, float]],
    lease_seconds: int,
    seconds: Mapping[uuid.UUID, float] | None = None,
) -> set[uuid.UUID]:
    """Renew the leases of a node's (attempt, fence, progress); returns those of its own attempts that are still live.

    `seconds`, by attempt, is for how long each has run: a compute task that is cut short is paid by that. One that has run for 0
    is only fetching its image, say: it is kept, and has not begun.
    """
    ran = seconds or {}
    rows = session.execute(
        RENEW,
        {
            "node_id": node_id,
            "lease_until": clock.now() + timedelta(seconds=lease_seconds),
            "look_seconds": inspections.HELD_SECONDS,
            "attempts": [report[0] for report in reports],
            "fences": [report[1] for report in reports],
            "progress": [report[2] for report in reports],
            "seconds": [ran.get(report[0], 0.0) for report in reports],
        },
    ).all()
    for attempt_id in (row[0] for row in rows if row[2] == tasks.UNIT_KIND and ran.get(row[0], 0.0) > 0):
        task_billing.note_seconds(session, attempt_id, ran[attempt_id])
    for job_id in {row[1] for row in rows}:
        outbox.announce(session, "job:progress", job_id)
    return {row[0] for row in rows}


def live_among(session: Session, node_id: uuid.UUID, attempt_ids: Sequence[uuid.UUID]) -> set[uuid.UUID]:
    """Which of these attempts are this node's and live now."""
    query = select(WorkUnit.attempt_id).join(Attempt, Attempt.id == WorkUnit.attempt_id).where(
        WorkUnit.attempt_id.in_(attempt_ids),
        Attempt.node_id == node_id,
        WorkUnit.state.in_(("assigned", "rendering", "uploaded")),
    )
    return {found for found in session.scalars(query) if found is not None}


def get(session: Session, job_id: uuid.UUID) -> Job:
    job = session.get(Job, job_id)
    if job is None:
        raise NotFound("Job not found")
    return job


def lock(session: Session, job_id: uuid.UUID) -> Job:
    """The job, locked until the unit of work ends, as it is now."""
    query = select(Job).where(Job.id == job_id).with_for_update()
    return session.scalars(query.execution_options(populate_existing=True)).one()


def find_scene(session: Session, job: Job) -> Scene | None:
    """The job's scene; None for one that has none, or whose scene lies elsewhere."""
    return session.get(Scene, job.scene_id) if job.scene_id else None


def scene_of(session: Session, job: Job) -> Scene:
    return session.scalars(select(Scene).where(Scene.id == job.scene_id)).one()


def units_of(session: Session, job_id: uuid.UUID) -> list[WorkUnit]:
    """The units a job is paid for, in order (its inspection is none)."""
    query = select(WorkUnit).where(WorkUnit.job_id == job_id, WorkUnit.ordinal >= 0)
    return list(session.scalars(query.order_by(WorkUnit.ordinal)))


def is_over(job: Job) -> bool:
    return job.state in (JobState.COMPLETED, JobState.FAILED, JobState.CANCELLED)
