"""RenderTrust: Stripe's events."""

from typing import Any

from flask import request
from flask_smorest import Blueprint

from app.adapters import stripe
from app.api.context import hub, unit_of_work
from app.api.rendertrust.schemas import webhooks as schemas
from app.core import card_payments
from app.values import clock

blueprint = Blueprint("rendertrust_webhooks", __name__, url_prefix="/api/v1/webhooks", description="Stripe")
SIGNED_BY_STRIPE: dict[str, Any] = {
    "parameters": [{"name": "Stripe-Signature", "in": "header", "required": True, "schema": {"type": "string"}}],
    "requestBody": {"required": True, "content": {"application/json": {"schema": {"type": "object"}}}},
}


@blueprint.post("/stripe")
@blueprint.doc(**SIGNED_BY_STRIPE)
@blueprint.response(200, schemas.ReceiptSchema)
@blueprint.alt_response(400, description="Missing signature or verification failure")
@blueprint.alt_response(413, "REQUEST_ENTITY_TOO_LARGE")
def take_stripe_event() -> dict[str, bool]:
    """Take an event signed by Stripe. What it says counts once, however often and in whatever order events come."""
    settings, body = hub().settings, request.get_data()
    shown, secrets = request.headers.get("Stripe-Signature"), settings.stripe_webhook_secret
    event = stripe.read_event(body, shown, secrets, settings.stripe_tolerance_seconds, clock.now())
    with unit_of_work() as session:
        card_payments.take(session, event, body.decode(), hub().card_terms)
    return {"received": True}
