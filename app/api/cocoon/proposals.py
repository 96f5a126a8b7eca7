"""Ours beside Cocoon's: what is proposed for payout, and an operator's decision."""

from typing import Any

from flask_smorest import Blueprint

from app.api.cocoon import identifiers
from app.api.cocoon.blueprint import ExactBlueprint
from app.api.cocoon.callers import operator, reach
from app.api.cocoon.document import SIGNED_IN
from app.api.cocoon.schemas import proposals as schemas
from app.api.context import hub, read_only, unit_of_work
from app.api.idempotency import PARAMETER, idempotent
from app.core import participants, payout_proposals
from app.core.worker_earnings import ASSET
from app.models.payout_proposals import PayoutProposal
from app.values.money import Money
from app.values.plain_numbers import number
from app.values.worker_progress import UNIT_COEFFICIENT

READ, WRITE = "payouts:read", "payouts:write"
blueprint: Blueprint = ExactBlueprint(
    "cocoon_proposals", __name__, url_prefix="/api/v1/payouts/proposals", description="Pay-out proposals"
)


@blueprint.get("")
@blueprint.doc(**SIGNED_IN)
@blueprint.arguments(schemas.ProposalsQuerySchema, location="query")
@blueprint.response(200, schemas.ProposalSchema(many=True))
@blueprint.alt_response(404, "NOT_FOUND")
def list_proposals(query: dict[str, Any]) -> list[dict[str, Any]]:
    """What participants' workers earned by periods, the newest first."""
    with read_only() as session:
        found, wanted = reach(session, READ), query["participant_id"]
        if wanted is not None and not found.is_operator:
            participants.get(session, wanted, found.among)
        rows = payout_proposals.page(session, found.among, query["limit"], query["offset"], wanted, query["state"])
    return [_shown(row, payout) for row, payout in rows]


@blueprint.post("/<proposal_id>/approve")
@idempotent
@blueprint.doc(**SIGNED_IN, parameters=[PARAMETER])
@blueprint.response(200, schemas.ProposalSchema)
@blueprint.alt_response(400, "BAD_REQUEST")
@blueprint.alt_response(404, "NOT_FOUND")
@blueprint.alt_response(409, "CONFLICT")
@blueprint.alt_response(422, "UNPROCESSABLE_ENTITY")
def approve(proposal_id: str) -> dict[str, Any]:
    """Pay a proposal out, once: approved again it is the same payout."""
    with unit_of_work() as session:
        approver = operator(session, WRITE).account_id
        wanted = identifiers.read(proposal_id, "proposal_id")
        return _shown(*payout_proposals.approve(session, wanted, approver, hub().payout_rules))


@blueprint.post("/<proposal_id>/reject")
@idempotent
@blueprint.doc(**SIGNED_IN, parameters=[PARAMETER])
@blueprint.arguments(schemas.RejectionSchema)
@blueprint.response(200, schemas.ProposalSchema)
@blueprint.alt_response(404, "NOT_FOUND")
@blueprint.alt_response(409, "CONFLICT")
@blueprint.alt_response(422, "UNPROCESSABLE_ENTITY")
def reject(body: dict[str, Any], proposal_id: str) -> dict[str, Any]:
    """Decide that a proposal is not paid, and say why; its period is not proposed again."""
    with unit_of_work() as session:
        decider = operator(session, WRITE).account_id
        wanted = identifiers.read(proposal_id, "proposal_id")
        return _shown(payout_proposals.reject(session, wanted, decider, body["reason"]), None)


def _shown(row: PayoutProposal, payout: int | None) -> dict[str, Any]:
    names = (
        "id participant_id period_start period_end share_percent total_requests total_compute_time_seconds state approved_at "
        "rejected_at rejected_because created_at"
    )
    return {
        **{name: getattr(row, name) for name in names.split()},
        "earned_ton": Money(row.earned_minor, ASSET),
        "amount_ton": Money(row.amount_minor, ASSET),
        "workers": [_worker(item) for item in row.workers],
        "payout_id": payout,
    }


def _worker(item: dict[str, Any]) -> dict[str, Any]:
    return {
        "worker_id": item["worker_id"],
        "worker_name": item["worker_name"],
        "earned_ton": Money(item["earned_minor"], ASSET),
        "price_coefficient": number(item["coefficient"]) / UNIT_COEFFICIENT,
        "shares_contract_with": item.get("shares_contract_with", []),
    }
