"""What the dialect's OpenAPI file says beside its schemas, and how its errors look."""

from typing import Any

INTRODUCTION = """Compute tasks in containers: order them, follow them, pay for them by the second. Providers take them, and are
paid.

Sign in with `Authorization: Bearer <api key>`. A key that begins with `rc_` also needs the wallet's signature on every request:
`X-Timestamp` (Unix seconds, at most 300 s off) and `X-Wallet-Signature`, the base64 of an ed25519 signature over
`METHOD + path below /api/v1 + timestamp`. Better is version 2 (`X-Signature-Version: 2`, `X-Nonce`): over the lines METHOD, path
with its query, timestamp, nonce, and the hex SHA-256 of the body; it is good once, and a key that has used it takes no older one.

Amounts are strings with at least two decimals, at most six, of USDC unless `currency` says USDT. Times are ISO 8601 in UTC.

Follow a task at `GET /api/v1/tasks/{task_id}/stream`, a websocket (a browser signs in with `?token=`, an access token). Send
`{"action": "subscribe", "task_id": …, "after"?, "logs"?: true, "logs_after"?}`; you are told each change as `{"type": "update",
"task_id", "sequence", "status", "progress" (of a hundred), "reason", "timestamp"}`, the present one first, and with `logs` each
line as `{"type": "logs", "task_id", "logs": [{"sequence", "timestamp", "level", "message"}]}`. The socket is closed (1000) after
the update that says `completed`, `failed`, `cancelled` or `timeout`; all lines come before it. Numbers have no gaps: whoever was
cut off connects again with the last `sequence` of updates as `after` and of lines as `logs_after`, misses nothing and hears
nothing twice. `skipped` says how many were deleted before they could be told. Without a websocket,
`GET /api/v1/tasks/{task_id}/logs?follow=true&after=…` waits for lines.

Errors are `{"error": {"code", "message", "details"}}`. Every answer says `X-RateLimit-Limit`, `X-RateLimit-Remaining` and
`X-RateLimit-Reset`: 100 requests a minute for the free tier, 1000 for pro, enterprise as agreed; a 429 carries Retry-After."""

SECURITY_SCHEMES: dict[str, dict[str, Any]] = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "an access token or an API key"},
    "apiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
}
SIGNED_IN: dict[str, Any] = {
    "security": [{"bearer": []}, {"apiKey": []}],
    "responses": {"401": "UNAUTHORIZED", "403": "FORBIDDEN", "429": "TOO_MANY_REQUESTS"},
}
# What the rest of the hub calls differently from this dialect's users.
_CODES = {"RATE_LIMITED": "RATE_LIMIT_EXCEEDED", "PAYMENT_REQUIRED": "INSUFFICIENT_FUNDS"}


def error_body(code: str, message: str, details: dict[str, Any]) -> dict[str, Any]:
    """RoboCompute's envelope, with its own words for the codes that it has words for."""
    return {"error": {"code": _CODES.get(code, code), "message": message, "details": details}}
