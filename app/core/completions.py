"""Booking finished units: in one statement for all of a node's results, then what the end of a job means."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from operator import attrgetter

from sqlalchemy import TextClause, text
from sqlalchemy.orm import Session

from app import counts, outbox
from app.core import (
    credit_holds,
    credits,
    outcomes,
    pricing,
    render_billing,
    render_probes,
    scene_timings,
    settlement,
    task_billing,
)
from app.core.scene_timings import Ended
from app.db import after_commit
from app.models.jobs import Job
from app.values import clock, prompt_times
from app.values.rates import RateSource
from app.values.states import AttemptState

# Jobs are locked in the order of their ids, then their units in the order of theirs: `live` joins `locked`, so no unit is
# locked before its job. Whoever lost a race for a row sees it anew and drops out by fence or state. `coalesce` keeps the planner
# from the small indexes of all held units and live attempts, which are full of entries that just died: a row is found by its id.
_COMPLETE = """
WITH told (attempt_id, fence, key, sha256, size_bytes, seconds) AS (VALUES {rows}),
locked AS MATERIALIZED (
    SELECT j.id FROM jobs j WHERE j.id IN (SELECT u.job_id FROM work_units u JOIN told ON told.attempt_id = u.attempt_id)
    ORDER BY j.id FOR UPDATE),
live AS MATERIALIZED (
    SELECT u.id, told.* FROM told JOIN work_units u ON u.attempt_id = told.attempt_id AND u.fence = told.fence
    JOIN locked ON locked.id = u.job_id
    WHERE coalesce(u.state, '') IN ('assigned', 'rendering', 'uploaded') AND u.kind <> 'inspection'
    ORDER BY u.id FOR UPDATE OF u),
done AS (
    UPDATE work_units u SET state = 'completed', result_key = live.key, result_sha256 = live.sha256,
        result_bytes = live.size_bytes, seconds = live.seconds, progress = 1, completed_at = :now, lease_until = NULL
    FROM live WHERE u.id = live.id RETURNING u.id, u.attempt_id, u.job_id, u.seconds),
ended AS (
    UPDATE attempts a SET state = 'completed', ended_at = :now FROM done WHERE a.id = done.attempt_id
        AND coalesce(a.state, '') = 'live'
    RETURNING a.node_id),
forgiven AS (
    UPDATE nodes SET failures_in_a_row = 0, unhealthy_until = NULL
    WHERE id IN (SELECT node_id FROM ended) AND failures_in_a_row > 0),
counted AS (
    UPDATE jobs j SET units_completed = j.units_completed + c.units, render_seconds = j.render_seconds + c.seconds,
        started_at = coalesce(j.started_at, :now)
    FROM (SELECT job_id, count(*) AS units, sum(seconds) AS seconds FROM done GROUP BY job_id) c WHERE j.id = c.job_id
    RETURNING j.id, j.dialect, j.state IN ('open', 'paused') AND j.units_completed >= j.units_total AS is_last)
SELECT done.attempt_id, counted.id, counted.is_last, counted.dialect, done.id
FROM done JOIN counted ON counted.id = done.job_id
"""
# A job that has all its units, locked by the statement above: what is to be settled, and all that settling asks.
_END = text("""
UPDATE jobs j SET state = 'completed', ended_at = :now WHERE j.id = :job_id AND j.state IN ('open', 'paused')
RETURNING j.id, j.dialect, j.price_minor, j.asset, j.units_total, j.breakdown, j.units_completed,
    j.kind, j.settings - 'frame_list' AS settings, (SELECT s.sha256 FROM scenes s WHERE s.id = j.scene_id) AS sha256,
    j.provider_id,
    (SELECT p.account_id FROM providers p WHERE p.id = j.provider_id) AS debtor_id
