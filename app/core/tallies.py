"""Totals since the first day: how many jobs were dispatched and how they ended, and the credits that were used."""

from collections.abc import Collection, Iterator

from sqlalchemy import insert, text
from sqlalchemy.orm import Session

from app.core.figures import Figure
from app.models.tallies import Tally
from app.values.money import Money
from app.values.prices import OTHER
from app.values.states import JobState

CREDITS = "credits_consumed_minor"
ENDS = (JobState.COMPLETED, JobState.FAILED, JobState.CANCELLED)
FOLD_FROM, FOLD_AT_MOST = 1000, 50_000

# Users name their own types of job: those without a price of their own are one, or each would be a row and a series for ever.
_TYPE = f"CASE WHEN job_type = '' OR job_type = ANY(CAST(:job_types AS text[])) THEN job_type ELSE '{OTHER}' END"
_READ = text(f"SELECT name, {_TYPE} AS kind, status, sum(amount) FROM tallies GROUP BY name, kind, status")
# One statement: whoever reads beside it sees all the rows, or the one that they became.
_FOLD = text(f"""
WITH gone AS (
    DELETE FROM tallies WHERE id IN (SELECT id FROM tallies ORDER BY id LIMIT :at_most)
        AND (SELECT count(*) FROM (SELECT FROM tallies LIMIT :at_least) AS first) >= :at_least
    RETURNING name, {_TYPE} AS kind, status, amount)
INSERT INTO tallies (name, job_type, status, amount) SELECT name, kind, status, sum(amount) FROM gone GROUP BY name, kind, status
""")


def count_credits(session: Session, amount: Money) -> None:
    """Credits were used for good: of a job that is done, or for a use that their owner named."""
    session.execute(insert(Tally), [{"name": CREDITS, "job_type": "", "status": "", "amount": amount.minor}])


def fold(session: Session, job_types: Collection[str], at_least: int = FOLD_FROM) -> None:
    """Make few rows of many, once they are `at_least` so many; any number at once, totals stay what they are."""
    session.execute(_FOLD, {"job_types": sorted(job_types), "at_least": at_least, "at_most": FOLD_AT_MOST})


def read(session: Session, job_types: Collection[str]) -> Iterator[Figure]:
    """Every total, zeros too, so that the first job is seen as a rise. `job_types` are those with a price of their own."""
    found = {tuple(row[:3]): int(row[3]) for row in session.execute(_READ, {"job_types": sorted(job_types)})}
    for kind in sorted({*job_types, OTHER}):
        yield Figure("jobs_dispatched", found.get(("jobs_dispatched", kind, ""), 0), {"job_type": kind})
        for status in ENDS:
            value = found.get(("jobs_completed", kind, status.value), 0)
            yield Figure("jobs_completed", value, {"job_type": kind, "status": status.value})
    yield Figure("credits_consumed", float(Money(found.get((CREDITS, "", ""), 0), "CREDIT").decimal))
