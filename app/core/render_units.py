"""The units of a render: made parked, fed to the queue as far as its window and its money reach, parked again at a pause.

A unit that is parked is in nobody's reach. One mechanism so serves a cap on spending, a pause, the share of the nodes that a job
may have, and fairness between jobs: ten thousand frames never stand in the queue at once.
"""

import uuid
from collections.abc import Sequence

from sqlalchemy import func, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from app.core import doorbells
from app.models.jobs import Job, WorkUnit
from app.models.render_orders import RenderOrder
from app.values import clock
from app.values.render_prices import frame_share, may_begin
from app.values.states import HELD, JobState, PaymentState, UnitState

_FEED = text("""
UPDATE work_units SET is_parked = false, queued_at = :now, rung_at = :now, priority = :priority
WHERE id IN (SELECT id FROM work_units WHERE job_id = :job_id AND state = 'queued' AND is_parked ORDER BY ordinal LIMIT :count)
RETURNING id, capability
""")


def make(session: Session, job: Job, units: Sequence[dict[str, object]]) -> None:
    """Write a job's units down, parked, in the order in which they are to be done; each says its `kind`, `frame` and `tile`."""
    now = clock.now()
    rows = [
        {
            "id": uuid.uuid4(),
            "job_id": job.id,
            "ordinal": ordinal,
            "capability": job.kind,
            "priority": job.priority,
            "state": UnitState.QUEUED,
            "is_parked": True,
            "queued_at": now,
        }
        | unit
        for ordinal, unit in enumerate(units)
    ]
    session.execute(insert(WorkUnit), rows)


def feed(session: Session, job: Job, order: RenderOrder) -> int:
    """Hand out what may be handed out now, and ring for it; the job is locked by the caller. Returns how many units."""
    if job.state != JobState.OPEN or job.payment_state != PaymentState.CONFIRMED:
        return 0
    session.flush()
    out = units_out(session, job.id)
    share = frame_share(order.bound_minor, job.units_total)
    room = min(order.window_units - out, may_begin(order.limit_minor, order.charged_minor, share, out))
    if room <= 0:
        return 0
    values = {"job_id": job.id, "count": room, "now": clock.now(), "priority": job.priority}
    rows = session.execute(_FEED, values).all()
    if rows:
        doorbells.ring(session, rows[0][1], None, [row[0] for row in rows])
    return len(rows)


def units_out(session: Session, job_id: uuid.UUID) -> int:
    """How many units of a job are queued for nodes, or with them."""
    is_out = (WorkUnit.state == UnitState.QUEUED) & ~WorkUnit.is_parked | WorkUnit.state.in_(HELD)
    query = select(func.count()).where(WorkUnit.job_id == job_id, WorkUnit.ordinal >= 0, is_out)
    return session.scalar(query) or 0


def park(session: Session, job_id: uuid.UUID) -> None:
    """Take back what no node has yet."""
    waiting = (WorkUnit.job_id == job_id, WorkUnit.ordinal >= 0, WorkUnit.state == UnitState.QUEUED, ~WorkUnit.is_parked)
    locked = select(WorkUnit.id).where(*waiting).order_by(WorkUnit.id).with_for_update()
    ids = list(session.scalars(locked))
    session.execute(update(WorkUnit).where(WorkUnit.id.in_(ids)).values(is_parked=True, rung_at=None))