""")
_COUNT_JOB = text("UPDATE providers SET completed_jobs = completed_jobs + 1 WHERE id = :provider_id")
# Whose node did it: an enrolled node's provider, else the account of the node's own key.
_OPERATOR = text("""
SELECT n.account_id FROM work_units u JOIN attempts a ON a.id = u.attempt_id JOIN nodes n ON n.id = a.node_id
WHERE u.job_id = :job_id AND u.ordinal = 0
""")
_TOLD = (
    "(CAST(:a{0} AS uuid), CAST(:f{0} AS int), CAST(:k{0} AS text), CAST(:h{0} AS text), CAST(:b{0} AS bigint), "
    "CAST(:s{0} AS float8))"
)


@cache
def _complete_statement(count: int) -> TextClause:
    """For that many results, a row each: PostgreSQL then knows how many they are, and keeps the plan."""
    return text(_COMPLETE.format(rows=", ".join(_TOLD.format(number) for number in range(count))))


@dataclass(frozen=True, slots=True)
class Terms:
    """How what was held for a dispatched job is shared: the operator's part, and the rates at which it becomes money."""

    operator_percent: int
    rates: RateSource


@dataclass(frozen=True, slots=True)
class Finished:
    """Bytes that the hub has checked, for one live attempt."""

    attempt_id: uuid.UUID
    fence: int
    key: str
    sha256: str
    size_bytes: int
    seconds: float


_told = attrgetter("attempt_id", "fence", "key", "sha256", "size_bytes", "seconds")


def complete(session: Session, finished: Sequence[Finished], terms: Terms | None = None) -> set[uuid.UUID]:
    """Book checked results; returns the attempts that counted. A job whose last unit this is, is settled here.

    What is not live any more is left out, whatever the others are. A success also ends its node's row of failures. `terms` say
    how what was held for a dispatched job is shared; they are needed wherever such a job can end.
    """
    if not finished:
        return set()
    session.flush()
    told = {
        f"{name}{number}": value
        for number, item in enumerate(finished)
        for name, value in zip("afkhbs", _told(item), strict=True)
    }
    rows = session.execute(_complete_statement(len(finished)), told | {"now": clock.now()}).all()
    if rows:
        after_commit(session, lambda: counts.add("attempts", AttemptState.COMPLETED.value, amount=len(rows)))
    renders = [row for row in rows if row[3] == render_billing.DIALECT]
    if len({row[1] for row in renders}) > 1:
        render_billing.lock_money(session, [row[4] for row in renders])
    ended: list[Ended | None] = []
    for job_id, is_last, dialect in sorted({(row[1], row[2], row[3]) for row in rows}):
        if dialect == render_billing.DIALECT:
            units = [row[4] for row in rows if row[1] == job_id]
            if render_billing.charge_done(session, job_id, units):
                outcomes.fail_job(session, job_id, render_billing.OUTGREW, render_billing.OUTGREW_MESSAGE)
                ended += scene_timings.ended_early(session, session.get_one(Job, job_id))
                continue
        if is_last:
            ended.append(_end(session, job_id, terms))
        outbox.announce(session, "job:completed" if is_last else "job:progress", job_id)
    scene_timings.note(session, [item for item in ended if item is not None])
    return {row[0] for row in rows}


def _end(session: Session, job_id: uuid.UUID, terms: Terms | None) -> Ended | None:
    """All units are there: the job is completed, and the fee is owed. Returns what is to be remembered of its scene."""
    ended = None
    job = session.execute(_END, {"job_id": job_id, "now": clock.now()}).one()
    if (of_prompt := prompt_times.timing_key(job.kind, job.settings)) is not None:
        ended = Ended(*of_prompt, job_id)
    elif job.sha256 is not None:
        is_probe = job.dialect == render_probes.DIALECT
        ended = Ended(job.sha256, pricing.settings_key(job.settings), job_id, is_probe)
        if is_probe:
            render_probes.conclude(session, job_id, job.sha256)
    if task_billing.is_task(job):
        task_billing.complete(session, job_id)
    elif render_billing.is_render(job):
        render_billing.finish(session, session.get_one(Job, job_id, populate_existing=True))
    elif job.debtor_id is not None:
        settlement.collect_fee(session, job, job.debtor_id, job.units_completed)
        session.execute(_COUNT_JOB, {"provider_id": job.provider_id})
    elif job.asset == credits.ASSET:
        if terms is None:
            raise RuntimeError("a dispatched job was completed where nobody knows how to share what was held for it")
        operator_id = session.execute(_OPERATOR, {"job_id": job_id}).scalar_one()
        credit_holds.capture(session, job_id, operator_id, terms.rates, terms.operator_percent)
    return ended
