"""What the dialect's OpenAPI file says beside its schemas."""

from typing import Any

INTRODUCTION = """Register or log in, buy credits, dispatch jobs to edge nodes, and prove every ledger entry.

Sign in with `Authorization: Bearer <access token>`, or with an API key in the same place or as `X-API-Key`. An access token is
good for 30 minutes. A refresh token is good once, for 7 days: shown again later it ends the sign-in, since two parties hold it.

Errors are `{"detail": "…"}`; a 402 says beside it what is `available` and what was `requested`. POSTs that move money take
`Idempotency-Key`: the same key and body get the same answer for 24 hours. Per address: 10 registrations, 5 logins, 3 refreshes
and 600 registrations of nodes a minute; a 429 carries Retry-After.

Edge nodes are handed work over `WS /api/v1/relay/ws/{node_id}`, with the node's token as `Authorization: Bearer …` or `?token=`.
Out: `job_dispatch` with `job_id`, `job_type`, `payload_ref`, `attempt`, `payload_url` (GET), `upload_url` (PUT), `result_ref` and
`lease_seconds`. In: `job_status` (`running` with `progress` renews the lease; `failed`; `released`), then, after the upload,
`job_result` with that `result_ref`; `job_ack` and `heartbeat_ping`. Each that matters is answered by `job_ack`, `heartbeat_pong`
or `error`. Closes: 4001 bad token, 4002 no pong for 90 s, 4003 a newer connection of the node, 1002, 1003, 1008, 1009, 1011,
1012; 4004 the token is unproven while another one of the node is proven: send `heartbeat_ping` with `challenge_signature`."""

ERROR_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["detail"],
    "properties": {
        "detail": {"type": "string", "description": "what to do about it"},
        "available": {"type": "string", "description": "with 402: what there is"},
        "requested": {"type": "string", "description": "with 402: what was asked for"},
    },
}
SECURITY_SCHEMES: dict[str, dict[str, Any]] = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "an access token or an API key"},
    "apiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
    "nodeToken": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT", "description": "a node's token"},
}
SIGNED_IN: dict[str, Any] = {
    "security": [{"bearer": []}, {"apiKey": []}],
    "responses": {"401": "UNAUTHORIZED", "403": "FORBIDDEN"},
}
IDEMPOTENCY_KEY: dict[str, Any] = {
    "name": "Idempotency-Key",
    "in": "header",
    "schema": {"type": "string", "maxLength": 255},
    "description": "the same key and body get the same answer for 24 hours",
}


def error_body(code: str, message: str, details: dict[str, Any]) -> dict[str, Any]:
    """RenderTrust's envelope: a detail, and with 402 the two amounts beside it."""
    return {"detail": message} | {name: details[name] for name in ("available", "requested") if name in details}
