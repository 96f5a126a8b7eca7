"""Jobs and their units: submit, queue, claim, renew, complete, fail. The state column is the truth."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import bindparam, select, text, update
from sqlalchemy.dialects.postgresql import ARRAY, UUID, insert
from sqlalchemy.orm import Session

from app import outbox
from app.core import pricing
from app.errors import NotFound
from app.models.jobs import Attempt, Job, Scene, WorkUnit
from app.models.nodes import Node
from app.values import clock
from app.values.states import JobState, PaymentState, advance

CLAIM = text("""
WITH picked AS (
    SELECT u.id FROM work_units u
    WHERE u.state = 'queued' AND u.capability = :capability
      AND (u.provider_id = :provider_id OR (u.provider_id IS NULL AND :is_trusted))
      AND (CAST(:job_id AS uuid) IS NULL OR u.job_id = :job_id)
      AND (NOT (:node_id = ANY(u.blocked_nodes)) OR NOT EXISTS (
            SELECT 1 FROM nodes n WHERE n.id <> ALL(u.blocked_nodes) AND n.last_heartbeat_at > :alive_since
            AND NOT n.is_draining AND (n.unhealthy_until IS NULL OR n.unhealthy_until < :now)
            AND u.capability = ANY(n.capabilities)
            AND (n.provider_id = u.provider_id OR (u.provider_id IS NULL AND n.is_trusted))))
    ORDER BY u.priority DESC, u.queued_at, u.job_id, u.ordinal
    LIMIT :limit FOR UPDATE OF u SKIP LOCKED)
UPDATE work_units u SET state = 'assigned', fence = u.fence + 1, attempt_id = gen_random_uuid(),
    lease_until = :lease_until, progress = 0
FROM picked WHERE u.id = picked.id
RETURNING u.id, u.attempt_id, u.fence, u.job_id, u.kind, u.frame, u.ordinal
""").bindparams(bindparam("node_id", type_=UUID(as_uuid=True)))

RENEW = text("""
UPDATE work_units u SET lease_until = :lease_until, state = 'rendering', progress = r.progress
FROM unnest(:attempts, CAST(:fences AS int[]), CAST(:progress AS float8[])) AS r(attempt_id, fence, progress)
WHERE u.attempt_id = r.attempt_id AND u.fence = r.fence AND u.state IN ('assigned', 'rendering', 'uploaded')
RETURNING u.attempt_id, u.job_id
""").bindparams(bindparam("attempts", type_=ARRAY(UUID(as_uuid=True))))


@dataclass(frozen=True, slots=True)
class Claim:
    """One unit handed to one node: `fence` and the lease decide whose result counts."""

    unit_id: uuid.UUID
    attempt_id: uuid.UUID
    fence: int
    job_id: uuid.UUID
    kind: str
    frame: int | None
    upload_key: str


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
    for row in rows[:8]:  # a node keeps claiming until nothing fits: a few rings wake enough of them
        outbox.ring(session, str(job.kind), row["id"])


def claim(session: Session, node: Node, ask: Mapping[str, Any], lease_seconds: int, silence_seconds: int) -> list[Claim]:
    """Hand out up to `ask["limit"]` units that fit this node, best first, each with a fence and a lease.

    One UPDATE … SKIP LOCKED per capability, so that any number of nodes claim side by side without waiting.
    """
    now = clock.now()
    base = {
        "provider_id": node.provider_id,
        "is_trusted": node.is_trusted or node.provider_id is None,
        "node_id": node.id,
        "now": now,
        "alive_since": now - timedelta(seconds=silence_seconds),
        "lease_until": now + timedelta(seconds=lease_seconds),
    }
    rows: list[Any] = []
    wanted = [name for name in ask["capabilities"] if name in node.capabilities]
    for job_id in dict.fromkeys((ask.get("job_id"), None)):
        for capability in wanted:
            left = ask["limit"] - len(rows)
            if left > 0:
                found = base | {"capability": capability, "limit": left, "job_id": job_id}
                rows += session.execute(CLAIM, found).all()
    claims = [
        Claim(row[0], row[1], row[2], row[3], row[4], row[5], f"results/{row[3]}/{row[0]}/{row[2]}")
        for row in sorted(rows, key=lambda row: (str(row[3]), row[6]))
    ]
    if claims:
        session.execute(insert(Attempt), [_attempt_row(claim, node.id, now) for claim in claims])
        _note_start(session, {claim.job_id for claim in claims}, now)
    return claims


def _attempt_row(claim: Claim, node_id: uuid.UUID, now: datetime) -> dict[str, Any]:
    return {
        "id": claim.attempt_id,
        "unit_id": claim.unit_id,
        "node_id": node_id,
        "fence": claim.fence,
        "state": "live",
        "upload_key": claim.upload_key,
        "started_at": now,
    }


def _note_start(session: Session, job_ids: set[uuid.UUID], now: datetime) -> None:
    statement = update(Job).where(Job.id.in_(job_ids), Job.started_at.is_(None)).values(started_at=now)
    for job_id in session.scalars(statement.returning(Job.id)):
        outbox.announce(session, "job:started", job_id)


def renew(session: Session, reports: Sequence[tuple[uuid.UUID, int, float]], lease_seconds: int) -> set[uuid.UUID]:
    """Renew the leases of (attempt, fence, progress); returns the attempts that are still live."""
    rows = session.execute(
        RENEW,
        {
            "lease_until": clock.now() + timedelta(seconds=lease_seconds),
            "attempts": [report[0] for report in reports],
            "fences": [report[1] for report in reports],
            "progress": [report[2] for report in reports],
        },
    ).all()
    for job_id in {row[1] for row in rows}:
        outbox.announce(session, "job:progress", job_id)
    return {row[0] for row in rows}


def live_among(session: Session, attempt_ids: Sequence[uuid.UUID]) -> set[uuid.UUID]:
    """Which of these attempts are live now."""
    query = select(WorkUnit.attempt_id).where(
        WorkUnit.attempt_id.in_(attempt_ids), WorkUnit.state.in_(("assigned", "rendering", "uploaded"))
    )
    return {found for found in session.scalars(query) if found is not None}


def get(session: Session, job_id: uuid.UUID) -> Job:
    job = session.get(Job, job_id)
    if job is None:
        raise NotFound("Job not found")
    return job


def scene_of(session: Session, job: Job) -> Scene:
    return session.scalars(select(Scene).where(Scene.id == job.scene_id)).one()


def units_of(session: Session, job_id: uuid.UUID) -> list[WorkUnit]:
    """All units of a job in order."""
    return list(session.scalars(select(WorkUnit).where(WorkUnit.job_id == job_id).order_by(WorkUnit.ordinal)))


def is_over(job: Job) -> bool:
    return job.state in (JobState.COMPLETED, JobState.FAILED, JobState.CANCELLED)
