"""RoboCompute: a buyer disputes a task's result, its provider answers, an operator decides."""

from decimal import Decimal
from typing import Any

from flask_smorest import Blueprint

from app.api import identifiers, moments, security
from app.api.context import hub, read_only, unit_of_work
from app.api.dialect import BadRequestParser
from app.api.idempotency import PARAMETER, idempotent
from app.api.robocompute import callers
from app.api.robocompute.document import SIGNED_IN
from app.api.robocompute.schemas import disputes as schemas
from app.api.security import Caller
from app.core import disputes, tasks
from app.core.disputes import Complaint, Wanted
from app.db import Session
from app.errors import Forbidden
from app.models.disputes import Dispute
from app.values.money import DOWN, Money, from_decimal

blueprint = Blueprint("robocompute_disputes", __name__, url_prefix="/api/v1/tasks", description="Disputes over results")
blueprint.ARGUMENTS_PARSER = BadRequestParser()
provider_blueprint = Blueprint(
    "robocompute_provider_disputes",
    __name__,
    url_prefix="/api/v1/providers/<provider_id>/disputes",
    description="Disputes over results",
)
provider_blueprint.ARGUMENTS_PARSER = BadRequestParser()


@blueprint.post("/<task_id>/dispute")
@blueprint.doc(**SIGNED_IN)
@blueprint.arguments(schemas.ComplaintSchema)
@blueprint.response(201, schemas.DisputeWithFindingsSchema)
@blueprint.alt_response(404, "NOT_FOUND")
@blueprint.alt_response(409, "CONFLICT")
def open_dispute(body: dict[str, Any], task_id: str) -> dict[str, Any]:
    """Say that the result of a completed task is bad: one's own task, or any for an operator."""
    expected = body["expected_hash"]
    complaint = Complaint(
        body["grounds"], body["reason"], None if expected is None else expected.lower(), body["rerun_task_id"]
    )
    with unit_of_work() as session:
        caller = security.caller(session, "tasks:write")
        within = hub().settings.dispute_hours
        row = disputes.open_dispute(session, tasks.read_id(task_id), complaint, within, caller.account_id, caller.is_operator)
        return _with_findings(session, row)


@blueprint.get("/<task_id>/dispute")
@blueprint.doc(**SIGNED_IN)
@blueprint.response(200, schemas.DisputeWithFindingsSchema)
@blueprint.alt_response(404, "NOT_FOUND")
def get_dispute(task_id: str) -> dict[str, Any]:
    """The dispute of a task, and what the hub itself can say of it."""
    with read_only() as session:
        caller = security.caller(session, "tasks:read")
        row = disputes.of_task(session, tasks.read_id(task_id), None if caller.is_operator else caller.account_id)
        return _with_findings(session, row)


@blueprint.get("/disputes")
@blueprint.doc(**SIGNED_IN)
@blueprint.arguments(schemas.DisputesQuerySchema, location="query")
@blueprint.response(200, schemas.DisputesSchema)
def list_disputes(query: dict[str, Any]) -> dict[str, Any]:
    """One's own disputes as a buyer, the newest first; an operator sees everybody's."""
    with read_only() as session:
        caller = security.caller(session, "tasks:read")
        wanted = Wanted(account_id=None if caller.is_operator else caller.account_id, state=query["status"])
        return _page(disputes.page(session, wanted, query["limit"], query["offset"]))


@blueprint.post("/disputes/<dispute_id>/decision")
@idempotent
@blueprint.doc(**SIGNED_IN, parameters=[PARAMETER])
@blueprint.arguments(schemas.DecisionSchema)
@blueprint.response(200, schemas.DisputeWithFindingsSchema)
@blueprint.alt_response(404, "NOT_FOUND")
@blueprint.alt_response(409, "CONFLICT")
def decide(body: dict[str, Any], dispute_id: str) -> dict[str, Any]:
    """Decide a dispute, once: `slash` gives the task's cost back to the buyer, from the provider's stake first."""
    with unit_of_work() as session:
        by = f"account:{_operator(session).account_id}"
        wanted = identifiers.read(dispute_id, "dispute_id")
        if body["decision"] == "reject":
            return _with_findings(session, disputes.reject(session, wanted, by, body["reason"]))
        asset = disputes.locked(session, wanted).asset
        penalty = from_decimal(body["penalty"] or Decimal(0), asset, DOWN)
        return _with_findings(session, disputes.slash(session, wanted, by, body["reason"], penalty.minor))


def _operator(session: Session) -> Caller:
    caller = security.caller(session, "admin:write")
    if not caller.is_operator:
        raise Forbidden("only an operator may do this", code="NOT_AN_OPERATOR")
    return caller


@provider_blueprint.get("")
@provider_blueprint.doc(**SIGNED_IN)
@provider_blueprint.arguments(schemas.DisputesQuerySchema, location="query")
@provider_blueprint.response(200, schemas.DisputesSchema)
@provider_blueprint.alt_response(404, "NOT_FOUND")
def list_against(query: dict[str, Any], provider_id: str) -> dict[str, Any]:
    """Disputes over this provider's results, the newest first."""
    with read_only() as session:
        found = callers.provider(session, provider_id, "tasks:read").provider
        wanted = Wanted(provider_id=found.id, state=query["status"])
        return _page(disputes.page(session, wanted, query["limit"], query["offset"]))


@provider_blueprint.post("/<dispute_id>/answer")
@provider_blueprint.doc(**SIGNED_IN)
@provider_blueprint.arguments(schemas.AnswerSchema)
@provider_blueprint.response(200, schemas.DisputeSchema)
@provider_blueprint.alt_response(404, "NOT_FOUND")
@provider_blueprint.alt_response(409, "CONFLICT")
def answer(body: dict[str, str], provider_id: str, dispute_id: str) -> dict[str, Any]:
    """Say something to a dispute before it is decided."""
    with unit_of_work() as session:
        found = callers.provider(session, provider_id, "tasks:write").provider
        return _shown(disputes.answer(session, identifiers.read(dispute_id, "dispute_id"), found.id, body["answer"]))


def _page(rows: list[Dispute]) -> dict[str, Any]:
    return {"disputes": [_shown(row) for row in rows], "count": len(rows)}


def _with_findings(session: Session, row: Dispute) -> dict[str, Any]:
    found = disputes.findings(session, row)
    hashes = {"result_hash": found["result_sha256"], "rerun_hash": found["rerun_sha256"]}
    told = {name: found[name] for name in ("matches_expected", "matches_stored", "matches_rerun")}
    return {**_shown(row), "findings": hashes | told}


def _shown(row: Dispute) -> dict[str, Any]:
    names = "provider_id grounds reason answer decision_reason".split()
    moment_names = "answered_at created_at decided_at".split()
    amounts = {"amount": row.cost_minor, "refunded": row.refunded_minor, "owed": row.owed_minor, "penalty": row.penalty_minor}
    return {
        **{name: getattr(row, name) for name in names},
        **{name: moments.written(at) if (at := getattr(row, name)) is not None else None for name in moment_names},
        **{name: None if minor is None else Money(minor, row.asset) for name, minor in amounts.items()},
        "dispute_id": row.id,
        "task_id": row.job_id,
        "status": row.state,
        "expected_hash": row.expected_sha256,
        "rerun_task_id": row.rerun_job_id,
        "currency": row.asset,
    }
