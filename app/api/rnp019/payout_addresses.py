"""Where an account's earnings go: a wallet of its own on each chain."""

from typing import Any

from flask_smorest import Blueprint

from app.api import identifiers, moments, security
from app.api.context import hub, read_only, unit_of_work
from app.api.dialect import BadRequestParser
from app.api.rnp019.document import SIGNED_IN
from app.api.rnp019.schemas import payout_addresses as schemas
from app.core import payout_addresses
from app.models.payouts import PayoutAddress

blueprint = Blueprint(
    "rnp019_payout_addresses", __name__, url_prefix="/rnp/v1/wallet/payout-addresses", description="Where earnings go"
)
blueprint.ARGUMENTS_PARSER = BadRequestParser()


@blueprint.post("")
@blueprint.doc(**SIGNED_IN)
@blueprint.arguments(schemas.PayoutAddressOrderSchema)
@blueprint.response(201, schemas.PayoutAddressSchema)
@blueprint.alt_response(409, "CONFLICT")
def choose(body: dict[str, Any]) -> dict[str, Any]:
    """Have earnings paid to a wallet that has signed for this account; another one than at registration after a cool-off."""
    with unit_of_work() as session:
        caller = security.caller(session, "wallet:write")
        made = payout_addresses.propose_own(
            session, caller.account_id, body["chain"], body["address"], hub().address_rules, body["automatic"]
        )
        return _shown(made)


@blueprint.get("")
@blueprint.doc(**SIGNED_IN)
@blueprint.response(200, schemas.PayoutAddressesSchema)
def list_addresses() -> dict[str, Any]:
    """One's own addresses, the newest first: of each chain the newest usable one counts."""
    with read_only() as session:
        caller = security.caller(session, "wallet:read")
        found = [_shown(item) for item in payout_addresses.listed(session, caller.account_id)]
    return {"payout_addresses": found, "count": len(found)}


@blueprint.delete("/<address_id>")
@blueprint.doc(**SIGNED_IN)
@blueprint.response(204)
@blueprint.alt_response(400, "BAD_REQUEST")
@blueprint.alt_response(404, "NOT_FOUND")
def revoke(address_id: str) -> None:
    """Take an address back, at once; the one before it counts again."""
    with unit_of_work() as session:
        caller = security.caller(session, "wallet:write")
        payout_addresses.revoke(session, caller.account_id, identifiers.read(address_id, "address_id"))


def _shown(item: PayoutAddress) -> dict[str, Any]:
    return {
        "id": item.id,
        "chain": item.chain,
        "address": item.address,
        "automatic": item.is_automatic,
        "usable_at": moments.written(item.usable_at),
        "created_at": moments.written(item.created_at),
    }
