"""The last line of defence: what looks like a secret leaves no line, what is none stays, and it takes no time."""

import json

import pytest

from app.config import Settings
from app.observability import scrubbing
from gpu_node import scrubbing as of_nodes

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl"
KEY = "ly_" + "aB3_-x" * 7
SECRET = "s3cr3t-of-somebody"
LEAKS = [
    f"https://user:{SECRET}@rpc.example/x",
    f"amqp://node:{SECRET}@broker:5672//",
    f"redis://:{SECRET}@cache:6379/0",
    f"GET /ws?token={SECRET} failed",
    f"GET /ws?a=1&api_key={SECRET}&b=2",
    f"https://rpc.example/?api-key={SECRET}",
    f"PUT /files/a?expires=1&signature={SECRET}",
    f"https://bucket.example/a?X-Amz-Credential={SECRET}%2F2026&X-Amz-Signature={SECRET}",
    f"AWSAccessKeyId={SECRET}&Signature={SECRET}",
    f"password={SECRET} host=db",
    f"Authorization: Bearer {SECRET}",
    f"{{'Authorization': 'Basic {SECRET}', 'Accept': '*/*'}}",
    f"[(b'authorization', b'{SECRET}'), (b'accept', b'*/*')]",
    f"{{'X-API-Key': '{SECRET}'}}",
    f"Set-Cookie: session={SECRET}; HttpOnly",
    f"Idempotency-Key: {SECRET}",
    f"a bearer%20{SECRET} in a path",
]
ROWS = [
    f'null value in column "x" violates not-null constraint\nDETAIL:  Failing row contains (1, {SECRET}, (2), null).',
    f"duplicate key\nDETAIL:  Key (account_id, key)=(1, {SECRET}) already exists.",
    f'invalid input syntax for type uuid: "{SECRET}"',
]
HARMLESS = [
    "GET /providers?limit=10&status=online",
    "the token is over; sign in again",
    "connection to server at \"127.0.0.1\", port 5432 failed: Connection refused",
    "monkey=5, keyboard=6, tokens: 7, signature of 64 bytes",
    "https://rpc.example/status: 503",
]


@pytest.mark.parametrize("scrub", [scrubbing.scrub, of_nodes.scrub], ids=["hub", "node"])
def test_what_looks_like_a_secret_goes_and_the_line_stays_json(scrub) -> None:
    for text in [*LEAKS, *(f"before {secret} after" for secret in (JWT, KEY))]:
        line = json.dumps({"event": "x", "error": text, "after": 1})
        left = scrub(line)
        assert SECRET not in left and JWT not in left and KEY not in left, left
        assert json.loads(left)["after"] == 1 and json.loads(left)["event"] == "x"
    for text in HARMLESS:
        assert scrub(json.dumps({"error": text})) == json.dumps({"error": text})


def test_what_postgresql_quotes_of_rows_goes() -> None:
    for text in ROWS:
        left = scrubbing.scrub(json.dumps({"exception": text, "after": 1}))
        assert SECRET not in left and json.loads(left)["after"] == 1, left


def test_every_secret_of_the_settings_is_known_in_every_writing() -> None:
    odd = 'qu"ote\\d-sécret/with?all'
    settings = Settings(
        secret_key=odd,
        metrics_token="metrics-token-1",
        stripe_webhook_secret="whsec_new_one,whsec_old_one",
        database_url="postgresql://app:db-password-1@db/lightyard",
        solana_rpc_url="https://a.example/path-that-is-a-key-1?api-key=query-key-1,https://b.example/short",
        ton_api_key="ton-key-1",
        evm_anchor_key="0x" + "ab" * 32,
    )
    found = set(scrubbing.secrets_of(settings))
    assert found >= {odd, "metrics-token-1", "whsec_new_one", "whsec_old_one", "db-password-1", "path-that-is-a-key-1",
                     "query-key-1", "ton-key-1", "0x" + "ab" * 32}
    assert not found & {"short", "lightyard", "app", "db", "a.example"}
    scrubbing.know(settings)
    try:
        for secret in found:
            assert secret not in scrubbing.scrub(f"said {secret}.") and "said" in scrubbing.scrub(f"said {secret}.")
        assert json.loads(scrubbing.scrub(json.dumps({"error": odd}))) == {"error": "..."}
    finally:
        scrubbing.know(Settings())


def test_a_path_shows_its_ids_and_only_the_beginning_of_what_may_be_anything() -> None:
    job = "5c32adbc-6023-4686-a842-798b5f3e7b8f"
    assert scrubbing.shorten(f"/render/{job}/result") == f"/render/{job}/result"
    assert scrubbing.shorten(f"/files/results/{job}/{job}-12") == f"/files/results/{job}/{job}-12"
    assert scrubbing.shorten(f"/rnp/v1/keys/{KEY}") == "/rnp/v1/keys/ly_aB3..."
    assert scrubbing.shorten("/api/v1/jobs/dead-letters") == "/api/v1/jobs/dead-letters"


def test_a_line_that_a_stranger_fills_costs_no_more_than_its_length() -> None:
    """The patterns take steps in proportion: ten times as long is not a hundred times the work, or this would not end."""
    postgres = "invalid input syntax for type " * 30_000
    for text in ("a-" * 50_000 + "=", "eyJ" * 5_000 + "=", "://" * 50_000, "token" * 20_000 + "=", "Key (" * 10_000, postgres):
        assert isinstance(scrubbing.scrub(text), str)
