"""Cocoon: payouts to participants, recorded and looked at."""

from typing import Any

from flask_smorest import Blueprint

from app.api.cocoon import identifiers
from app.api.cocoon.blueprint import ExactBlueprint
from app.api.cocoon.callers import operator, reach
from app.api.cocoon.document import SIGNED_IN
from app.api.cocoon.schemas import payouts as schemas
from app.api.context import hub, read_only
from app.api.idempotency import PARAMETER, idempotent
from app.core import participant_payouts, participants, payouts
from app.flows import payout_recording
from app.flows.payout_recording import NewRecord
from app.models.payouts import Payout

READ, WRITE = "payouts:read", "payouts:write"
blueprint: Blueprint = ExactBlueprint("cocoon_payouts", __name__, url_prefix="/api/v1/payouts", description="Payouts")


@blueprint.get("")
@blueprint.doc(**SIGNED_IN)
@blueprint.arguments(schemas.PayoutsQuerySchema, location="query")
@blueprint.response(200, schemas.PayoutSchema(many=True))
@blueprint.alt_response(404, "NOT_FOUND")
def list_payouts(query: dict[str, Any]) -> list[dict[str, Any]]:
    """Payouts, the newest first."""
    with read_only() as session:
        found, wanted = reach(session, READ), query["participant_id"]
        if wanted is not None and not found.is_operator:
            participants.get(session, wanted, found.among)
        rows = participant_payouts.page(session, found.among, query["limit"], query["offset"], wanted, query["confirmed"])
    return [_shown(row) for row in rows]


@blueprint.post("")
@idempotent
@blueprint.doc(**SIGNED_IN, parameters=[PARAMETER])
@blueprint.arguments(schemas.NewPayoutSchema)
@blueprint.response(201, schemas.PayoutSchema)
@blueprint.alt_response(400, "BAD_REQUEST")
@blueprint.alt_response(404, "NOT_FOUND")
@blueprint.alt_response(409, "CONFLICT")
def record(body: dict[str, Any]) -> dict[str, Any]:
    """Record a payout that was made elsewhere. It is looked up on TON, and `confirmed` once it is found there."""
    with read_only() as session:
        operator(session, WRITE)
    told = NewRecord(
        participant_id=body["participant_id"],
        tx_hash=body["transaction_hash"],
        amount=body["amount_ton"],
        amount_usd=body["amount_usd"],
        source=body["from_address"],
        destination=body["to_address"],
        transaction_time=body["transaction_time"],
        period_start=body["period_start"],
        period_end=body["period_end"],
        total_requests=body["total_requests"],
        total_compute_time_seconds=body["total_compute_time_seconds"],
    )
    number = payout_recording.record(hub().database, hub().usd_rates, told)
    with read_only() as session:
        return _shown(participant_payouts.get(session, number, None))


@blueprint.get("/<payout_id>")
@blueprint.doc(**SIGNED_IN)
@blueprint.response(200, schemas.PayoutSchema)
@blueprint.alt_response(404, "NOT_FOUND")
@blueprint.alt_response(422, "UNPROCESSABLE_ENTITY")
def show(payout_id: str) -> dict[str, Any]:
    """One payout."""
    with read_only() as session:
        among = reach(session, READ).among
        return _shown(participant_payouts.get(session, identifiers.read(payout_id, "payout_id"), among))


@blueprint.get("/participant/<participant_id>/summary")
@blueprint.doc(**SIGNED_IN)
@blueprint.response(200, schemas.SummarySchema)
@blueprint.alt_response(404, "NOT_FOUND")
@blueprint.alt_response(422, "UNPROCESSABLE_ENTITY")
def show_summary(participant_id: str) -> dict[str, Any]:
    """What a participant was paid in all."""
    with read_only() as session:
        among = reach(session, READ).among
        wanted = participants.get(session, identifiers.read(participant_id, "participant_id"), among).id
        found = participant_payouts.summary(session, wanted)
    return {
        "participant_id": wanted,
        "total_payouts": found.total_payouts,
        "confirmed_payouts": found.confirmed_payouts,
        "total_amount_ton": found.total,
        "total_amount_usd": found.amount_usd,
        "first_payout": found.first,
        "last_payout": found.last,
    }


def _shown(row: Payout) -> dict[str, Any]:
    names = (
        "participant_id amount_usd usd_rate usd_rate_source transaction_time period_start period_end confirmations block_number "
        "total_requests total_compute_time_seconds origin state created_at"
    )
    return {
        **{name: getattr(row, name) for name in names.split()},
        "id": row.number,
        "transaction_hash": row.tx_hash,
        "amount_ton": participant_payouts.amount_of(row),
        "from_address": row.source,
        "to_address": row.destination,
        "confirmed": row.is_confirmed,
        "reason": payouts.reason(row),
    }
