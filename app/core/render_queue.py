"""The queue of renders: what of the cheaper tier has waited for too long goes before all else, a part at a time."""

from datetime import timedelta

from sqlalchemy import text
from sqlalchemy.orm import Session

from app.values import clock
from app.values.render_tiers import BAND, ECONOMY, ECONOMY_MOST, OVERDUE, queue_priority

KINDS = ("render", "images", "video")

# Who claims holds what it takes: that is passed over, and needs no help.
_LOWER = text("""
UPDATE work_units u SET priority = :economy + greatest(-:band, least(:band, j.priority)) FROM jobs j
WHERE j.id = u.job_id AND u.id = ANY(ARRAY(
    SELECT id FROM work_units WHERE state = 'queued' AND NOT is_parked AND priority = :overdue
        AND capability IN ('render', 'images', 'video')
    ORDER BY id FOR UPDATE SKIP LOCKED))
""")
_WITH_NODES = text("""
SELECT capability, count(*), count(*) FILTER (WHERE priority = :overdue) FROM work_units
WHERE state IN ('assigned', 'rendering', 'uploaded') AND capability IN ('render', 'images', 'video') AND provider_id IS NULL
    AND kind <> 'inspection'
GROUP BY capability
""")
# By chance: one that no node can do, whatever the reason, keeps its place from the others for one turn only.
_RAISE = text("""
UPDATE work_units SET priority = :overdue WHERE id = ANY(ARRAY(
    SELECT id FROM work_units WHERE id = ANY(ARRAY(
        SELECT id FROM work_units WHERE state = 'queued' AND NOT is_parked AND provider_id IS NULL
            AND capability = :kind AND priority <= :economy_most AND queued_at < :before
        ORDER BY random() LIMIT :room))
    ORDER BY id FOR UPDATE SKIP LOCKED))
RETURNING id
""")


def raise_overdue(session: Session, economy_seconds: int) -> int:
    """Put frames of the tier economy that stand in the queue since so long before all others: however much is ordered in the tier
    priority, they are begun by the next nodes that are free. Returns how many.

    Half of what nodes have in hand may be theirs, one frame at least: however much waits overdue, the tier priority goes on, too.
    What was put there by an earlier turn and was not begun since takes its chance anew.
    """
    session.execute(_LOWER, {"economy": queue_priority(ECONOMY, 0), "band": BAND, "overdue": OVERDUE})
    in_hand = {row[0]: (int(row[1]), int(row[2])) for row in session.execute(_WITH_NODES, {"overdue": OVERDUE})}
    return sum(_raise(session, kind, economy_seconds, *in_hand.get(kind, (0, 0))) for kind in KINDS)


def _raise(session: Session, kind: str, economy_seconds: int, in_hand: int, overdue_in_hand: int) -> int:
    room = max(1, in_hand // 2) - overdue_in_hand
    if room <= 0:
        return 0
    before = clock.now() - timedelta(seconds=economy_seconds)
    values = {"overdue": OVERDUE, "kind": kind, "economy_most": ECONOMY_MOST, "before": before, "room": room}
    return len(session.execute(_RAISE, values).all())
