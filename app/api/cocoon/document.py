"""What the dialect's OpenAPI file says beside its schemas."""

from typing import Any

INTRODUCTION = """Cocoon workers, the participants who run them, and what these were paid in TON.

Sign in with `Authorization: Bearer <access token>` (by `ton_proof`, at `/rnp/v1/wallet/challenge` and `/rnp/v1/wallet/login`), or
with an API key in the same place or as `X-API-Key`. A participant sees and changes what is its own, an operator everything;
somebody else's row is a 404. A wallet that is signed in and no participant yet makes itself one by `POST /api/v1/participants`.

A TON address may be written in its raw, bounceable or non-bounceable form: it is one wallet, shown non-bounceable. Amounts are
JSON numbers with up to nine decimals, exact and never with an exponent. Times are ISO 8601; one without an offset is UTC.

A worker is polled at `/jsonstats` of its host and port every 15 s. `down`: no answer, or none of a worker. `degraded`: it can't
earn as it is: not initialised, its image or model not in the root contract, out of sync with TON for an hour. `warning`: late in
syncing (10 min), more than a tenth of its requests failed in ten minutes, no proxy, a GPU above 85 °C. `healthy`: none of these;
`status_reasons` says which. A switch or a price that is changed here is passed on until the worker says so. What it does not say
is null; GPU figures come from a GPU node of this hub on the same host.

`WS /ws/metrics?token=…` (or the cookie of a wallet login, from this hub's own pages) tells of every poll:
`{"type":"metrics","workers":[…]}`, all of them at first. `{"type":"subscribe","worker_ids":[1,2]}` narrows it, `null` widens it
again. Closes: 4001 nobody, 4003 not allowed, 1008 messages read too slowly or not understood, 1012 the hub restarts.

Errors are `{"detail": "…"}`: 422 for a field that is malformed, 400 for a wallet or a transaction that is known already. POSTs
that move money take `Idempotency-Key`: the same key and body get the same answer for 24 hours. Per address: 100 reads and 20
writes a minute; a 429 carries Retry-After."""

ERROR_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["detail"],
    "properties": {"detail": {"type": "string", "description": "what to do about it"}},
}
SECURITY_SCHEMES: dict[str, dict[str, Any]] = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "an access token or an API key"},
    "apiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
}
SIGNED_IN: dict[str, Any] = {
    "security": [{"bearer": []}, {"apiKey": []}],
    "responses": {"401": "UNAUTHORIZED", "403": "FORBIDDEN", "429": "TOO_MANY_REQUESTS"},
}


def error_body(code: str, message: str, details: dict[str, Any]) -> dict[str, Any]:
    """Cocoon's envelope: a detail, and nothing beside it."""
    return {"detail": message}
