"""From an HTTP answer to a Document, or to the error that it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from robocompute import documents, exceptions
from robocompute.documents import Document
from robocompute.exceptions import RoboComputeError


@dataclass(frozen=True, slots=True)
class RateLimit:
    """What the last answer said: requests that the account has a minute, those left, when it is whole again (Unix seconds)."""

    limit: int
    remaining: int
    resets_at: int


def read(status: int, headers: Mapping[str, str], body: bytes) -> Document:
    """The answer's Document; an empty one where the answer has no body. Raises the error that the answer is."""
    if not 200 <= status < 300:
        raise error_of(status, headers, body)
    if not body.strip():
        return Document()
    try:
        return documents.read(body)
    except ValueError as error:
        message = f"the answer is no JSON object; is base_url right (it ends in /api/v1)? {shortened(body)}"
        raise exceptions.ServerError(message, "UNREADABLE_ANSWER", status=status) from error


def error_of(status: int | None, headers: Mapping[str, str], body: bytes) -> RoboComputeError:
    """The error of a refusal, with code and details where it is in the API's envelope. Without a status it came by socket."""
    said = _envelope(body)
    if said is None:
        hint = "; is base_url right (it ends in /api/v1)?" if status in (None, 301, 302, 307, 308, 404, 405) else ""
        code, message, details = f"HTTP_{status}", f"HTTP {status}{hint} {shortened(body)}".strip(), {}
    else:
        code, message, details = str(said["code"]), str(said.get("message", "")), dict(said.get("details") or {})
    if "retry_after" not in details and (seconds := _seconds(headers.get("Retry-After"))) is not None:
        details["retry_after"] = seconds
    return exceptions.kind_of(code, status)(message, code, details, status)


def asked_seconds(headers: Mapping[str, str]) -> float | None:
    """How long the answer asks to wait; None where it does not, or as a date."""
    return _seconds(headers.get("Retry-After"))


def rate_limit(headers: Mapping[str, str]) -> RateLimit | None:
    try:
        return RateLimit(*(int(headers[f"X-RateLimit-{name}"]) for name in ("Limit", "Remaining", "Reset")))
    except (KeyError, ValueError):
        return None


def shortened(body: bytes) -> str:
    return body[:200].decode(errors="replace").strip()


def _envelope(body: bytes) -> dict[str, Any] | None:
    try:
        said = documents.read(body).get("error")
    except ValueError:
        return None
    return said if isinstance(said, dict) and "code" in said else None


def _seconds(text: str | None) -> int | None:
    return int(text) if text is not None and text.isascii() and text.isdigit() else None
