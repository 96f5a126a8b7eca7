"""RoboCompute: what moved, what tasks used, and how an account wants to pay."""

from typing import Any

from flask_smorest import Blueprint

from app.api import moments, security
from app.api.context import hub, read_only, unit_of_work
from app.api.dialect import BadRequestParser
from app.api.idempotency import PARAMETER as IDEMPOTENCY_KEY
from app.api.idempotency import idempotent
from app.api.robocompute import movement_words
from app.api.robocompute.document import SIGNED_IN
from app.api.robocompute.schemas import billing as schemas
from app.api.robocompute.schemas.loose import written
from app.api.robocompute.schemas.spans import SpanSchema, assets_of, span_of
from app.core import movements, payment_methods, solana_hub, usage
from app.core.movements import Movement, Totals
from app.core.payment_methods import Method
from app.core.usage import Usage
from app.flows.billing import MEMO_PREFIX
from app.values.money import DOWN, Money, from_decimal

blueprint = Blueprint("robocompute_billing", __name__, url_prefix="/api/v1/billing", description="History, usage, payment")
blueprint.ARGUMENTS_PARSER = BadRequestParser()


@blueprint.get("/history")
@blueprint.doc(**SIGNED_IN)
@blueprint.arguments(SpanSchema, location="query")
@blueprint.response(200, schemas.HistorySchema)
def get_history(query: dict[str, Any]) -> dict[str, Any]:
    """Every change of the balance, the newest first, and what all of them add up to."""
    span, assets = span_of(query), assets_of(query)
    with read_only() as session:
        caller = security.caller(session, "billing:read")
        found = movements.page(session, caller.account_id, assets, span, query["limit"], query["offset"])
        totals = movements.totals(session, caller.account_id, assets, span)
    return {
        "transactions": [_movement(item) for item in found],
        "count": len(found),
        "totals": {asset: _totals(item) for asset, item in totals.items()},
        "start_date": span.since and moments.written(span.since),
        "end_date": span.until and moments.written(span.until),
    }


@blueprint.get("/usage")
@blueprint.doc(**SIGNED_IN)
@blueprint.arguments(SpanSchema, location="query")
@blueprint.response(200, schemas.UsageSchema)
def get_usage(query: dict[str, Any]) -> dict[str, Any]:
    """What each task used, by the second: what was charged, and what those that run have come to by now."""
    with read_only() as session:
        caller = security.caller(session, "billing:read")
        found = usage.page(
            session, caller.account_id, assets_of(query), span_of(query), query["limit"], query["offset"]
        )
    return {
        "usage": [_usage(item) for item in found],
        "count": len(found),
        "total_seconds": sum(item.seconds for item in found),
        "total_usdc": _sum(found, "USDC"),
        "total_usdt": _sum(found, "USDT"),
    }


@blueprint.get("/payment-method")
@blueprint.doc(**SIGNED_IN)
@blueprint.response(200, schemas.PaymentMethodSchema)
def get_payment_method() -> dict[str, Any]:
    """How the account wants to pay."""
    with read_only() as session:
        caller = security.caller(session, "billing:read")
        return _method(payment_methods.read(session, caller.account_id))


@blueprint.post("/payment-method")
@idempotent
@blueprint.doc(**SIGNED_IN, parameters=[IDEMPOTENCY_KEY])
@blueprint.arguments(schemas.PaymentMethodOrderSchema)
@blueprint.response(200, schemas.PaymentMethodSchema)
@blueprint.alt_response(409, "CONFLICT")
def set_payment_method(body: dict[str, Any]) -> dict[str, Any]:
    """Say how the account wants to pay from now on; what is left out is the default again. A top-up that is due is asked for."""
    asset, is_topped_up = body["preferred_currency"], body["auto_topup"]
    method = Method(
        currency=asset,
        topup_below=from_decimal(body["topup_threshold"], asset, DOWN) if is_topped_up else None,
        topup=from_decimal(body["topup_amount"], asset, DOWN) if is_topped_up else None,
        billing_details=body["billing_details"],
    )
    with unit_of_work() as session:
        caller = security.caller(session, "billing:write")
        payment_methods.choose(session, caller.account_id, method)
        if is_topped_up:
            payment_methods.ask_topup(session, solana_hub.read(hub().settings), caller.account_id, MEMO_PREFIX)
        return _method(payment_methods.read(session, caller.account_id))


def _movement(item: Movement) -> dict[str, Any]:
    return {
        "id": item.id,
        "entry_id": item.number,
        "type": movement_words.word(item.is_credit, item.counterpart, item.is_own),
        "amount": written(item.amount),
        "currency": item.amount.asset,
        "balance_after": item.balance_after,
        "task_id": item.task_id,
        "job_id": item.job_id,
        "name": item.name,
        "description": item.description,
        "created_at": moments.written(item.created_at),
    }


def _totals(item: Totals) -> dict[str, Any]:
    by_type: dict[str, Money] = {}
    for part in item.sums:
        word = movement_words.word(part.is_credit, part.counterpart, part.is_own)
        by_type[word] = by_type.get(word, Money(0, part.amount.asset)) + part.amount
    return {
        "opening_balance": written(item.opening),
        "closing_balance": written(item.closing),
        "by_type": {word: written(amount) for word, amount in sorted(by_type.items())},
        "spent": item.spent,
        "tasks_charged": item.tasks_charged,
    }


def _usage(item: Usage) -> dict[str, Any]:
    ended, under_way = "charged" if item.amount.minor else "released", "running" if item.is_running else "waiting"
    return {
        "task_id": item.task_id,
        "name": item.name,
        "status": under_way if item.is_open else ended,
        "seconds": item.seconds,
        "price_per_hour": item.price,
        "amount": item.amount,
        "held": item.held,
        "currency": item.amount.asset,
        "started_at": moments.written(item.started_at),
        "charged_at": item.charged_at and moments.written(item.charged_at),
        "invoice_id": item.invoice_id,
    }


def _sum(found: list[Usage], asset: str) -> Money:
    return sum((item.amount for item in found if item.amount.asset == asset), Money(0, asset))


def _method(method: Method) -> dict[str, Any]:
    return {
        "type": "wallet",
        "preferred_currency": method.currency,
        "auto_topup": method.is_topped_up,
        "topup_threshold": method.topup_below,
        "topup_amount": method.topup,
        "topup_deposit_id": method.topup_payment_id,
        "billing_details": method.billing_details,
    }
