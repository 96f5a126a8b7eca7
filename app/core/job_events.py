"""What became of a render, event by event: numbered when first read, and read on from any number without a gap.

Triggers write events with the changes that they tell of (`models.job_events`), and lock nothing for it. So transactions may
commit in another order than they wrote in, and a plain counter would show a later number before an earlier one. Numbers are given
to what is committed, one reader of a job at a time: whatever is committed later gets a later number, and nobody misses it.
"""

import uuid
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from app.models.job_events import JobEvent, JobStream
from app.values import clock

AT_ONCE = 200
NUMBERED_AT_ONCE = 2000
_NUMBER = text("""
UPDATE job_events e SET sequence = :events + new.place FROM (
    SELECT id, row_number() OVER (ORDER BY id) AS place FROM (
        SELECT id FROM job_events WHERE job_id = :job_id AND sequence IS NULL ORDER BY id LIMIT :most) waiting) new
WHERE e.id = new.id
""")
_FORGET = text("""
WITH old AS MATERIALIZED (
    SELECT s.job_id FROM job_streams s JOIN jobs j ON j.id = s.job_id WHERE s.emptied_at IS NULL AND j.ended_at < :before
    LIMIT :most FOR UPDATE OF s SKIP LOCKED),
gone AS (DELETE FROM job_events WHERE job_id IN (SELECT job_id FROM old))
UPDATE job_streams s SET emptied_at = :now FROM old WHERE s.job_id = old.job_id RETURNING s.job_id
""")


@dataclass(frozen=True, slots=True)
class Page:
    """Events in their order. `skipped` were deleted before, for being too old, and lie before the first; `last` is the number to
    read on from, and `has_more` says that there is more at once."""

    events: list[JobEvent]
    skipped: int
    last: int
    has_more: bool


def read(session: Session, job_id: uuid.UUID, after: int, most: int = AT_ONCE) -> Page:
    """What came after a number; one that is still to come counts as the last. Numbers new events first, and so may wait for
    another reader of the same job. A job without a stream has no events."""
    stream = _number(session, job_id)
    if stream is None:
        return Page([], 0, 0, False)
    start = min(after, stream.events)
    query = select(JobEvent).where(JobEvent.job_id == job_id, JobEvent.sequence > start)
    events = list(session.scalars(query.order_by(JobEvent.sequence).limit(most)))
    first = events[0].sequence if events else stream.events + 1
    last = events[-1].sequence if events else stream.events
    return Page(events, (first or 0) - start - 1, last or 0, (last or 0) < stream.events or _waiting(session, job_id))


def _number(session: Session, job_id: uuid.UUID) -> JobStream | None:
    """Give numbers to what is committed; the stream as it then is."""
    if not _waiting(session, job_id):
        return session.get(JobStream, job_id, populate_existing=True)
    query = select(JobStream).where(JobStream.job_id == job_id).with_for_update(key_share=True)
    stream = session.scalars(query.execution_options(populate_existing=True)).one()
    # A statement of its own: its snapshot is taken under the lock, and has what the last holder of that has numbered.
    values = {"job_id": job_id, "events": stream.events, "most": NUMBERED_AT_ONCE}
    stream.events += session.execute(_NUMBER, values).rowcount  # type: ignore[attr-defined]
    session.flush()
    return stream


def _waiting(session: Session, job_id: uuid.UUID) -> bool:
    query = select(JobEvent.id).where(JobEvent.job_id == job_id, JobEvent.sequence.is_(None))
    return session.scalar(query.limit(1)) is not None


def forget_old(session: Session, kept_days: int, most: int = 100) -> int:
    """Delete the events of renders that ended so long ago; returns of how many."""
    before = clock.now() - timedelta(days=kept_days)
    return len(session.execute(_FORGET, {"before": before, "now": clock.now(), "most": most}).all())
