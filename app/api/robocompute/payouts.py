"""RoboCompute: a provider's earnings on their way to a wallet, and the wallets that they may go to."""

import uuid
from typing import Any

from flask_smorest import Blueprint

from app.api import identifiers, moments
from app.api.context import hub, read_only, unit_of_work
from app.api.dialect import BadRequestParser
from app.api.idempotency import PARAMETER, idempotent, order_id
from app.api.robocompute import callers, funds, payout_states
from app.api.robocompute.callers import ProviderCaller
from app.api.robocompute.document import SIGNED_IN
from app.api.robocompute.schemas import payouts as schemas
from app.api.robocompute.schemas.loose import CURRENCIES
from app.core import ledger, payout_addresses, payouts
from app.core.ledger import Party
from app.core.payouts import Filter
from app.db import Session
from app.models.payouts import Payout, PayoutAddress
from app.values.money import DOWN, Money, from_decimal
from app.values.payouts import SOLANA

READ, WRITE = "payouts:read", "payouts:write"
PENDING_MOST = 1000

blueprint = Blueprint(
    "robocompute_payouts", __name__, url_prefix="/api/v1/providers/<provider_id>/payouts", description="Payouts of earnings"
)
blueprint.ARGUMENTS_PARSER = BadRequestParser()


@blueprint.post("/request")
@idempotent
@blueprint.doc(**SIGNED_IN, parameters=[PARAMETER])
@blueprint.arguments(schemas.PayoutOrderSchema)
@blueprint.response(201, schemas.PayoutSchema)
@blueprint.alt_response(402, "PAYMENT_REQUIRED")
@blueprint.alt_response(404, "NOT_FOUND")
@blueprint.alt_response(409, "CONFLICT")
def request_payout(body: dict[str, Any], provider_id: str) -> dict[str, Any]:
    """Have so much of the balance paid out, to a wallet that has signed for this account."""
    money = from_decimal(body["amount"], body["currency"], DOWN)
    with funds.told_in(money.asset), unit_of_work() as session:
        provider = callers.provider(session, provider_id, WRITE)
        reference = f"robocompute:{order_id() or uuid.uuid4()}"
        to = _destination(session, provider, body["wallet_address"])
        return _shown(payouts.request(session, provider.account_id, money, reference, hub().payout_rules, to))


def _destination(session: Session, provider: ProviderCaller, wanted: str | None) -> str | None:
    """In canonical form; None is the payout address, which a provider without one has in its own wallet."""
    if wanted is not None:
        return payout_addresses.read(SOLANA, wanted)
    has_one = payout_addresses.usable(session, provider.account_id, SOLANA) is not None
    return None if has_one else provider.provider.wallet


@blueprint.get("/history")
@blueprint.doc(**SIGNED_IN)
@blueprint.arguments(schemas.PayoutsQuerySchema, location="query")
@blueprint.response(200, schemas.PayoutsSchema)
@blueprint.alt_response(404, "NOT_FOUND")
def list_history(query: dict[str, int], provider_id: str) -> dict[str, Any]:
    """All payouts of the provider's account, the newest first."""
    with read_only() as session:
        account_id = callers.provider(session, provider_id, READ).account_id
        found = payouts.listed(session, Filter(account_id=account_id), query["limit"], query["offset"])
    return {"payouts": [_shown(item) for item in found], "count": len(found)}


@blueprint.get("/pending")
@blueprint.doc(**SIGNED_IN)
@blueprint.response(200, schemas.PendingPayoutsSchema)
@blueprint.alt_response(404, "NOT_FOUND")
def list_pending(provider_id: str) -> dict[str, Any]:
    """What is on its way, and what could be asked for now."""
    with read_only() as session:
        account_id = callers.provider(session, provider_id, READ).account_id
        found = payouts.listed(session, Filter(account_id=account_id, states=payout_states.OPEN), PENDING_MOST)
        sums = {
            f"{word}_{asset.lower()}": ledger.balance(session, Party(kind, account_id), asset)
            for word, kind in (("available", "balance"), ("pending", "payout"))
            for asset in CURRENCIES
        }
    least = hub().payout_rules.minimums[CURRENCIES[0]]
    return {"payouts": [_shown(item) for item in found], "count": len(found), "minimum_payout": least, **sums}


@blueprint.get("/addresses")
@blueprint.doc(**SIGNED_IN)
@blueprint.response(200, schemas.AddressesSchema)
@blueprint.alt_response(404, "NOT_FOUND")
def list_addresses(provider_id: str) -> dict[str, Any]:
    """The wallets that have signed to be paid, the newest first, and what another one signs to be added."""
    with read_only() as session:
        account_id = callers.provider(session, provider_id, READ).account_id
        found = payout_addresses.listed(session, account_id)
    told = f"payout-address:{account_id}:{SOLANA}:{{wallet_address}}:{{timestamp}}"
    return {"addresses": [_address(item) for item in found], "count": len(found), "message": told}


@blueprint.post("/addresses")
@blueprint.doc(**SIGNED_IN)
@blueprint.arguments(schemas.AddressOrderSchema)
@blueprint.response(201, schemas.AddressSchema)
@blueprint.alt_response(404, "NOT_FOUND")
@blueprint.alt_response(409, "CONFLICT")
def add_address(body: dict[str, Any], provider_id: str) -> dict[str, Any]:
    """Add a wallet by its signature; another one than at registration may be paid after a cool-off."""
    with unit_of_work() as session:
        account_id = callers.provider(session, provider_id, WRITE).account_id
        signed = body["wallet_address"], body["timestamp"], body["signature"]
        rules = hub().address_rules
        return _address(payout_addresses.propose(session, account_id, SOLANA, *signed, rules, body["automatic"]))


@blueprint.delete("/addresses/<address_id>")
@blueprint.doc(**SIGNED_IN)
@blueprint.response(204)
@blueprint.alt_response(400, "BAD_REQUEST")
@blueprint.alt_response(404, "NOT_FOUND")
def revoke_address(provider_id: str, address_id: str) -> None:
    """Take an address back, at once."""
    with unit_of_work() as session:
        account_id = callers.provider(session, provider_id, WRITE).account_id
        payout_addresses.revoke(session, account_id, identifiers.read(address_id, "address_id"))


def _shown(item: Payout) -> dict[str, Any]:
    return {
        "payout_id": item.id,
        "status": payout_states.word(item.state),
        "amount": Money(item.amount_minor, item.asset),
        "currency": item.asset,
        "wallet_address": item.destination,
        "chain": item.chain,
        "reason": payouts.reason(item),
        "tx_hash": item.tx_hash,
        "created_at": moments.written(item.created_at),
        "confirmed_at": None if item.confirmed_at is None else moments.written(item.confirmed_at),
    }


def _address(item: PayoutAddress) -> dict[str, Any]:
    return {
        "address_id": item.id,
        "wallet_address": item.address,
        "chain": item.chain,
        "automatic": item.is_automatic,
        "usable_at": moments.written(item.usable_at),
        "created_at": moments.written(item.created_at),
    }
