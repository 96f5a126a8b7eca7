"""One render's own list of nodes that get nothing more of it: a bad node spoils a few frames and sinks no job.

A list of its own, beside each unit's: a node that crashed on one frame is kept from all the others before it has tried them.
While no other node fits, the frames wait for one; after SECOND_TRY_SECONDS those on the list may try again (`claims`), so that a
render whose only nodes are bad comes to an end.
"""

import uuid
from collections.abc import Collection, Sequence
from datetime import timedelta

from sqlalchemy import func, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from app.models.jobs import Attempt, WorkUnit
from app.models.render_blocks import RenderBlock
from app.values import clock

FAILURES_MOST, SILENCES_MOST = 2, 3
SECOND_TRY_SECONDS = 120  # as the setting RENDER_SECOND_TRY_SECONDS has it
FORGIVEN_AFTER_SECONDS = 3600  # without falling silent again
SILENT, OVERWORKED = "LEASE_LOST", "OVERWORKED"
# What will be so with the job's next frame, too; all else is soft, and counted.
HARD = frozenset({
    "CRASHED", "GPU_ERROR", "GPU_UNAVAILABLE", "OUT_OF_MEMORY", "SANDBOX_ERROR", "ENGINE_UNSUPPORTED", "TIME_LIMIT",
    "RESULT_UNREADABLE", "RESULT_WRONG_SIZE", "RESULT_WRONG_COLORS",
})  # fmt: skip

# Those that are being claimed now are passed over, so that nobody waits in a ring: if they come back, `keep_away` is asked.
_KEEP_AWAY = text("""
UPDATE work_units SET blocked_nodes = array_append(blocked_nodes, CAST(:node_id AS uuid)) WHERE id IN (
    SELECT id FROM work_units WHERE job_id = :job_id AND state = 'queued' AND NOT is_parked
        AND NOT (CAST(:node_id AS uuid) = ANY(blocked_nodes))
    ORDER BY id FOR UPDATE SKIP LOCKED)
""")


def note_failure(session: Session, job_id: uuid.UUID, node_id: uuid.UUID, code: str) -> bool:
    """A node failed at a unit of a job that is locked by the caller. True if it gets nothing more of it from now on."""
    row = _row(session, job_id, node_id, code)
    row.failures += 1
    if row.blocked_at is not None:
        row.blocked_at = clock.now()  # its second try has failed: others are waited for once more
        return False
    return (code in HARD or row.failures >= FAILURES_MOST) and _block(session, row)


def note_silence(session: Session, job_id: uuid.UUID, attempt_ids: Collection[uuid.UUID]) -> None:
    """The nodes of these attempts fell silent with units of a job that is locked by the caller. A lost lease is no failure, but
    who loses one after the other would use up all of a unit's attempts."""
    query = select(Attempt.node_id).where(Attempt.id.in_(attempt_ids), Attempt.node_id.is_not(None)).distinct()
    for node_id in sorted(found for found in session.scalars(query) if found is not None):
        row = _row(session, job_id, node_id, SILENT)
        if row.silent_at is not None and row.silent_at < clock.now() - timedelta(seconds=FORGIVEN_AFTER_SECONDS):
            row.silences = 0
        row.silences, row.silent_at = row.silences + 1, clock.now()
        if row.blocked_at is not None:
            row.blocked_at = clock.now()
        elif row.silences >= SILENCES_MOST:
            _block(session, row)


def note_overwork(session: Session, job_id: uuid.UUID, node_id: uuid.UUID) -> None:
    """A node has worked on a job, locked by the caller, for as long as it is to without being paid: it gets nothing more of it,
    and no second try."""
    _block(session, _row(session, job_id, node_id, OVERWORKED))


def of_job(session: Session, job_id: uuid.UUID) -> list[uuid.UUID]:
    """The nodes that get nothing more of a job."""
    query = select(RenderBlock.node_id).where(RenderBlock.job_id == job_id, RenderBlock.blocked_at.is_not(None))
    return list(session.scalars(query.order_by(RenderBlock.node_id)))


def count(session: Session, job_ids: Sequence[uuid.UUID]) -> dict[uuid.UUID, int]:
    """How many nodes each of these jobs has on its list, where it has any."""
    query = select(RenderBlock.job_id, func.count()).where(RenderBlock.job_id.in_(job_ids), RenderBlock.blocked_at.is_not(None))
    return {row[0]: row[1] for row in session.execute(query.group_by(RenderBlock.job_id))}


def keep_away(session: Session, unit: WorkUnit) -> None:
    """A unit goes back into the queue: its job's list holds for it, too."""
    session.flush()
    new = [node_id for node_id in of_job(session, unit.job_id) if node_id not in unit.blocked_nodes]
    if new:
        unit.blocked_nodes = [*unit.blocked_nodes, *new]


def _row(session: Session, job_id: uuid.UUID, node_id: uuid.UUID, code: str) -> RenderBlock:
    """The job is locked, so nobody else writes it."""
    values = {"job_id": job_id, "node_id": node_id, "failures": 0, "silences": 0, "code": code}
    session.execute(insert(RenderBlock).values(values).on_conflict_do_nothing())
    row = session.get_one(RenderBlock, (job_id, node_id), populate_existing=True)
    if row.code != OVERWORKED:  # for good, whatever it says of what it had in hand
        row.code = code
    return row


def _block(session: Session, row: RenderBlock) -> bool:
    row.blocked_at = clock.now()
    session.flush()
    session.execute(_KEEP_AWAY, {"job_id": row.job_id, "node_id": row.node_id})
    return True
