"""The queue of renders: what of the cheaper tier has waited for its longest time goes before everything else."""

from datetime import timedelta

from sqlalchemy import text
from sqlalchemy.orm import Session

from app.values import clock
from app.values.render_tiers import ECONOMY_MOST, OVERDUE

# Who claims holds what it takes: that is passed over, and needs no help.
_RAISE = text("""
UPDATE work_units SET priority = :overdue WHERE id = ANY(ARRAY(
    SELECT id FROM work_units WHERE state = 'queued' AND NOT is_parked AND provider_id IS NULL
        AND capability IN ('render', 'images', 'video') AND priority <= :economy_most AND queued_at < :before
    ORDER BY id LIMIT :batch FOR UPDATE SKIP LOCKED))
RETURNING id
""")


def raise_overdue(session: Session, economy_seconds: int, batch: int = 1000) -> int:
    """Put frames of the tier economy that stand in the queue since so long before all others, the longest waiting first: however
    much is ordered in the tier priority, each is begun by the next node that is free. Returns how many."""
    before = clock.now() - timedelta(seconds=economy_seconds)
    values = {"overdue": OVERDUE, "economy_most": ECONOMY_MOST, "before": before, "batch": batch}
    return len(session.execute(_RAISE, values).all())
