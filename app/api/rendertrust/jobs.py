"""RenderTrust: dispatch a job, follow it, fetch its result; and what an operator does with those that failed."""

import uuid
from datetime import datetime
from typing import Any

from flask_smorest import Blueprint

from app.api import identifiers, security
from app.api.context import hub, read_only, unit_of_work
from app.api.idempotency import idempotent, order_id
from app.api.moments import written
from app.api.rendertrust import job_states
from app.api.rendertrust.document import IDEMPOTENCY_KEY, SIGNED_IN
from app.api.rendertrust.schemas import jobs as schemas
from app.core import dead_letters, dispatch, owned, render_frames
from app.core.owned import OwnedJob
from app.db import Session
from app.errors import Forbidden, NotFound
from app.flows import dispatching
from app.values import clock
from app.values.states import JobState

DIALECT = "rendertrust"
RESULT_SECONDS = 3600
blueprint = Blueprint("rendertrust_jobs", __name__, url_prefix="/api/v1/jobs", description="Jobs")


@blueprint.post("/dispatch")
@idempotent
@blueprint.doc(**SIGNED_IN, parameters=[IDEMPOTENCY_KEY])
@blueprint.arguments(schemas.DispatchSchema)
@blueprint.response(200, schemas.DispatchedSchema)
@blueprint.alt_response(400, "BAD_REQUEST")
@blueprint.alt_response(402, "PAYMENT_REQUIRED")
@blueprint.alt_response(401, "UNAUTHORIZED")
@blueprint.alt_response(404, "NOT_FOUND")
def submit(body: dict[str, Any]) -> dict[str, Any]:
    """Pay for a job, and offer it to the least loaded healthy node that can do it."""
    with read_only() as session:
        caller = security.caller(session, "jobs:write")
    wanted = dispatching.Wanted(DIALECT, caller.account_id, body["job_type"], body["payload_ref"], order_id())
    job, node_id = dispatching.submit(hub().database, hub().store, hub().settings, hub().prices, wanted)
    return {"job_id": job.id, "node_id": node_id, "status": job_states.DISPATCHED}


@blueprint.get("")
@blueprint.doc(**SIGNED_IN)
@blueprint.arguments(schemas.JobsQuerySchema, location="query")
@blueprint.response(200, schemas.JobsSchema)
@blueprint.alt_response(401, "UNAUTHORIZED")
def list_jobs(query: dict[str, Any]) -> dict[str, Any]:
    """One's own jobs, the newest first, whichever API they were ordered through."""
    among = job_states.states_of(query["status"]) if query["status"] else None
    with read_only() as session:
        caller = security.caller(session, "jobs:read")
        found = owned.page(session, caller.account_id, query["limit"], query["offset"], among)
    return {"jobs": [_shown(item) for item in found], "count": len(found)}


@blueprint.get("/<job_id>")
@blueprint.doc(**SIGNED_IN)
@blueprint.response(200, schemas.JobSchema)
@blueprint.alt_response(404, "NOT_FOUND")
@blueprint.alt_response(422, "UNPROCESSABLE_ENTITY")
@blueprint.alt_response(401, "UNAUTHORIZED")
def show(job_id: str) -> dict[str, Any]:
    """One job."""
    with read_only() as session:
        return _shown(_own(session, job_id, "jobs:read"))


@blueprint.post("/<job_id>/cancel")
@idempotent
@blueprint.doc(**SIGNED_IN, parameters=[IDEMPOTENCY_KEY])
@blueprint.response(200, schemas.JobSchema)
@blueprint.alt_response(400, "BAD_REQUEST")
@blueprint.alt_response(404, "NOT_FOUND")
@blueprint.alt_response(409, "CONFLICT")
@blueprint.alt_response(422, "UNPROCESSABLE_ENTITY")
@blueprint.alt_response(401, "UNAUTHORIZED")
def cancel(job_id: str) -> dict[str, Any]:
    """Call a job off before a node works on it; its credits come back."""
    with unit_of_work() as session:
        caller = security.caller(session, "jobs:write")
        wanted = identifiers.read(job_id, "job_id")
        dispatch.cancel(session, caller.account_id, wanted, DIALECT)
        return _shown(owned.get(session, caller.account_id, wanted))


