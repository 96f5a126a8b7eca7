"""What becomes of attempts, told once it is committed: a log line with every id, under the request that ordered the job, and the
node's work as a span of that request's trace."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import structlog
from sqlalchemy import text
from sqlalchemy.orm import Session

from app import trail
from app.db import after_commit
from app.models.jobs import WorkUnit
from app.values import clock
from app.values.attempt_steps import Steps
from app.values.states import AttemptState

if TYPE_CHECKING:
    from app.core.claims import Claim

log = structlog.get_logger()
_ORIGIN = text("""
SELECT u.job_id, u.id AS unit_id, a.node_id, j.request_id, j.traceparent, CAST(:now AS timestamptz) - a.started_at AS taken
FROM attempts a JOIN work_units u ON u.id = a.unit_id JOIN jobs j ON j.id = u.job_id WHERE a.id = :attempt_id
""")


@dataclass(frozen=True, slots=True)
class Origin:
    """Where an attempt belongs: the ids that its lines carry, its job's place in a trace, and how long it has been going."""

    ids: Mapping[str, str]
    traceparent: str | None = None
    seconds: float = 0.0


def ids_of_order(request_id: str | None, traceparent: str | None) -> dict[str, str]:
    """As lines name the request that ordered a job, whoever is at work for it now."""
    trace_id = None if traceparent is None else traceparent.split("-")[1]
    named = {trail.REQUEST: request_id, "trace_id": trace_id}
    return {name: value for name, value in named.items() if value is not None}


def origin(row: Any) -> Origin:
    """Of a row with job_id, unit_id, node_id, request_id, traceparent, and `taken`, an interval."""
    named = {"job_id": row.job_id, "unit_id": row.unit_id, "node_id": row.node_id}
    ids = {name: str(value) for name, value in named.items() if value is not None}
    return Origin(ids | ids_of_order(row.request_id, row.traceparent), row.traceparent, row.taken.total_seconds())


def tell_claimed(session: Session, node_id: uuid.UUID, claims: Sequence["Claim"]) -> None:
    """Units were handed out: a line for each job among them."""
    by_job: dict[uuid.UUID, list[Claim]] = {}
    for claim in claims:
        by_job.setdefault(claim.job.id, []).append(claim)

    def tell() -> None:
        for job_id, found in by_job.items():
            order = ids_of_order(found[0].job.request_id, found[0].job.traceparent)
            attempts, units = [str(claim.attempt_id) for claim in found], [str(claim.unit_id) for claim in found]
            log.info("units.claimed", job_id=str(job_id), node_id=str(node_id), attempt_ids=attempts, unit_ids=units, **order)

    after_commit(session, tell)


def tell_ended(session: Session, unit: WorkUnit, state: AttemptState, code: str | None = None) -> None:
    """A unit's live attempt ends otherwise than by an accepted result; called while the unit still names it."""
    attempt_id = unit.attempt_id
    found = session.execute(_ORIGIN, {"attempt_id": attempt_id, "now": clock.now()}).one_or_none()
    if found is not None and attempt_id is not None:
        after_commit(session, lambda: tell(attempt_id, origin(found), state, code))


def tell(
    attempt_id: uuid.UUID, place: Origin, state: AttemptState, code: str | None = None, steps: Steps = (), **facts: Any
) -> None:
    """The line and the span of one attempt that has ended; call it outside any transaction."""
    ids = {**place.ids, "attempt_id": str(attempt_id)}
    why = {} if code is None else {"code": code}
    say = log.info if state == AttemptState.COMPLETED else log.warning
    say(f"attempt.{state}", **ids, seconds=round(place.seconds, 3), **why, **facts)
    tracer = trail.tracer()
    if tracer is not None and place.traceparent is not None:
        tracer.record(trail.Attempt(attempt_id, place.traceparent, place.seconds, {**ids, "state": str(state), **why}, steps))
