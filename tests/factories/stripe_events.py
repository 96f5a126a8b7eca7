"""Events as Stripe sends them, signed as Stripe signs them."""

import hashlib
import hmac
import itertools
import json
import time
import uuid
from typing import Any

SECRET = "whsec_of_the_tests_alone"
_numbers = itertools.count(1)


def signed(body: bytes, *secrets: str, timestamp: int | str | None = None) -> str:
    """The Stripe-Signature header, with one v1 entry for each secret."""
    moment = str(int(time.time()) if timestamp is None else timestamp)
    message = f"{moment}.".encode() + body
    entries = [hmac.new(secret.encode(), message, hashlib.sha256).hexdigest() for secret in secrets or (SECRET,)]
    return ",".join([f"t={moment}", *(f"v1={entry}" for entry in entries), "v0=" + "0" * 64])


def event(kind: str, value: dict[str, Any], created: int = 1_800_000_000, livemode: bool = False) -> dict[str, Any]:
    return {
        "id": f"evt_{next(_numbers)}_{uuid.uuid4().hex}",
        "object": "event",
        "api_version": "2025-09-30.clover",
        "created": created,
        "livemode": livemode,
        "type": kind,
        "data": {"object": value},
    }


def body(value: dict[str, Any]) -> bytes:
    return json.dumps(value, indent=2).encode()


def new_payment() -> str:
    return f"pi_{uuid.uuid4().hex}"


def session(payment: str, buyer: object, sku: str | None = "cred10", total_minor: int = 1000, **changes: Any) -> dict[str, Any]:
    """A checkout session that was paid."""
    return {
        "id": f"cs_{uuid.uuid4().hex}",
        "object": "checkout.session",
        "mode": "payment",
        "amount_subtotal": total_minor,
        "amount_total": total_minor,
        "total_details": {"amount_discount": 0, "amount_shipping": 0, "amount_tax": 0},
        "client_reference_id": None if buyer is None else str(buyer),
        "currency": "usd",
        "customer_details": {"email": "jane@example.com"},
        "metadata": {} if sku is None else {"sku": sku},
        "payment_intent": payment,
        "payment_status": "paid",
        "status": "complete",
        **changes,
    }


def intent(payment: str, received_minor: int = 1000, **metadata: str) -> dict[str, Any]:
    return {
        "id": payment,
        "object": "payment_intent",
        "amount": received_minor,
        "amount_received": received_minor,
        "currency": "usd",
        "metadata": metadata,
        "status": "succeeded",
    }


def charge(payment: str, refunded_minor: int, amount_minor: int = 1000) -> dict[str, Any]:
    return {
        "id": f"ch_of_{payment}",
        "object": "charge",
        "amount": amount_minor,
        "amount_refunded": refunded_minor,
        "currency": "usd",
        "payment_intent": payment,
        "refunded": refunded_minor == amount_minor,
    }


def refund(payment: str, name: str, amount_minor: int, status: str = "succeeded") -> dict[str, Any]:
    return {
        "id": f"re_{name}_of_{payment}",
        "object": "refund",
        "amount": amount_minor,
        "charge": f"ch_of_{payment}",
        "currency": "usd",
        "payment_intent": payment,
        "status": status,
    }


def dispute(payment: str, amount_minor: int, status: str) -> dict[str, Any]:
    return {
        "id": f"dp_of_{payment}",
        "object": "dispute",
        "amount": amount_minor,
        "charge": f"ch_of_{payment}",
        "currency": "usd",
        "payment_intent": payment,
        "status": status,
    }
