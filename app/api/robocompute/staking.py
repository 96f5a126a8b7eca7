"""RoboCompute: what a provider stakes on its results."""

import uuid
from typing import Any

from flask_smorest import Blueprint

from app.api import moments
from app.api.context import hub, read_only, unit_of_work
from app.api.dialect import BadRequestParser
from app.api.idempotency import PARAMETER, idempotent, order_id
from app.api.robocompute import callers, funds
from app.api.robocompute.document import SIGNED_IN
from app.api.robocompute.schemas import staking as schemas
from app.core import disputes, stakes
from app.core.disputes import Wanted
from app.core.stakes import Stake
from app.models.disputes import Dispute
from app.models.stakes import Unstaking
from app.values.money import DOWN, Money, from_decimal
from app.values.states import DisputeState

READ, WRITE = "providers:read", "wallet:write"
EVENTS_MOST = 100

blueprint = Blueprint(
    "robocompute_staking", __name__, url_prefix="/api/v1/providers/<provider_id>/staking", description="Stakes"
)
blueprint.ARGUMENTS_PARSER = BadRequestParser()


@blueprint.get("")
@blueprint.doc(**SIGNED_IN)
@blueprint.arguments(schemas.CurrencySchema, location="query")
@blueprint.response(200, schemas.StakeStatusSchema)
@blueprint.alt_response(404, "NOT_FOUND")
def get_status(query: dict[str, str], provider_id: str) -> dict[str, Any]:
    """What is staked, what is on its way back, and what was slashed. All providers of an account have one stake."""
    asset = query["currency"]
    with read_only() as session:
        account_id = callers.provider(session, provider_id, READ).account_id
        found = stakes.read(session, account_id, asset)
        unstakings = stakes.unstakings(session, account_id, asset)
        wanted = Wanted(provider_account_id=account_id, asset=asset, state=DisputeState.SLASHED)
        slashed = disputes.page(session, wanted, EVENTS_MOST)
    return {
        **_shown(found),
        "unstakings": [_unstaking(row) for row in unstakings],
        "slashing_events": [_slashing(row) for row in slashed],
    }


@blueprint.post("/stake")
@idempotent
@blueprint.doc(**SIGNED_IN, parameters=[PARAMETER])
@blueprint.arguments(schemas.StakeOrderSchema)
@blueprint.response(200, schemas.StakeSchema)
@blueprint.alt_response(402, "PAYMENT_REQUIRED")
@blueprint.alt_response(404, "NOT_FOUND")
@blueprint.alt_response(409, "CONFLICT")
def stake(body: dict[str, Any], provider_id: str) -> dict[str, Any]:
    """Lock so much of the balance as stake."""
    amount = from_decimal(body["amount"], body["currency"], DOWN)
    with funds.told_in(amount.asset), unit_of_work() as session:
        account_id = callers.provider(session, provider_id, WRITE).account_id
        return _shown(stakes.stake(session, account_id, amount, order_id() or uuid.uuid4()))


@blueprint.post("/unstake")
@idempotent
@blueprint.doc(**SIGNED_IN, parameters=[PARAMETER])
@blueprint.arguments(schemas.StakeOrderSchema)
@blueprint.response(200, schemas.UnstakedSchema)
@blueprint.alt_response(402, "PAYMENT_REQUIRED")
@blueprint.alt_response(404, "NOT_FOUND")
@blueprint.alt_response(409, "CONFLICT")
def unstake(body: dict[str, Any], provider_id: str) -> dict[str, Any]:
    """Ask so much of the stake back: it comes after a delay, in which it can still be slashed."""
    amount, delay_hours = from_decimal(body["amount"], body["currency"], DOWN), hub().stake_rules.unstake_delay_hours
    with funds.told_in(amount.asset), unit_of_work() as session:
        account_id = callers.provider(session, provider_id, WRITE).account_id
        row = stakes.unstake(session, account_id, amount, order_id() or uuid.uuid4(), delay_hours)
        return _shown(stakes.read(session, account_id, amount.asset)) | _unstaking(row)


def _shown(found: Stake) -> dict[str, Any]:
    asset = found.staked.asset
    minimum = hub().stake_rules.minimums[asset]
    return {
        "staked_amount": found.staked,
        "currency": asset,
        "minimum_required": minimum,
        "is_sufficient": found.staked >= minimum,
        "unstaking_amount": found.unstaking,
        "at_risk_amount": found.at_risk,
    }


def _unstaking(row: Unstaking) -> dict[str, Any]:
    return {
        "unstake_id": row.id,
        "amount": Money(row.amount_minor, row.asset),
        "status": row.state,
        "available_at": moments.written(row.releases_at),
        "released_amount": None if row.released_minor is None else Money(row.released_minor, row.asset),
        "created_at": moments.written(row.created_at),
    }


def _slashing(row: Dispute) -> dict[str, Any]:
    assert row.decided_at is not None
    return {
        "code": "SLASHING_EVENT",
        "dispute_id": row.id,
        "task_id": row.job_id,
        "amount": Money(row.cost_minor + (row.penalty_minor or 0), row.asset),
        "owed": Money(row.owed_minor or 0, row.asset),
        "reason": row.decision_reason,
        "created_at": moments.written(row.decided_at),
    }
