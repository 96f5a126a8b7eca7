"""RNP-019: what an account has, top-ups, and RENDER redeemed for credits."""

import uuid
from typing import Any

from flask_smorest import Blueprint

from app.api import identifiers, security, x402_payments
from app.api.context import hub, read_only, unit_of_work
from app.api.dialect import BadRequestParser
from app.api.idempotency import PARAMETER, idempotent, order_id
from app.api.rnp019 import paying
from app.api.rnp019.document import SIGNED_IN
from app.api.rnp019.schemas import payments as schemas
from app.core import deposit_records, holdings, redeem, solana_hub, topups
from app.values.money import parse

blueprint = Blueprint("rnp019_credits", __name__, url_prefix="/rnp/v1/credits", description="Balances and top-ups")
blueprint.ARGUMENTS_PARSER = BadRequestParser()


@blueprint.get("")
@blueprint.doc(**SIGNED_IN)
@blueprint.response(200, schemas.CreditsSchema)
def show() -> dict[str, Any]:
    """What there is to spend, by asset, and what is set aside for work that is not over."""
    with read_only() as session:
        caller = security.caller(session, "credits:read")
        found = holdings.read(session, caller.account_id, ("balance", "held"), schemas.ASSETS)
    balances, held = found.by_kind["balance"], found.by_kind["held"]
    return {"credits": balances[redeem.CREDITS], "balances": balances, "held": held, "wallet": found.wallet}


@blueprint.post("/topups")
@idempotent
@blueprint.doc(**SIGNED_IN, parameters=[PARAMETER])
@blueprint.arguments(schemas.TopUpSchema)
@blueprint.response(201, schemas.PaymentSchema)
@blueprint.alt_response(409, "CONFLICT")
@blueprint.alt_response(503, "SERVICE_UNAVAILABLE")
def top_up(body: dict[str, Any]) -> dict[str, Any]:
    """Ask where to pay a top-up: it is found on the chain by its memo, and stays on the balance in its own asset."""
    settings = hub().settings
    amount = parse(str(body["amount"]), body["asset"])
    with unit_of_work() as session:
        caller = security.caller(session, "credits:write")
        place = solana_hub.read(settings)
        payment = topups.ask(session, place, caller.account_id, amount, settings.deposit_seconds, order_id())
        return paying.told(session, payment.id)


@blueprint.get("/topups/<topup_id>")
@blueprint.doc(**SIGNED_IN)
@blueprint.response(200, schemas.PaymentSchema)
@blueprint.alt_response(400, "BAD_REQUEST")
@blueprint.alt_response(404, "NOT_FOUND")
def get_topup(topup_id: str) -> dict[str, Any]:
    """A top-up, and what came of every transaction that was seen for it."""
    with read_only() as session:
        caller = security.caller(session, "credits:read")
        found = deposit_records.get_own(session, caller.account_id, identifiers.read(topup_id, "topup_id"))
        return paying.told(session, found.payment.id)


@blueprint.post("/topups/<topup_id>/pay")
@idempotent
@blueprint.doc(**SIGNED_IN, parameters=[PARAMETER, *x402_payments.PARAMETERS])
@blueprint.arguments(schemas.TransactionOfPaymentSchema, required=False)
@blueprint.response(200, schemas.PaymentSchema)
@blueprint.alt_response(202, schema=schemas.PaymentSchema, description="handed over by x402, and not known to be final yet")
@blueprint.alt_response(402, schema=schemas.QuoteSchema, description="what there is to pay, also in PAYMENT-REQUIRED")
@blueprint.alt_response(404, "NOT_FOUND")
@blueprint.alt_response(409, "CONFLICT")
@blueprint.alt_response(503, "SERVICE_UNAVAILABLE")
def pay_topup(body: dict[str, str], topup_id: str) -> Any:
    """Show the transaction that pays a top-up, so that it is credited as soon as it is final, or pay it by x402; again is
    harmless."""
    wanted, brought = identifiers.read(topup_id, "topup_id"), x402_payments.brought()
    with read_only() as session:
        caller = security.caller(session, "credits:write")
        found = deposit_records.get_own(session, caller.account_id, wanted)
    return paying.pay(found.payment.id, "A top-up", body, brought)


@blueprint.post("/redeem")
@idempotent
@blueprint.doc(**SIGNED_IN, parameters=[PARAMETER])
@blueprint.arguments(schemas.RedemptionOrderSchema)
@blueprint.response(200, schemas.RedemptionSchema)
@blueprint.alt_response(402, "PAYMENT_REQUIRED")
@blueprint.alt_response(409, "CONFLICT")
def redeem_credits(body: dict[str, Any]) -> dict[str, Any]:
    """Turn RENDER of the balance into render credits, one for one; they don't turn back."""
    amount = parse(str(body["amount"]), redeem.SOURCE)
    with unit_of_work() as session, paying.short_of_credits():
        caller = security.caller(session, "credits:write")
        redeem.redeem(session, caller.account_id, amount, order_id() or uuid.uuid4())
        found = holdings.read(session, caller.account_id, ("balance",), (redeem.SOURCE, redeem.CREDITS)).by_kind["balance"]
    return {"redeemed": amount, "credits": found[redeem.CREDITS], "render": found[redeem.SOURCE]}
