"""Stripe's webhooks: whether a body was really sent by Stripe (source: Stripe's documentation of the v1 scheme).

Stripe's own library would bring its whole API client for what is one HMAC.
"""

import hashlib
import hmac
from datetime import datetime
from typing import Any

from app.errors import LightyardError, Refused
from app.values.json_text import read_json

HEADER_LIMIT_CHARS, SIGNATURES_LIMIT = 4096, 32


def read_event(body: bytes, header: str | None, secrets: str, tolerance_seconds: int, now: datetime) -> dict[str, Any]:
    """The signed event as a JSON object; Refused for a missing, wrong or stale signature, and for a body that is no object.

    `secrets` are comma-separated: while one is being replaced, Stripe signs with both.
    """
    check_signature(body, header, secrets, tolerance_seconds, now)
    try:
        event = read_json(body)
    except LightyardError as error:
        raise Refused(f"the event cannot be read: {error.message}", code="EVENT_INVALID") from error
    if not isinstance(event, dict):
        raise Refused("the event must be a JSON object", code="EVENT_INVALID")
    return event


def check_signature(body: bytes, header: str | None, secrets: str, tolerance_seconds: int, now: datetime) -> None:
    """Refused unless a v1 signature of one of the secrets holds over the raw bytes and the time signed with them."""
    known = [secret.strip().encode() for secret in secrets.split(",") if secret.strip()]
    if not known:
        raise _refused("Stripe's events are not taken here: STRIPE_WEBHOOK_SECRET is not set")
    if not header:
        raise _refused("the Stripe-Signature header is missing")
    timestamp, shown = _parts(header)
    if timestamp is None or not shown:
        raise _refused("the Stripe-Signature header must read t=…,v1=…")
    signed = timestamp.encode() + b"." + body
    wanted = [hmac.new(secret, signed, hashlib.sha256).hexdigest().encode() for secret in known]
    # Every pair is compared, each in constant time: how long it takes tells nothing of which came close.
    held = [hmac.compare_digest(one, other.encode()) for one in wanted for other in shown]
    if not any(held):
        raise _refused("the Stripe-Signature header does not fit the body")
    if abs(now.timestamp() - int(timestamp)) > tolerance_seconds:
        raise _refused(f"the signature's time is more than {tolerance_seconds} s off")


def _parts(header: str) -> tuple[str | None, list[str]]:
    """The time as it was signed, and the v1 signatures; other schemes are passed over. Two times are none."""
    if len(header) > HEADER_LIMIT_CHARS:
        return None, []
    pairs = [item.strip().partition("=") for item in header.split(",")]
    times = [value for name, _, value in pairs if name == "t"]
    shown = [value for name, _, value in pairs if name == "v1"]
    is_sound = len(times) == 1 and times[0].isascii() and times[0].isdigit() and len(times[0]) <= 12
    return (times[0] if is_sound else None), shown[:SIGNATURES_LIMIT]


def _refused(message: str) -> Refused:
    return Refused(message, code="SIGNATURE_INVALID")
