"""What Stripe's events say of a payment by card, and no more: who bought what, what went back, what is disputed.

Source: Stripe's documentation of the event types and their objects. Amounts are in the currency's minor units.
"""

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

TEXT_LIMIT_CHARS, AMOUNT_LIMIT = 255, 10**12
# In the order in which one follows another; of two words of the same second the later one holds, whichever came first.
REFUND_STATES = ("pending", "requires_action", "succeeded", "failed", "canceled")
INQUIRY_STATES = ("warning_needs_response", "warning_under_review", "warning_closed")
DISPUTE_STATES = (*INQUIRY_STATES, "needs_response", "under_review", "lost", "won")
# The money of these is on its way back, or gone.
REFUNDS_COUNTED = {"pending", "requires_action", "succeeded"}
DISPUTES_COUNTED = {"needs_response", "under_review", "lost"}


class Unreadable(ValueError):
    """A known event whose object is not what Stripe says it is."""


@dataclass(frozen=True, slots=True)
class Bought:
    """Money has arrived. `buyer` and `sku` are None where this event does not carry them; another one may.

    The amounts and the currency are None for a checkout that does not name them: then it was the package's price.
    """

    payment: str
    buyer: str | None
    sku: str | None
    paid_minor: int | None
    price_minor: int | None
    currency: str | None


@dataclass(frozen=True, slots=True)
class Reversed:
    """What one object (`charge`, `refund` or `dispute`) takes of a payment, as of this event.

    A charge's amount is the sum of its refunds. `rank` orders what was said of an object within one second.
    """

    payment: str
    kind: str
    object_id: str
    amount_minor: int
    is_counted: bool
    rank: int


Fact = Bought | Reversed
Object = Mapping[str, Any]


def read(kind: str, value: Any) -> Fact | None:
    """The fact in an event's object; None for events that say nothing of money that has moved. Unreadable for a broken one."""
    reader = READERS.get(kind) or (_refund if kind.startswith("refund.") else None)
    reader = reader or (_dispute if kind.startswith("charge.dispute.") else None)
    if reader is None:
        return None
    if not isinstance(value, dict):
        raise Unreadable("data.object is no object")
    return reader(value)


def _session(value: Object) -> Fact | None:
    """A checkout is bought once it is paid; `unpaid` waits for its async event."""
    if value.get("payment_status") != "paid":
        return None
    total_minor = _amount(value, "amount_total") if "amount_total" in value else None
    details = value.get("total_details")
    tax_minor = _amount(details, "amount_tax") if isinstance(details, dict) and details.get("amount_tax") else 0
    return Bought(
        payment=_text(value, "payment_intent"),
        buyer=_optional(value, "client_reference_id"),
        sku=_optional(_metadata(value), "sku"),
        paid_minor=total_minor,
        price_minor=None if total_minor is None else total_minor - tax_minor,
        currency=_text(value, "currency") if "currency" in value else None,
    )


def _intent(value: Object) -> Fact:
    paid_minor = _amount(value, "amount_received")
    metadata = _metadata(value)
    return Bought(
        payment=_text(value, "id"),
        buyer=_optional(metadata, "client_reference_id"),
        sku=_optional(metadata, "sku"),
        paid_minor=paid_minor,
        price_minor=paid_minor,
        currency=_text(value, "currency"),
    )


def _charge(value: Object) -> Fact:
    return Reversed(_payment(value, "id"), "charge", _text(value, "id"), _amount(value, "amount_refunded"), True, 0)


def _refund(value: Object) -> Fact:
    status = _text(value, "status")
    if status not in REFUND_STATES:
        raise Unreadable(f"unknown refund status {status!r}")
    payment, amount_minor = _payment(value, "charge"), _amount(value, "amount")
    return Reversed(payment, "refund", _text(value, "id"), amount_minor, status in REFUNDS_COUNTED, REFUND_STATES.index(status))


def _dispute(value: Object) -> Fact:
    """Inquiries (`warning_…`) take no money, nor does a dispute that was prevented."""
    status = _text(value, "status")
    rank = DISPUTE_STATES.index(status) if status in DISPUTE_STATES else -1
    amount_minor = _amount(value, "amount")
    return Reversed(
        _payment(value, "charge"), "dispute", _text(value, "id"), amount_minor, status in DISPUTES_COUNTED, rank
    )


READERS: dict[str, Callable[[Object], Fact | None]] = {
    "checkout.session.completed": _session,
    "checkout.session.async_payment_succeeded": _session,
    "payment_intent.succeeded": _intent,
    "charge.refunded": _charge,
    "charge.refund.updated": _refund,
}


def account_id(buyer: str) -> uuid.UUID | None:
    """The account that a buyer's reference names, if it can be one's id."""
    try:
        return uuid.UUID(buyer)
    except ValueError:
        return None


def _payment(value: Object, otherwise: str) -> str:
    """The payment intent; a charge made without one stands for itself."""
    return _optional(value, "payment_intent") or _text(value, otherwise)


def _text(value: Object, name: str) -> str:
    """An id; objects that were expanded are named by theirs."""
    found = value.get(name)
    found = found.get("id") if isinstance(found, dict) else found
    if not isinstance(found, str) or not 0 < len(found) <= TEXT_LIMIT_CHARS:
        raise Unreadable(f"{name} is missing or no text")
    return found


def _optional(value: Object, name: str) -> str | None:
    return None if value.get(name) is None else _text(value, name)


def _metadata(value: Object) -> Object:
    found = value.get("metadata")
    return found if isinstance(found, dict) else {}


def _amount(value: Object, name: str) -> int:
    found = value.get(name)
    if type(found) is not int or not 0 <= found <= AMOUNT_LIMIT:
        raise Unreadable(f"{name} is no amount")
    return found
