"""RoboCompute: what an account has, and deposits in USDC and USDT on Solana."""

from typing import Any

from flask_smorest import Blueprint

from app.api import identifiers, moments, security
from app.api.context import hub, read_only, unit_of_work
from app.api.dialect import BadRequestParser
from app.api.idempotency import PARAMETER as IDEMPOTENCY_KEY
from app.api.idempotency import idempotent, order_id
from app.api.robocompute import deposit_states
from app.api.robocompute.document import SIGNED_IN
from app.api.robocompute.schemas import wallet as schemas
from app.api.robocompute.schemas.loose import CURRENCIES, PageSchema
from app.core import deposit_records, holdings, payment_methods, payments, solana_deposits, solana_hub
from app.core.deposit_records import DepositView
from app.errors import Conflict, InvalidInput, LightyardError
from app.flows import payments as payment_flows
from app.flows.billing import MEMO_PREFIX
from app.models.payments import ChainTransaction
from app.values.money import DOWN, Money, from_decimal
from app.values.payouts import SOLANA

DEPOSITS_MOST = 100
# Of a transaction; what is no payment as it was asked for, and is on the balance all the same, reads "credited" here.
_TRANSACTION_WORDS = {"refundable": "credited"}
_KINDS = {"balance": "balance", "held": "held", "stake": "staked", "unstaking": "unstaking", "payout": "paying_out"}

blueprint = Blueprint("robocompute_wallet", __name__, url_prefix="/api/v1/wallet", description="Balances and deposits")
blueprint.ARGUMENTS_PARSER = BadRequestParser()


@blueprint.get("/balance")
@blueprint.doc(**SIGNED_IN)
@blueprint.response(200, schemas.BalanceSchema)
def get_balance() -> dict[str, Any]:
    """What there is to spend, what is set aside for tasks, and what is staked."""
    with read_only() as session:
        caller = security.caller(session, "wallet:read")
        found = holdings.read(session, caller.account_id, tuple(_KINDS), (*CURRENCIES, "SOL"))
        method = payment_methods.read(session, caller.account_id)
    tokens = {f"{asset.lower()}_{word}": found.by_kind[kind][asset] for kind, word in _KINDS.items() for asset in CURRENCIES}
    return {
        **tokens,
        "sol_balance": found.by_kind["balance"]["SOL"],
        "wallet_address": found.wallet,
        "topup_deposit_id": method.topup_payment_id,
    }


@blueprint.post("/deposit")
@idempotent
@blueprint.doc(**SIGNED_IN, parameters=[IDEMPOTENCY_KEY])
@blueprint.arguments(schemas.DepositOrderSchema)
@blueprint.response(201, schemas.DepositWithTransactionsSchema)
@blueprint.alt_response(409, "CONFLICT")
@blueprint.alt_response(503, "SERVICE_UNAVAILABLE")
def deposit(body: dict[str, Any]) -> dict[str, Any]:
    """Ask where to pay a deposit: it is found on the chain by its memo, and credited once, whatever arrives and whenever."""
    settings = hub().settings
    with unit_of_work() as session:
        caller = security.caller(session, "wallet:write")
        asset = body.get("currency") or payment_methods.read(session, caller.account_id).currency
        payments.assert_room(session, caller.account_id, DEPOSITS_MOST)
        payment = solana_deposits.ask(
            session,
            solana_hub.read(settings),
            caller.account_id,
            from_decimal(body["amount"], asset, DOWN),
            memo_prefix=MEMO_PREFIX,
            seconds=settings.deposit_seconds,
            note=body["memo"],
            payment_id=order_id(),
        )
        return _shown(DepositView(payment, Money(0, asset)))


@blueprint.get("/deposits")
@blueprint.doc(**SIGNED_IN)
@blueprint.arguments(PageSchema, location="query")
@blueprint.response(200, schemas.DepositsSchema)
def list_deposits(page: dict[str, int]) -> dict[str, Any]:
    """One's own deposits, the newest first."""
    with read_only() as session:
        caller = security.caller(session, "wallet:read")
        found = deposit_records.listed(session, caller.account_id, CURRENCIES, page["limit"], page["offset"])
    return {"deposits": [_shown(item) for item in found], "count": len(found)}


