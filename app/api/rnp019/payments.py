"""RNP-019: pay a job."""

from typing import Any

from flask_smorest import Blueprint

from app.api import identifiers, security, x402_payments
from app.api.context import hub, unit_of_work
from app.api.dialect import BadRequestParser
from app.api.idempotency import PARAMETER, idempotent
from app.api.rnp019 import paying
from app.api.rnp019.document import SIGNED_IN
from app.api.rnp019.schemas import payments as schemas
from app.core import render_orders, render_payments, solana_hub

blueprint = Blueprint("rnp019_payments", __name__, url_prefix="/rnp/v1/jobs", description="Payments of jobs")
blueprint.ARGUMENTS_PARSER = BadRequestParser()


@blueprint.post("/<job_id>/pay")
@idempotent
@blueprint.doc(**SIGNED_IN, parameters=[PARAMETER, *x402_payments.PARAMETERS])
@blueprint.arguments(schemas.JobPaymentSchema, required=False)
@blueprint.response(200, schemas.PaymentSchema)
@blueprint.alt_response(202, schema=schemas.PaymentSchema, description="handed over by x402, and not known to be final yet")
@blueprint.alt_response(402, schema=schemas.QuoteSchema, description="what there is to pay, also in PAYMENT-REQUIRED")
@blueprint.alt_response(404, "NOT_FOUND")
@blueprint.alt_response(409, "CONFLICT")
@blueprint.alt_response(503, "SERVICE_UNAVAILABLE")
def pay(body: dict[str, Any], job_id: str) -> Any:
    """Pay a job of one's own that is paid first, or one that is paid before download and over: from the balance, by a transaction
    that was sent, or by x402. With none of them the answer is 402: how it can be paid."""
    wanted, brought = identifiers.read(job_id, "job_id"), x402_payments.brought()
    seconds = hub().settings.quote_seconds
    with unit_of_work() as session, paying.short_of_credits():
        caller = security.caller(session, "jobs:write")
        if body.get("source") == schemas.BALANCE:
            return paying.told(session, render_payments.pay_from_balance(session, caller.account_id, wanted, seconds).id)
        job, _ = render_orders.lock_own(session, caller.account_id, wanted)
        known = render_payments.find(session, job.id)
        if known is None or not paying.is_about(session, known, body, brought):
            known = render_payments.ask(session, solana_hub.read(hub().settings), job, seconds)
    return paying.pay(known.id, "A render", body, brought)
