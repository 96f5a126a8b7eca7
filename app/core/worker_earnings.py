"""What a participant's workers earned in a stretch of time, by the hours of their history."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.orm import Session

from app.values.money import MAX_MINOR, Money
from app.values.worker_progress import UNIT_COEFFICIENT

ASSET = "TON"
COEFFICIENT_MOST = 10**9  # as a proposal shows it
MOST_SHARING = 100  # workers that are named beside one: whoever sees so many has seen enough
COUNT_MOST = 2**62  # what a worker makes up must still be proposed, so that an operator sees it


@dataclass(frozen=True, slots=True)
class WorkerEarning:
    """One worker's tokens at the network's price (`earned`), and at the price coefficient that it worked at when it earned them
    (`weighed`). `requests` and `seconds` of work in the same time."""

    worker_id: int
    worker_name: str
    earned: Money
    weighed: Money
    requests: int
    seconds: int

    @property
    def coefficient(self) -> int:
        """The mean of its price coefficients, each by what was earned at it, in thousandths."""
        weighed, earned = self.weighed.minor * UNIT_COEFFICIENT, self.earned.minor
        return min((2 * weighed + earned) // (2 * earned), COEFFICIENT_MOST)


_EARNED = text("""
SELECT w.id, w.worker_name, sum(h.revenue_nano) AS nano, sum(h.weighed_nano) AS weighed, sum(h.requests) AS requests,
    sum(h.time_seconds) AS seconds
FROM cocoon_workers w
JOIN (
    SELECT worker_id, at, revenue_nano, weighed_nano, requests, time_seconds FROM cocoon_worker_hours
    UNION ALL SELECT worker_id, at, revenue_nano, weighed_nano, requests, time_seconds FROM cocoon_worker_past_hours
) h ON h.worker_id = w.id AND h.at >= :start AND h.at < :end
WHERE w.participant_id = :participant_id GROUP BY w.id HAVING sum(h.revenue_nano) > 0 ORDER BY w.id
""")


def by_worker(session: Session, participant_id: int, start: datetime, end: datetime) -> list[WorkerEarning]:
    """From `start` up to, not including, `end`, both on the hour; workers that earned nothing are left out."""
    values = {"participant_id": participant_id, "start": start, "end": end}
    return [
        WorkerEarning(
            row.id,
            row.worker_name,
            bounded(int(row.nano)),
            bounded(int(row.weighed)),
            min(int(row.requests), COUNT_MOST),
            min(round(row.seconds), COUNT_MOST),
        )
        for row in session.execute(_EARNED, values)
    ]


# By name, not worker by worker: a thousand of a participant's beside ten thousand others are ten million pairs.
_SHARED = text(f"""
WITH named AS MATERIALIZED (
    SELECT s.worker_id, key.name FROM cocoon_worker_states s CROSS JOIN LATERAL jsonb_object_keys(s.earned) AS key (name)),
shared AS (
    SELECT name, (array_agg(worker_id ORDER BY worker_id))[1:{MOST_SHARING + 1}] AS workers
    FROM named GROUP BY name HAVING count(*) > 1)
SELECT n.worker_id, (array_agg(DISTINCT other ORDER BY other))[1:{MOST_SHARING}] AS others
FROM named n JOIN shared USING (name) CROSS JOIN LATERAL unnest(shared.workers) AS other
WHERE n.worker_id = ANY(:worker_ids) AND other <> n.worker_id GROUP BY n.worker_id
""")


def sharing(session: Session, worker_ids: list[int]) -> dict[int, list[int]]:
    """Of each of these, the other workers, anybody's, that name a contract of its as theirs (of very many, MOST_SHARING): one
    worker that was registered twice, or one that poses as another. What lies on that contract was counted for each of them."""
    return {row.worker_id: list(row.others) for row in session.execute(_SHARED, {"worker_ids": worker_ids})}


def earned(session: Session, participant_id: int, start: datetime, end: datetime) -> Money:
    """All of its workers together, each at its price coefficient."""
    return bounded(sum(item.weighed.minor for item in by_worker(session, participant_id, start, end)))


def bounded(nano: int) -> Money:
    """As TON, however much was made up: never more than an amount can be."""
    return Money(min(nano, MAX_MINOR), ASSET)
