"""The queue of renders: what of the cheaper tier has waited for too long goes before all else, a part at a time."""

import random
from datetime import datetime, timedelta

from sqlalchemy import text
from sqlalchemy.orm import Session

from app.values import clock
from app.values.render_tiers import BAND, ECONOMY, ECONOMY_MOST, OVERDUE, queue_priority

KINDS = ("render", "images", "video")
TURN_MOST = 50  # frames that a turn puts first: more than nodes take until the next

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
# Those that a node which is there could do, as far as units say what they need; the oldest, or as often by chance: one that no
# node takes for another reason keeps its place from the others for one turn only.
_RAISE = text("""
UPDATE work_units SET priority = :overdue WHERE id = ANY(ARRAY(
    SELECT id FROM work_units WHERE state = 'queued' AND NOT is_parked AND id = ANY(ARRAY(
        SELECT u.id FROM work_units u WHERE u.state = 'queued' AND NOT u.is_parked AND u.provider_id IS NULL
            AND u.capability = :kind AND u.priority <= :economy_most AND u.queued_at < :before
            AND EXISTS (SELECT FROM nodes n WHERE n.last_heartbeat_at > :alive_since AND NOT n.is_draining
                AND :kind = ANY(n.capabilities) AND n.id <> ALL(u.blocked_nodes)
                AND (u.memory_bytes IS NULL OR n.memory_bytes IS NULL OR n.memory_bytes >= u.memory_bytes)
                AND (u.engine IS NULL OR n.engines IS NULL OR u.engine = ANY(n.engines)))
        ORDER BY CASE WHEN :by_age THEN extract(epoch FROM u.queued_at) ELSE random() END LIMIT :room))
    ORDER BY id FOR UPDATE SKIP LOCKED))
RETURNING id
""")


def raise_overdue(session: Session, economy_seconds: int, silence_seconds: int = 90) -> int:
    """Put frames of the tier economy that stand in the queue since so long before all others: however much is ordered in the tier
    priority, they are begun by the next nodes that are free. Returns how many.

    Half of what nodes have in hand may be theirs, one frame at least: however much waits overdue, the tier priority goes on, too.
    What was put there by an earlier turn and was not begun since takes its chance anew. Nodes are there that were heard within
    `silence_seconds`.
    """
    session.execute(_LOWER, {"economy": queue_priority(ECONOMY, 0), "band": BAND, "overdue": OVERDUE})
    in_hand = {row[0]: (int(row[1]), int(row[2])) for row in session.execute(_WITH_NODES, {"overdue": OVERDUE})}
    now = clock.now()
    times = {"before": now - timedelta(seconds=economy_seconds), "alive_since": now - timedelta(seconds=silence_seconds)}
    return sum(_raise(session, kind, times, *in_hand.get(kind, (0, 0))) for kind in KINDS)


def _raise(session: Session, kind: str, times: dict[str, datetime], in_hand: int, overdue_in_hand: int) -> int:
    room = min(TURN_MOST, max(1, in_hand // 2) - overdue_in_hand)
    if room <= 0:
        return 0
    values: dict[str, object] = {"overdue": OVERDUE, "kind": kind, "economy_most": ECONOMY_MOST, "room": room}
    values["by_age"] = random.random() < 0.5
    return len(session.execute(_RAISE, {**values, **times}).all())
