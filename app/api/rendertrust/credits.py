"""RenderTrust: credits."""

from typing import Any

from flask_smorest import Blueprint

from app.api import moments, security
from app.api.context import read_only, unit_of_work
from app.api.idempotency import idempotent
from app.api.rendertrust.document import IDEMPOTENCY_KEY, SIGNED_IN
from app.api.rendertrust.schemas import credits as schemas
from app.api.rendertrust.schemas.loose import PageSchema
from app.api.rendertrust.words import SOURCES
from app.core import credits
from app.core.credits import CreditEntry

blueprint = Blueprint("rendertrust_credits", __name__, url_prefix="/api/v1/credits", description="Credits")


@blueprint.get("/balance")
@blueprint.doc(**SIGNED_IN)
@blueprint.response(200, schemas.BalanceSchema)
def get_balance() -> dict[str, Any]:
    """What there is to spend."""
    with read_only() as session:
        caller = security.caller(session, "credits:read")
        return {**credits.balances(session, caller.account_id), "user_id": caller.account_id}


@blueprint.get("/history")
@blueprint.doc(**SIGNED_IN)
@blueprint.arguments(PageSchema, location="query")
@blueprint.response(200, schemas.HistorySchema)
def get_history(page: dict[str, int]) -> dict[str, Any]:
    """Every change of the balance, the newest first."""
    with read_only() as session:
        caller = security.caller(session, "credits:read")
        entries = [_entry(item) for item in credits.history(session, caller.account_id, page["limit"], page["offset"])]
    return {"entries": entries, "count": len(entries)}


@blueprint.post("/deduct")
@idempotent
@blueprint.doc(**SIGNED_IN, parameters=[IDEMPOTENCY_KEY])
@blueprint.arguments(schemas.DeductionSchema)
@blueprint.response(200, schemas.EntrySchema)
@blueprint.alt_response(402, "PAYMENT_REQUIRED")
@blueprint.alt_response(409, "CONFLICT")
def deduct(body: dict[str, Any]) -> dict[str, Any]:
    """Spend credits; the same reference_id again is the same entry."""
    with unit_of_work() as session:
        caller = security.caller(session, "credits:write")
        return _entry(
            credits.deduct(session, caller.account_id, body["amount"], body["reference_id"], body["description"])
        )


def _entry(item: CreditEntry) -> dict[str, Any]:
    return {
        "id": item.id,
        "entry_id": item.number,
        "amount": item.amount,
        "direction": item.direction,
        "source": SOURCES[item.purpose],
        "reference_id": item.reference_id,
        "balance_after": item.balance_after,
        "description": item.description,
        "created_at": moments.written(item.created_at),
    }