@blueprint.get("/deposits/<deposit_id>")
@blueprint.doc(**SIGNED_IN)
@blueprint.response(200, schemas.DepositWithTransactionsSchema)
@blueprint.alt_response(400, "BAD_REQUEST")
@blueprint.alt_response(404, "NOT_FOUND")
def get_deposit(deposit_id: str) -> dict[str, Any]:
    """A deposit, and what came of every transaction that was seen for it."""
    with read_only() as session:
        caller = security.caller(session, "wallet:read")
        return _shown(deposit_records.get_own(session, caller.account_id, identifiers.read(deposit_id, "deposit_id")))


@blueprint.post("/deposits/<deposit_id>/pay")
@idempotent
@blueprint.doc(**SIGNED_IN, parameters=[IDEMPOTENCY_KEY])
@blueprint.arguments(schemas.PaymentSchema)
@blueprint.response(200, schemas.DepositWithTransactionsSchema)
@blueprint.alt_response(404, "NOT_FOUND")
@blueprint.alt_response(409, "CONFLICT")
def pay_deposit(body: dict[str, str], deposit_id: str) -> dict[str, Any]:
    """Show the transaction that pays a deposit, so that it is credited as soon as it is final; showing it again is harmless."""
    with unit_of_work() as session:
        caller = security.caller(session, "wallet:write")
        found = deposit_records.get_own(session, caller.account_id, identifiers.read(deposit_id, "deposit_id"))
        if found.payment.chain != SOLANA:
            raise Conflict(f"this deposit is paid on {found.payment.chain}, and found there by itself", code="OTHER_CHAIN")
        shown_id = payments.present(session, found.payment, body["tx_signature"]).id
    try:
        payment_flows.verify(hub().database, hub().chain, shown_id)
    except LightyardError as error:
        if not error.retryable:
            raise
    with read_only() as session:
        _assert_counts(payments.get_shown(session, shown_id))
        return _shown(deposit_records.get_own(session, caller.account_id, found.payment.id))


def _assert_counts(shown: ChainTransaction) -> None:
    if shown.code == payments.TRANSACTION_USED:
        raise Conflict(shown.message or "this transaction was used before", code=payments.TRANSACTION_USED)
    if shown.state == "refused":
        details = {"reason": shown.code, "tx_signature": shown.signature}
        raise InvalidInput(
            shown.message or "this transaction does not pay the deposit", code="VERIFICATION_FAILED", details=details
        )


def _shown(item: DepositView) -> dict[str, Any]:
    payment = item.payment
    return {
        "id": payment.id,
        "deposit_id": payment.id,
        "status": deposit_states.word(item.is_confirmed, item.received.minor > 0, item.is_expired),
        "asset": payment.asset,
        "currency": payment.asset,
        "amount": item.amount,
        "received": item.received,
        "chain": payment.chain,
        "pay_to": payment.pay_to,
        "mint": payment.mint,
        "memo": payment.memo,
        "note": payment.note,
        "created_at": moments.written(payment.created_at),
        "expires_at": moments.written(payment.expires_at),
        "confirmed_at": payment.confirmed_at and moments.written(payment.confirmed_at),
        "tx_signature": payment.tx_signature,
        "transactions": [_transaction(shown, payment.asset) for shown in item.transactions],
    }


def _transaction(shown: ChainTransaction, asset: str) -> dict[str, Any]:
    return {
        "tx_signature": shown.signature,
        "status": _TRANSACTION_WORDS.get(shown.state, shown.state),
        "code": shown.code,
        "message": shown.message,
        "amount": Money(shown.received_minor, asset),
        "payer": shown.payer,
        "seen_at": moments.written(shown.created_at),
    }
