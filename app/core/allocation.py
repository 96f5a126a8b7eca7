"""Which part of the nodes each render may have: by its owner's reputation, its scene's size and the nodes that are free.

Reputation is of those who order: it comes from jobs that were paid, failed by their own fault, or were called off. It is looked
at when a job is ordered, the nodes are looked at again while it is under way.
"""

import uuid
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from app.core import estimates, render_nodes, render_units
from app.core.render_nodes import Availability
from app.models.jobs import Job, WorkUnit
from app.models.render_orders import RenderOrder
from app.values import clock, reputation
from app.values.allocation import Allocation, Basis, allocate
from app.values.states import JobState, PaymentState, UnitState

JOBS_LOOKED_AT = 200  # the newest that have ended
UNPAID_AFTER_HOURS = 24  # a finished render that is to be paid later counts as not paid
OWN_FAULTS = ("SCENE_UNREADABLE", "SCENE_TOO_NEW", "NO_CAMERA", "NO_SUCH_FRAME", "PAYLOAD_INVALID", "INFERENCE_REFUSED")
_UNDER_WAY = (Job.state == JobState.OPEN, Job.payment_state == PaymentState.CONFIRMED)

_RECORD = text(f"""
WITH ended AS (
    SELECT j.state, j.reason_code, j.ended_at, j.paid_at,
        CASE WHEN o.job_id IS NULL THEN j.state = 'completed' AND j.payment_state = 'confirmed' AND j.price_minor > 0
            ELSE o.charged_minor > 0 AND o.settled_at IS NOT NULL END AS is_paid,
        coalesce(o.charged_minor > 0 AND o.settled_at IS NULL AND j.ended_at < :unpaid_before, false) AS is_owed
    FROM jobs j LEFT JOIN render_orders o ON o.job_id = j.id
    WHERE j.account_id = :account_id AND j.state IN ('completed', 'failed', 'cancelled')
    ORDER BY j.created_at DESC LIMIT {JOBS_LOOKED_AT})
SELECT count(*) FILTER (WHERE is_paid) AS paid,
    count(*) FILTER (WHERE is_owed) AS owed,
    count(*) FILTER (WHERE state = 'failed' AND reason_code = ANY(:own_faults)) AS failed,
    count(*) FILTER (WHERE state = 'cancelled' AND paid_at IS NOT NULL) AS cancelled,
    count(DISTINCT (ended_at AT TIME ZONE 'UTC')::date) FILTER (WHERE is_paid) AS days
FROM ended
""")
# Which nodes work for a job, and how much of it stands in the queue.
_OWN = text("""
SELECT (SELECT count(DISTINCT a.node_id) FROM attempts a JOIN work_units u ON u.id = a.unit_id
        WHERE a.state = 'live' AND u.job_id = :job_id) AS nodes,
    (SELECT count(*) FROM work_units u WHERE u.job_id = :job_id AND u.state = 'queued' AND NOT u.is_parked) AS queued
""")


@dataclass(frozen=True, slots=True)
class Record:
    """How an account's newest jobs ended: `paid` ones, those still `owed`, `failed` by their own fault, `cancelled` once they
    were under way; on how many `days` any was paid."""

    paid: int
    owed: int
    failed: int
    cancelled: int
    days: int

    @property
    def reputation(self) -> float:
        """0 to 1; a newcomer's is 0, and nobody's is less: what a new identity has, the old one has at least."""
        bad = 2.0 * self.owed + 0.5 * self.failed + 0.25 * self.cancelled
        return reputation.score(float(self.paid), bad, self.days)


def record_of(session: Session, account_id: uuid.UUID) -> Record:
    """An account's, over all that it ordered through any dialect."""
    before = clock.now() - timedelta(hours=UNPAID_AFTER_HOURS)
    values = {"account_id": account_id, "unpaid_before": before, "own_faults": list(OWN_FAULTS)}
    return Record(*session.execute(_RECORD, values).one())


def for_order(
    session: Session, account_id: uuid.UUID, there: Availability, report: Mapping[str, Any] | None, frame_seconds: float
) -> Allocation:
    """What a new job of this account may have. `there` is who could render its scene now, `report` what is known of that."""
    score = record_of(session, account_id).reputation
    basis = Basis(score, there.nodes, there.free, estimates.memory_bytes(report), frame_seconds, waiting=there.queued)
    return allocate(basis)


def waiting(session: Session, most: int = 200) -> list[uuid.UUID]:
    """Renders under way that have units waiting, some of them where there are many."""
    waits = select(WorkUnit.id).where(WorkUnit.job_id == Job.id, WorkUnit.state == UnitState.QUEUED, WorkUnit.is_parked).exists()
    query = select(Job.id).join(RenderOrder, RenderOrder.job_id == Job.id).where(*_UNDER_WAY, waits)
    return list(session.scalars(query.order_by(func.random()).limit(most)))


def look_again(session: Session, terms: render_nodes.Terms, job_ids: Collection[uuid.UUID]) -> int:
    """Nodes came or went, frames take longer or less than expected: give these renders their new part, and hand out what it has
    room for. Those that others work on now are passed over. Returns how many have another part."""
    query = select(Job).where(Job.id.in_(job_ids), *_UNDER_WAY).order_by(Job.id).with_for_update(skip_locked=True)
    there: dict[tuple[int, str, str | None], dict[str, Availability]] = {}
    changed = 0
    for job in session.scalars(query.execution_options(populate_existing=True)).all():
        order = session.get_one(RenderOrder, job.id, populate_existing=True)
        needs = int(order.allocation.get("scene_memory_bytes", 0)), job.kind, job.settings.get("engine")
        if needs not in there:
            there[needs] = render_nodes.availability(session, terms, *needs)
        changed += _give(session, job, order, there[needs][job.tier])
    return changed


def _give(session: Session, job: Job, order: RenderOrder, there: Availability) -> bool:
    words = order.allocation
    own, queued = session.execute(_OWN, {"job_id": job.id}).one()
    basis = Basis(
        reputation=float(words.get("reputation", 0.0)),
        nodes=there.nodes,
        free=there.free,
        memory_bytes=int(words.get("scene_memory_bytes", 0)),
        frame_seconds=_frame_seconds(job, float(words.get("frame_seconds", 1.0))),
        own=own,
        waiting=max(0, there.queued - queued),
    )
    found = allocate(basis)
    if found.units_at_once == order.window_units:
        if own == queued == 0:
            render_units.feed(session, job, order)  # nobody else would: nothing of it is to be finished
        return False
    order.window_units, order.allocation = found.units_at_once, dict(found.words)
    render_units.feed(session, job, order)
    return True


def _frame_seconds(job: Job, expected: float) -> float:
    """What a frame takes as its nodes say, but never longer than the job has been going."""
    if job.units_completed == 0 or job.started_at is None:
        return expected
    return min(job.render_seconds / job.units_completed, (clock.now() - job.started_at).total_seconds())
