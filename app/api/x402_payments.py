"""Payments by x402 over HTTP, the same in every dialect: the headers of a 402, and a payment that a request brings along."""

import uuid
from dataclasses import dataclass

from flask import request

from app.api.context import hub, read_only
from app.api.idempotency import add_header
from app.core import payments, x402_settlements, x402_shares
from app.core.x402_shares import Shares
from app.db import Session
from app.errors import LightyardError, PaymentRequired
from app.flows import x402 as flow
from app.models.payments import Payment
from app.models.x402 import X402Settlement
from app.values import x402
from app.values.payouts import read_minimums
from app.values.x402 import Offer, Transfer, Unfit

REFUSED = "X402_REFUSED"


@dataclass(frozen=True, slots=True)
class Brought:
    """A payment that a request brings along."""

    offer: Offer
    transfer: Transfer


def brought() -> Brought | None:
    """What PAYMENT-SIGNATURE holds; None without one. Unfit (400) where it can't be read, 402 where it is no payment of the
    scheme."""
    header = request.headers.get(x402.SIGNATURE_HEADER)
    if header is None:
        return None
    offer = x402.read_offer(header)
    try:
        return Brought(offer, x402.read_transfer(offer.raw))
    except Unfit as error:
        raise refused(error) from error


def payment_of(session: Session, item: Brought) -> Payment | None:
    """The payment that a request's is for, by what it says itself: for who does not know it otherwise."""
    extra = item.offer.accepted.get("extra")
    found = extra if isinstance(extra, dict) else {}
    return x402_settlements.named_by(session, found.get("memo"), found.get("reference"))


def require(session: Session, payment: Payment, description: str, error: str = "Payment required") -> None:
    """Have this answer say how the payment can be made by x402, where it can."""
    place = desk(session)
    found = x402_settlements.ways(payment, place)
    if found and place is not None and x402_shares.is_left(session, payment, place.shares):
        url = f"{hub().settings.base_url}{request.path}"
        add_header(x402.REQUIRED_HEADER, x402.write_required(url, description, found, error))


def desk(session: Session) -> x402_settlements.Desk | None:
    """Where payments by x402 go now; None while none is taken."""
    minimums = read_minimums(hub().settings.x402_minimum, "X402_MINIMUM")
    return x402_settlements.desk(session, flow.LEAST_LAMPORTS, minimums, _shares())


def _shares() -> Shares:
    settings = hub().settings
    day = settings.signer_max_day_fee_lamports
    each, all_of_them = day * settings.x402_payee_percent // 100, day * settings.x402_payees_percent // 100
    return Shares(settings.signer_max_fee_lamports, each, all_of_them)


def begin(session: Session, payment: Payment, item: Brought, description: str) -> uuid.UUID:
    """Take what the request brought for a payment; PaymentRequired X402_REFUSED, with the offer anew, for what does not pay
    it."""
    try:
        return x402_settlements.begin(session, payment, desk(session), item.offer, item.transfer).id
    except Unfit as error:
        require(session, payment, description, error.code)
        raise refused(error) from error


def refused(error: LightyardError) -> PaymentRequired:
    return PaymentRequired(error.message, code=REFUSED, details={"reason": error.code})


def wait(settlement_id: uuid.UUID) -> uuid.UUID | None:
    """Wait for a settlement, and say in PAYMENT-RESPONSE how it stands. The transaction as it was shown for the payment, once it
    is booked; None: nobody knows yet, and it goes on by itself. PaymentRequired X402_REFUSED for one that will never be."""
    parts = hub()
    row = flow.wait(parts.database, parts.chain, parts.signals, settlement_id, parts.settings.x402_wait_seconds)
    with read_only() as session:
        shown_id = x402_settlements.shown_id(session, row)
        shown = None if shown_id is None else payments.get_shown(session, shown_id)
    if shown is not None and shown.state in payments.BOOKED:
        _respond(row, None)
        return shown_id
    ended = row if row.state in x402_settlements.ENDED else shown if shown is not None and shown.state == "refused" else None
    if ended is not None and ended.code != payments.NEVER_SEEN:
        _respond(row, ended.code)
        raise PaymentRequired(ended.message or "nothing was paid by this", code=REFUSED, details={"reason": ended.code})
    _respond(row, x402_settlements.PENDING)
    return None


def _respond(row: X402Settlement, problem: str | None) -> None:
    add_header(x402.RESPONSE_HEADER, x402.write_response(row.network, row.payer, row.tx_signature or "", problem))


PARAMETERS = [
    {
        "in": "header",
        "name": x402.SIGNATURE_HEADER,
        "schema": {"type": "string", "maxLength": x402.HEADER_LIMIT_CHARS},
        "description": "a payment by x402 (version 2, scheme `exact`), as PAYMENT-REQUIRED of the 402 asks for it",
    }
]
"""How an OpenAPI file tells of it."""
