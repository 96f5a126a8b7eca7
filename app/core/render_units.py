"""The units of a render: made parked, fed to the queue as far as its window and its money reach, parked again at a pause.

A unit that is parked is in nobody's reach. One mechanism so serves a cap on spending, a pause, the share of the nodes that a job
may have, and fairness between jobs: ten thousand frames never stand in the queue at once.
"""

import uuid
from collections.abc import Mapping
from typing import Any

from sqlalchemy import func, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from app.core import doorbells, render_blocks
from app.models.jobs import Job, WorkUnit
from app.models.render_orders import RenderOrder
from app.values import clock, tiles
from app.values.frame_order import early_look
from app.values.render_prices import frame_share, may_begin
from app.values.render_settings import VIDEO
from app.values.render_tiers import queue_priority
from app.values.states import HELD, JobState, PaymentState, UnitState

KIND, JOIN_KIND, VIDEO_KIND = "frame", "join", "video"
OPEN_THE_SCENE = (KIND, tiles.KIND)
HUB = "hub"  # what the hub does itself needs a capability that no node has

_FEED = text("""
UPDATE work_units SET is_parked = false, queued_at = :now, rung_at = :now, priority = :priority,
    blocked_nodes = ARRAY(SELECT DISTINCT unnest(blocked_nodes || CAST(:blocked AS uuid[])))
WHERE id IN (SELECT u.id FROM work_units u WHERE u.job_id = :job_id AND u.state = 'queued' AND u.is_parked AND u.kind <> 'stitch'
    AND (u.kind <> 'join' OR NOT EXISTS (
        SELECT FROM work_units f WHERE f.job_id = :job_id AND f.ordinal >= 0 AND f.kind <> 'join' AND f.state <> 'completed'))
    ORDER BY u.ordinal LIMIT :count)
RETURNING id, capability
""")


def plan(settings: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The units of a job with these settings, {kind, frame, tile, capability}, in the order in which they are to be done: what
    its client sees early comes first. `frame_list` are its frames. With `tiles`, {columns, rows}, the only one is rendered in so
    many parts, and the hub stitches them; with `video` a node joins them in the end. A video of a prompt is made in one."""
    if settings.get("output_format") == VIDEO:
        return [{"kind": VIDEO_KIND, "frame": None, "tile": None}]
    frames, parts = early_look(settings["frame_list"]), settings.get("tiles")
    if parts is not None:
        grid = [{"column": column, "row": row, **parts} for row in range(parts["rows"]) for column in range(parts["columns"])]
        made = [{"kind": tiles.KIND, "frame": frame, "tile": part} for frame in frames for part in grid]
        return made + [{"kind": tiles.STITCH_KIND, "frame": frame, "tile": None, "capability": HUB} for frame in frames]
    pictures = [{"kind": KIND, "frame": frame, "tile": None} for frame in frames]
    return pictures + ([{"kind": JOIN_KIND, "frame": None, "tile": None}] if settings.get("video") else [])


def count(settings: Mapping[str, Any]) -> int:
    """How many units `plan` makes."""
    return nodes_count(settings) + hub_count(settings)


def nodes_count(settings: Mapping[str, Any]) -> int:
    """Those of them that nodes do, and that are charged for."""
    if settings.get("output_format") == VIDEO:
        return 1
    return len(settings["frame_list"]) * tiles.count(settings) + (1 if settings.get("video") else 0)


def hub_count(settings: Mapping[str, Any]) -> int:
    """And those that the hub does itself."""
    return len(settings["frame_list"]) if settings.get("tiles") else 0


def share(job: Job, order: RenderOrder) -> int:
    """What one of its units costs at most by itself, in minor units."""
    return frame_share(order.bound_minor, job.units_total - hub_count(job.settings))


def make(session: Session, job: Job, memory_bytes: int) -> None:
    """Write a job's units down, parked: once it is paid, so that an unpaid order of ten thousand frames costs one row.
    `memory_bytes` is what its scene is thought to need, 0 where nobody knows."""
    now = clock.now()
    needs = {"memory_bytes": memory_bytes or None, "engine": job.settings.get("engine")}
    nothing = dict.fromkeys(needs)
    rows: list[dict[str, Any]] = [
        {
            "id": uuid.uuid4(),
            "job_id": job.id,
            "ordinal": ordinal,
            "capability": job.kind,
            "priority": queue_priority(job.tier, job.priority),
            "state": UnitState.QUEUED,
            "is_parked": True,
            "queued_at": now,
        }
        | (needs if unit["kind"] in OPEN_THE_SCENE else nothing)
        | unit
        for ordinal, unit in enumerate(plan(job.settings))
    ]
    session.execute(insert(WorkUnit), rows)


def feed(session: Session, job: Job, order: RenderOrder) -> int:
    """Hand out what may be handed out now, and ring for it; the job is locked by the caller. Returns how many units."""
    if job.state != JobState.OPEN or job.payment_state != PaymentState.CONFIRMED:
        return 0
    session.flush()
    out = units_out(session, job.id)
    room = min(order.window_units - out, may_begin(order.limit_minor, order.charged_minor, share(job, order), out))
    if room <= 0:
        return 0
    values = {"job_id": job.id, "count": room, "now": clock.now(), "priority": queue_priority(job.tier, job.priority)}
    values["blocked"] = render_blocks.of_job(session, job.id)
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
