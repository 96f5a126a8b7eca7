"""What the dialect's OpenAPI file says beside its schemas, and how its errors look."""

from typing import Any

INTRODUCTION = """Compute tasks in containers: order them, follow them, pay for them by the second. Providers take them, and are
paid.

Sign in with `Authorization: Bearer <api key>`. A key that begins with `rc_` also needs the wallet's signature on every request:
`X-Timestamp` (Unix seconds, at most 300 s off) and `X-Wallet-Signature`, the base64 of an ed25519 signature over
`METHOD + path below /api/v1 + timestamp`, without the query: `GET/wallet/balance1767225600`. Any Solana wallet of the key's
account may sign. Whoever sees such a request can send it again for 300 s, with another query and another body, for version 1
covers neither: use version 2 (`X-Signature-Version: 2`, `X-Nonce`: up to 128 characters, new for each request), over the five
lines METHOD, path below /api/v1 with its query, timestamp, nonce, and the hex SHA-256 of the body, joined by line feeds. It is
good once, so a retry is signed anew, and a key that has used it takes no version 1 from then on. Path and query are signed as
they are sent. A refused signature is 401 `WALLET_SIGNATURE_INVALID`; `details.reason` is `missing`, `malformed`, `skewed` (with
`server_time`), `wrong`, `replayed`, `outdated` or `version`. `POST /rnp/v1/keys` with `kind` makes such keys, and they need the
signature in every API of this hub.

A task sets `max_price_per_hour` for its whole `timeout_seconds` aside, and costs the seconds that it ran, at the price that it
was taken for: from a provider's `start`, or a node's claim, to its result, never more than its node says or than was set aside;
the rest comes back. Called off, or out of time, the seconds that ran are paid for; what fails costs nothing. A provider's
software keeps a task as long as it gives signs of life (progress, a heartbeat, asking for tasks); three failures end it.

Amounts are strings with at least two decimals, at most six, of USDC unless `currency` says USDT. Times are ISO 8601 in UTC.

Follow a task at `GET /api/v1/tasks/{task_id}/stream`, a websocket (a browser signs in with `?token=`, an access token). Send
`{"action": "subscribe", "task_id": …, "after"?, "logs"?: true, "logs_after"?}`; you are told each change as `{"type": "update",
"task_id", "sequence", "status", "progress" (of a hundred), "reason", "timestamp"}`, the present one first, and with `logs` each
line as `{"type": "logs", "task_id", "logs": [{"sequence", "timestamp", "level", "message"}]}`. The socket is closed (1000) after
the update that says `completed`, `failed`, `cancelled` or `timeout`. Every line that the hub has comes before it; where the hub
ended the task (`cancelled`, `timeout`), its host may tell last lines for two minutes more: ask `…/logs` for them later. Numbers
have no gaps: whoever was cut off connects again with the last `sequence` of updates as `after` and of lines as `logs_after`,
misses nothing and hears nothing twice. On one socket a further subscribe, at most one a second, goes on from there or from
further on, never back. `skipped` says how many were deleted before they could be told. An account has so many sockets open at
once and no more: 429 `TOO_MANY_STREAMS` (`limit`, `retry_after`). Without a websocket,
`GET /api/v1/tasks/{task_id}/logs?follow=true&after=…` waits for lines.

Errors are `{"error": {"code", "message", "details"}}`. The codes, with what `details` hold: 400 `INVALID_INPUT` (`fields`),
`INVALID_JSON`, `INVALID_RESOURCE_REQUIREMENTS` (`field`), `VERIFICATION_FAILED` (a result that is not what its hash says:
nothing has changed, so upload again); 401 `WALLET_SIGNATURE_INVALID` (`reason`), `INVALID_API_KEY`, `UNAUTHENTICATED`; 402
`INSUFFICIENT_FUNDS` (`required`, `available`, `currency`), `INSUFFICIENT_STAKE` (`required`, `current`, `currency`); 403
`SCOPE_MISSING` (`scope`); 404 `TASK_NOT_FOUND` (`task_id`), `PROVIDER_NOT_FOUND` (`provider_id`), `RESOURCE_NOT_FOUND`
(`resource_id`); 409 `TASK_ALREADY_ACCEPTED` (`by_you`), `TASK_OVER` (`status`), `TASK_NOT_HELD` (its lease ran out: accept it
again), `TASK_FAILED_BEFORE`, `TASK_NOT_COMPLETED`, `RESOURCE_UNAVAILABLE` (`reason`), `CONFLICT`; 429
`RATE_LIMIT_EXCEEDED` (`retry_after`), `TOO_MANY_STREAMS`; 503 `UNAVAILABLE`. Slashes are told by `…/staking` as events with the
code `SLASHING_EVENT` (`amount`). Others say in their message what to do.

Every answer, a stream's handshake too, says `X-RateLimit-Limit`, `X-RateLimit-Remaining` and `X-RateLimit-Reset` (Unix seconds;
when the oldest request of the last minute no longer counts): 100 requests a minute for an account of the free tier, 1000 for pro,
enterprise as agreed, over all of its keys. What comes without a credential, or with one that is not let in (unknown, over, or
without its wallet's signature), is counted by its address, 100 a minute. A 429 carries Retry-After."""

SECURITY_SCHEMES: dict[str, dict[str, Any]] = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "an access token or an API key"},
    "apiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
    "walletSignature": {
        "type": "apiKey",
        "in": "header",
        "name": "X-Wallet-Signature",
        "description": "beside a key that begins with rc_: base64 of an ed25519 signature of a Solana wallet of its account",
    },
    "timestamp": {
        "type": "apiKey",
        "in": "header",
        "name": "X-Timestamp",
        "description": "Unix seconds at which X-Wallet-Signature was made",
    },
}
_WITH_WALLET: dict[str, list[str]] = {"walletSignature": [], "timestamp": []}
SIGNED_IN: dict[str, Any] = {
    "security": [{"bearer": []}, {"apiKey": []}, {"bearer": [], **_WITH_WALLET}],
    "responses": {"401": "UNAUTHORIZED", "403": "FORBIDDEN", "429": "TOO_MANY_REQUESTS"},
}
# What the rest of the hub calls differently from this dialect's users.
_CODES = {"RATE_LIMITED": "RATE_LIMIT_EXCEEDED", "PAYMENT_REQUIRED": "INSUFFICIENT_FUNDS"}


def error_body(code: str, message: str, details: dict[str, Any]) -> dict[str, Any]:
    """RoboCompute's envelope, with its own words for the codes that it has words for."""
    return {"error": {"code": _CODES.get(code, code), "message": message, "details": details}}