@blueprint.get("/<job_id>/result")
@blueprint.doc(**SIGNED_IN)
@blueprint.response(200, schemas.ResultSchema)
@blueprint.alt_response(402, "PAYMENT_REQUIRED")
@blueprint.alt_response(404, "NOT_FOUND")
@blueprint.alt_response(422, "UNPROCESSABLE_ENTITY")
@blueprint.alt_response(401, "UNAUTHORIZED")
def result(job_id: str) -> dict[str, Any]:
    """An address to download the result from, for an hour; of an animation, its first frame's."""
    with read_only() as session:
        found = _own(session, job_id, "jobs:read")
        render_frames.assert_job_paid(session, found.job)
        is_tiled = bool(found.job.settings.get("tiles"))
        key = render_frames.stitched_key(session, found.job) if is_tiled else found.result_key
    if found.job.state != JobState.COMPLETED or key is None:
        raise NotFound("Result not available: the job is not COMPLETED")
    url = hub().store.signed_url("GET", key, RESULT_SECONDS, now=clock.now())
    return {"job_id": found.job.id, "download_url": url, "expires_in": RESULT_SECONDS}


@blueprint.get("/dead-letters")
@blueprint.doc(**SIGNED_IN)
@blueprint.arguments(schemas.DeadLettersQuerySchema, location="query")
@blueprint.response(200, schemas.DeadLettersSchema)
@blueprint.alt_response(403, "FORBIDDEN")
@blueprint.alt_response(401, "UNAUTHORIZED")
def list_dead_letters(query: dict[str, Any]) -> dict[str, Any]:
    """Ours, for operators: dispatched jobs that failed for good, the newest first."""
    with read_only() as session:
        _operator(session, "admin:read")
        rows = dead_letters.page(session, query["replayed"], query["limit"], query["offset"])
    return {"dead_letters": rows, "count": len(rows)}


@blueprint.post("/dead-letters/<letter_id>/replay")
@idempotent
@blueprint.doc(**SIGNED_IN, parameters=[IDEMPOTENCY_KEY])
@blueprint.response(200, schemas.JobSchema)
@blueprint.alt_response(402, "PAYMENT_REQUIRED")
@blueprint.alt_response(403, "FORBIDDEN")
@blueprint.alt_response(404, "NOT_FOUND")
@blueprint.alt_response(409, "CONFLICT")
@blueprint.alt_response(422, "UNPROCESSABLE_ENTITY")
@blueprint.alt_response(401, "UNAUTHORIZED")
def replay(letter_id: str) -> dict[str, Any]:
    """Ours, for operators: try a failed job again, paid by a new hold of its owner's credits."""
    with unit_of_work() as session:
        _operator(session, "admin:write")
        job = dead_letters.replay(session, identifiers.read(letter_id, "dead letter id"))
        session.flush()
        return _shown(owned.get(session, _owner(job.account_id), job.id))


def _operator(session: Session, scope: str) -> None:
    caller = security.caller(session, scope)
    if not caller.is_operator:
        raise Forbidden("only an operator may do this", code="NOT_AN_OPERATOR")


def _owner(account_id: uuid.UUID | None) -> uuid.UUID:
    if account_id is None:
        raise NotFound("Job not found")
    return account_id


def _own(session: Session, job_id: str, scope: str) -> OwnedJob:
    caller = security.caller(session, scope)
    return owned.get(session, caller.account_id, identifiers.read(job_id, "job_id"))


def _shown(found: OwnedJob) -> dict[str, Any]:
    """A job as the seed shows it. `result_ref` names it; `GET …/result` is how to get at it."""
    job, status = found.job, job_states.word(*found.states)
    is_done = status == job_states.COMPLETED
    error = job.error_message or ("Cancelled by user" if job.state == JobState.CANCELLED else None)
    moments = (job.created_at, job.paid_at, job.started_at, job.ended_at, found.dispatched_at)
    return {
        "id": job.id,
        "node_id": None if status == job_states.QUEUED else found.node_id,
        "job_type": job.kind,
        "payload_ref": job.settings.get("payload_ref") or (f"scene:{job.scene_id}" if job.scene_id else None),
        "status": status,
        "result_ref": f"result:{job.id}" if is_done and found.result_key else None,
        "error_message": error if status == job_states.FAILED else None,
        "retry_count": found.retries,
        "queued_at": written(job.paid_at or job.created_at),
        "dispatched_at": _written(found.dispatched_at),
        "completed_at": _written(job.ended_at) if is_done else None,
        "created_at": written(job.created_at),
        "updated_at": written(max(moment for moment in moments if moment is not None)),
    }


def _written(moment: datetime | None) -> str | None:
    return written(moment) if moment is not None else None
