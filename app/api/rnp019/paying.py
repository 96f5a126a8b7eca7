"""What every payment of the dialect shares: how it is asked for, shown and handed over, and the answers to that."""

import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from flask import make_response

from app.api import x402_payments
from app.api.context import hub, read_only, unit_of_work
from app.api.dialect import envelope
from app.api.idempotency import NOT_OVER
from app.api.rnp019 import payment_bodies
from app.api.rnp019.schemas.payments import PaymentSchema
from app.api.x402_payments import Brought
from app.core import deposit_records, payments, render_payments, x402_settlements
from app.db import Session
from app.errors import Conflict, InvalidInput, LightyardError, PaymentRequired
from app.flows import payments as payment_flows
from app.models.payments import ChainTransaction, Payment
from app.values.payouts import SOLANA

QUOTED = PaymentRequired.code


def is_about(session: Session, payment: Payment, body: Mapping[str, Any], brought: Brought | None) -> bool:
    """Whether a request is about a payment that was asked for before, whatever has become of that: it shows a transaction for it,
    or hands over one that it has handed over before."""
    if brought is not None:
        return x402_settlements.of_message(session, payment, brought.transfer) is not None
    return "tx_signature" in body


def pay(payment_id: uuid.UUID, description: str, body: Mapping[str, Any], brought: Brought | None) -> Any:
    """Take what a request brings for a payment; one that brings nothing is told what there is to pay, with 402."""
    if brought is not None:
        return _hand_over(payment_id, description, brought)
    if "tx_signature" in body:
        return _show(payment_id, body["tx_signature"])
    return _quote(payment_id, description)


def _quote(payment_id: uuid.UUID, description: str) -> Any:
    with read_only() as session:
        payment = session.get_one(Payment, payment_id)
        if payment.state != "open":
            raise Conflict("this is paid", code="ALREADY_PAID")
        x402_payments.require(session, payment, description)
        found = PaymentSchema().dump(told(session, payment_id))
    message = f"pay {found['amount']} {found['asset']} to {found['pay_to']} with the memo {found['memo']}"
    return make_response({**envelope(QUOTED, message, {"payment": found}), "payment": found}, 402)


def _show(payment_id: uuid.UUID, signature: str) -> dict[str, Any]:
    """Ask the chain about a transaction. One that is not final yet is decided by itself."""
    with unit_of_work() as session:
        payment = session.get_one(Payment, payment_id)
        if payment.chain == render_payments.LEDGER:
            raise Conflict("this was paid from the balance", code="ALREADY_PAID")
        if payment.chain != SOLANA:
            raise Conflict(f"a payment on {payment.chain} is found by its memo alone", code="FOUND_BY_MEMO")
        shown_id = payments.present(session, payment, signature).id
    try:
        payment_flows.verify(hub().database, hub().chain, shown_id)
    except LightyardError as error:
        if not error.retryable:
            raise
    with read_only() as session:
        _assert_counts(payments.get_shown(session, shown_id))
        return told(session, payment_id)


def _hand_over(payment_id: uuid.UUID, description: str, brought: Brought) -> Any:
    with unit_of_work() as session:
        settlement_id = x402_payments.begin(session, session.get_one(Payment, payment_id), brought, description)
    booked_id = x402_payments.wait(settlement_id)
    with read_only() as session:
        found = told(session, payment_id)
    return found if booked_id else make_response(PaymentSchema().dump(found), NOT_OVER)


def told(session: Session, payment_id: uuid.UUID) -> dict[str, Any]:
    """The payment as it is now."""
    return payment_bodies.shown(deposit_records.view(session, session.get_one(Payment, payment_id)))


def _assert_counts(shown: ChainTransaction) -> None:
    if shown.code == payments.TRANSACTION_USED:
        raise Conflict(shown.message or "this transaction was used before", code=payments.TRANSACTION_USED)
    if shown.state == "refused":
        details = {"reason": shown.code, "tx_signature": shown.signature}
        raise InvalidInput(shown.message or "this transaction does not pay it", code="VERIFICATION_FAILED", details=details)


@contextmanager
def short_of_credits() -> Iterator[None]:
    """A balance that is too short, in this dialect's word."""
    try:
        yield
    except PaymentRequired as short:
        if short.code != PaymentRequired.code:
            raise
        raise PaymentRequired(f"{short.message}; top up first", code="INSUFFICIENT_CREDITS", details=short.details) from short
