"""Every route has one owner, one way to be let in, and errors in its dialect's words. A new route without an entry here fails."""

import base64
import itertools
import secrets
import uuid
from dataclasses import replace
from typing import Any

import pytest
from flask.testing import FlaskClient
from flask_jwt_extended import create_access_token

from app.api.dialect import owner_of
from app.core import accounts
from app.factory import COCOON, DIALECTS, RENDERTRUST, ROBOCOMPUTE, create_app
from app.models.accounts import SCOPES
from devnet.payer import Payer
from tests.api.conftest import UNKNOWN, FakeNode, Market
from tests.api.test_paid_render import paid

# Who may call what: `public`; `id` (knowing the job's id is enough for jobs born in Rayment, else its owner's key with
# jobs:read); `wallet` (the provider's signature); `noted` (unsigned is only noted); `node` (a node's token; `node socket`,
# `watcher socket`: likewise, refused by a close code; the latter takes an access token, a key or a cookie; `owner socket`: the
# task's owner with tasks:read, others are refused before the handshake: tests/relay/test_task_streams.py); `enrol` (open, and
# an API key with nodes:write enrols); `url` (a signed address); `metrics` (METRICS_TOKEN where it is set); `signed in` (an
# access token); `stripe` (Stripe's signature); a scope (an access token, or an API key that has it); `operator` (likewise with
# an admin scope, and the role); `reach <scope>` (Cocoon: likewise with that scope, of a participant, who sees its own rows, or
# an operator; tests/api/cocoon/test_access.py).
ACCESS = {
    ("GET", "/health"): "public",
    ("GET", "/stats"): "public",
    ("GET", "/providers"): "public",
    ("GET", "/providers/<provider_id>"): "public",
    ("POST", "/render"): "public",
    ("POST", "/render/pay"): "id",
    ("GET", "/render/<job_id>"): "id",
    ("GET", "/render/<job_id>/result"): "id",
    ("POST", "/provider/register"): "wallet",
    ("PUT", "/provider/status"): "wallet",
    ("PUT", "/provider/pricing"): "wallet",
    ("POST", "/provider/job/<job_id>/complete"): "wallet",
    ("POST", "/provider/job/<job_id>/failed"): "noted",
    ("GET", "/ws"): "wallet",
    ("POST", "/node/v1/nodes"): "enrol",
    **{("POST", f"/node/v1/{verb}"): "node" for verb in (
        "proof", "heartbeat", "claims", "progress", "logs", "results", "failures", "releases")},
    ("GET", "/files/<path:key>"): "url",
    ("PUT", "/files/<path:key>"): "url",
    ("GET", "/metrics"): "metrics",
    ("GET", "/version"): "public",
    ("GET", "/redoc"): "public",
    ("GET", "/api/v1/health"): "public",
    ("GET", "/api/v1/health/ready"): "public",
    ("POST", "/api/v1/auth/register"): "public",
    ("POST", "/api/v1/auth/login"): "public",
    ("POST", "/api/v1/auth/refresh"): "public",
    ("POST", "/api/v1/auth/logout"): "signed in",
    ("GET", "/api/v1/credits/balance"): "credits:read",
    ("GET", "/api/v1/credits/history"): "credits:read",
    ("POST", "/api/v1/credits/deduct"): "credits:write",
    ("POST", "/api/v1/uploads"): "jobs:write",
    ("POST", "/api/v1/webhooks/stripe"): "stripe",
    ("GET", "/api/v1/ledger/<entry_id>/proof"): "credits:read",
    ("GET", "/api/v1/ledger/<entry_id>/verify"): "credits:read",
    ("GET", "/api/v1/ledger/anchors"): "credits:read",
    ("POST", "/api/v1/jobs/dispatch"): "jobs:write",
    ("GET", "/api/v1/jobs"): "jobs:read",
    ("GET", "/api/v1/jobs/<job_id>"): "jobs:read",
    ("POST", "/api/v1/jobs/<job_id>/cancel"): "jobs:write",
    ("GET", "/api/v1/jobs/<job_id>/result"): "jobs:read",
    ("GET", "/api/v1/jobs/dead-letters"): "operator",
    ("POST", "/api/v1/jobs/dead-letters/<letter_id>/replay"): "operator",
    ("POST", "/api/v1/nodes/register"): "enrol",
    ("POST", "/api/v1/nodes/heartbeat"): "node",
    ("GET", "/api/v1/relay/ws/<node_id>"): "node socket",
    ("GET", "/api/v1/participants"): "reach participants:read",
    ("POST", "/api/v1/participants"): "reach participants:write",
    ("GET", "/api/v1/participants/<participant_id>"): "reach participants:read",
    ("PATCH", "/api/v1/participants/<participant_id>"): "reach participants:write",
    ("GET", "/api/v1/participants/wallet/<wallet_address>"): "reach participants:read",
    ("GET", "/api/v1/payouts"): "reach payouts:read",
    ("POST", "/api/v1/payouts"): "reach payouts:write",
    ("GET", "/api/v1/payouts/<payout_id>"): "reach payouts:read",
    ("GET", "/api/v1/payouts/participant/<participant_id>/summary"): "reach payouts:read",
    ("GET", "/api/v1/payouts/export/tax-report"): "reach payouts:read",
    ("GET", "/api/v1/payouts/export"): "reach payouts:read",
    ("GET", "/api/v1/payouts/proposals"): "reach payouts:read",
    ("POST", "/api/v1/payouts/proposals/<proposal_id>/approve"): "reach payouts:write",
    ("POST", "/api/v1/payouts/proposals/<proposal_id>/reject"): "reach payouts:write",
    ("GET", "/openapi/cocoon.json"): "public",
    ("GET", "/openapi/robocompute.json"): "public",
    ("GET", "/api/v1/providers/search"): "providers:read",
    ("GET", "/api/v1/providers/<provider_id>"): "providers:read",
    ("GET", "/api/v1/providers/<provider_id>/status"): "providers:read",
    ("POST", "/api/v1/providers/<provider_id>/heartbeat"): "providers:write",
    ("GET", "/api/v1/providers/<provider_id>/metrics"): "providers:read",
    ("GET", "/api/v1/providers/<provider_id>/resources"): "providers:read",
    ("POST", "/api/v1/providers/<provider_id>/resources"): "providers:write",
    ("GET", "/api/v1/providers/<provider_id>/resources/<resource_id>"): "providers:read",
    ("PATCH", "/api/v1/providers/<provider_id>/resources/<resource_id>"): "providers:write",
    ("DELETE", "/api/v1/providers/<provider_id>/resources/<resource_id>"): "providers:write",
    ("GET", "/api/v1/workers"): "reach workers:read",
    ("POST", "/api/v1/workers"): "reach workers:write",
    ("GET", "/api/v1/workers/<worker_id>"): "reach workers:read",
    ("PATCH", "/api/v1/workers/<worker_id>"): "reach workers:write",
    ("GET", "/api/v1/workers/<worker_id>/metrics"): "reach workers:read",
    ("GET", "/api/v1/workers/<worker_id>/stats"): "reach workers:read",
    ("GET", "/ws/metrics"): "watcher socket",
    ("GET", "/api/v1/tasks/<task_id>/logs"): "tasks:read",
    ("GET", "/api/v1/tasks/<task_id>/metrics"): "tasks:read",
    ("GET", "/api/v1/tasks/<task_id>/stream"): "owner socket",
    ("POST", "/rnp/v1/wallet/challenge"): "public",
    ("POST", "/rnp/v1/wallet/login"): "proof",
    ("POST", "/rnp/v1/wallet/link"): "signed in",
    ("POST", "/rnp/v1/wallet/payout-addresses"): "wallet:write",
    ("GET", "/rnp/v1/wallet/payout-addresses"): "wallet:read",
    ("DELETE", "/rnp/v1/wallet/payout-addresses/<address_id>"): "wallet:write",
    ("GET", "/rnp/v1/tiers"): "jobs:read",
    ("POST", "/rnp/v1/estimates"): "jobs:read",
    ("POST", "/rnp/v1/scenes"): "scenes:write",
    ("GET", "/rnp/v1/scenes/<scene_id>"): "scenes:read",
    ("PUT", "/rnp/v1/scenes/<scene_id>/content"): "url",
    ("PATCH", "/rnp/v1/scenes/<scene_id>/content"): "url",
    ("GET", "/rnp/v1/credits"): "credits:read",
    ("POST", "/rnp/v1/credits/topups"): "credits:write",
    ("GET", "/rnp/v1/credits/topups/<topup_id>"): "credits:read",
    ("POST", "/rnp/v1/credits/topups/<topup_id>/pay"): "credits:write",
    ("POST", "/rnp/v1/credits/redeem"): "credits:write",
    ("POST", "/rnp/v1/jobs/<job_id>/pay"): "jobs:write",
    ("POST", "/rnp/v1/keys"): "keys:write",
    ("GET", "/rnp/v1/keys"): "keys:read",
    ("DELETE", "/rnp/v1/keys/<key_id>"): "keys:write",
    ("POST", "/rnp/v1/jobs"): "jobs:write",
    ("GET", "/rnp/v1/jobs"): "jobs:read",
    ("GET", "/rnp/v1/jobs/<job_id>"): "jobs:read",
    ("PATCH", "/rnp/v1/jobs/<job_id>"): "jobs:write",
    ("DELETE", "/rnp/v1/jobs/<job_id>"): "jobs:write",
    ("POST", "/rnp/v1/jobs/<job_id>/pause"): "jobs:write",
    ("POST", "/rnp/v1/jobs/<job_id>/resume"): "jobs:write",
    ("GET", "/rnp/v1/jobs/<job_id>/frames"): "jobs:read",
    ("GET", "/rnp/v1/jobs/<job_id>/frames/<frame>"): "jobs:read",
    ("GET", "/rnp/v1/jobs/<job_id>/frames/<frame>/preview"): "jobs:read",
    ("GET", "/rnp/v1/jobs/<job_id>/frames.zip"): "jobs:read",
    ("GET", "/rnp/v1/jobs/<job_id>/events"): "jobs:read",
    ("POST", "/api/v1/tasks"): "tasks:write",
    ("GET", "/api/v1/tasks"): "tasks:read",
    ("GET", "/api/v1/tasks/<task_id>"): "tasks:read",
    ("PATCH", "/api/v1/tasks/<task_id>"): "tasks:write",
    ("DELETE", "/api/v1/tasks/<task_id>"): "tasks:write",
    ("GET", "/api/v1/tasks/<task_id>/results"): "tasks:read",
    ("GET", "/api/v1/providers/<provider_id>/tasks"): "tasks:read",
    ("GET", "/api/v1/providers/<provider_id>/tasks/available"): "tasks:read",
    ("POST", "/api/v1/providers/<provider_id>/tasks/accept"): "tasks:write",
    ("POST", "/api/v1/providers/<provider_id>/tasks/<task_id>/start"): "tasks:write",
    ("PATCH", "/api/v1/providers/<provider_id>/tasks/<task_id>/progress"): "tasks:write",
    ("POST", "/api/v1/providers/<provider_id>/tasks/<task_id>/complete"): "tasks:write",
    ("POST", "/api/v1/providers/<provider_id>/tasks/<task_id>/fail"): "tasks:write",
    ("GET", "/api/v1/providers/<provider_id>/earnings"): "billing:read",
    ("POST", "/api/v1/providers/<provider_id>/payouts/request"): "payouts:write",
    ("GET", "/api/v1/providers/<provider_id>/payouts/history"): "payouts:read",
    ("GET", "/api/v1/providers/<provider_id>/payouts/pending"): "payouts:read",
    ("GET", "/api/v1/providers/<provider_id>/payouts/addresses"): "payouts:read",
    ("POST", "/api/v1/providers/<provider_id>/payouts/addresses"): "payouts:write",
    ("DELETE", "/api/v1/providers/<provider_id>/payouts/addresses/<address_id>"): "payouts:write",
    ("GET", "/api/v1/providers/<provider_id>/staking"): "providers:read",
    ("POST", "/api/v1/providers/<provider_id>/staking/stake"): "wallet:write",
    ("POST", "/api/v1/providers/<provider_id>/staking/unstake"): "wallet:write",
    ("GET", "/api/v1/providers/<provider_id>/disputes"): "tasks:read",
    ("POST", "/api/v1/providers/<provider_id>/disputes/<dispute_id>/answer"): "tasks:write",
    ("POST", "/api/v1/tasks/<task_id>/dispute"): "tasks:write",
    ("GET", "/api/v1/tasks/<task_id>/dispute"): "tasks:read",
    ("GET", "/api/v1/tasks/disputes"): "tasks:read",
    ("POST", "/api/v1/tasks/disputes/<dispute_id>/decision"): "operator",
    ("GET", "/api/v1/wallet/balance"): "wallet:read",
    ("POST", "/api/v1/wallet/deposit"): "wallet:write",
    ("GET", "/api/v1/wallet/deposits"): "wallet:read",
    ("GET", "/api/v1/wallet/deposits/<deposit_id>"): "wallet:read",
    ("POST", "/api/v1/wallet/deposits/<deposit_id>/pay"): "wallet:write",
    ("GET", "/api/v1/billing/history"): "billing:read",
    ("GET", "/api/v1/billing/usage"): "billing:read",
    ("GET", "/api/v1/billing/payment-method"): "billing:read",
    ("POST", "/api/v1/billing/payment-method"): "billing:write",
    ("GET", "/api/v1/billing/invoices"): "billing:read",
    ("POST", "/api/v1/billing/invoices"): "billing:write",
    ("GET", "/api/v1/billing/invoices/<invoice_id>"): "billing:read",
    ("GET", "/api/v1/billing/invoices/<invoice_id>.pdf"): "billing:read",
    ("GET", "/openapi/rayment.json"): "public",
    ("GET", "/openapi/node.json"): "public",
    ("GET", "/openapi/rendertrust.json"): "public",
    ("GET", "/openapi/rnp019.json"): "public",
    ("GET", "/docs"): "public",
    ("GET", "/docs/<name>"): "public",
    ("GET", "/docs/static/<path:filename>"): "public",
}
EMPTY_BODIES = {
    "proof": {"signature": "x"},
    "heartbeat": {},
    "claims": {"capabilities": ["render"]},
    "progress": {"reports": [{"attempt_id": UNKNOWN, "fence": 1}]},
    "logs": {"attempt_id": UNKNOWN, "fence": 1},
    "results": {"results": [{"attempt_id": UNKNOWN, "fence": 1, "sha256": "0" * 64, "size_bytes": 1}]},
    "failures": {"failures": [{"attempt_id": UNKNOWN, "fence": 1, "code": "CRASHED"}]},
    "releases": {"attempts": [{"attempt_id": UNKNOWN, "fence": 1}]},
}
# A body that each of these routes takes, so that who is let in is what decides.
GOOD_BODIES: dict[str, dict[str, Any]] = {
    "/api/v1/credits/deduct": {"amount": "1.0000", "reference_id": "x"},
    "/api/v1/jobs/dispatch": {"job_type": "echo", "payload_ref": "s3://bucket/key"},
    "/rnp/v1/wallet/payout-addresses": {"chain": "solana", "address": "11111111111111111111111111111111"},
    "/api/v1/payouts/proposals/<proposal_id>/reject": {"reason": "x"},
    "/api/v1/providers/<provider_id>/heartbeat": {},
    "/api/v1/providers/<provider_id>/resources": {
        "resource_type": "gpu", "specifications": {"memory_gb": 24}, "pricing": {"per_hour": "8.00"}
    },
    "/api/v1/providers/<provider_id>/resources/<resource_id>": {"status": "offline"},
    "/rnp/v1/keys": {"scopes": ["keys:write"]},
    "/rnp/v1/estimates": {"scene_id": UNKNOWN},
    "/rnp/v1/jobs": {"scene_id": UNKNOWN},
    "/rnp/v1/jobs/<job_id>": {"priority": 1},
    "/rnp/v1/scenes": {"sha256": "0" * 64, "size_bytes": 1, "name": "a.blend"},
    "/rnp/v1/credits/topups": {"amount": "1"},
    "/rnp/v1/credits/topups/<topup_id>/pay": {"tx_signature": "1" * 64},
    "/rnp/v1/credits/redeem": {"amount": "1"},
    "/rnp/v1/jobs/<job_id>/pay": {"tx_signature": "1" * 64},
    "/api/v1/tasks": {"name": "x", "type": "cpu", "docker_image": "debian:12", "max_price_per_hour": "1.00"},
    "/api/v1/tasks/<task_id>": {"priority": "low"},
    "/api/v1/providers/<provider_id>/tasks/accept": {"task_id": UNKNOWN},
    "/api/v1/providers/<provider_id>/tasks/<task_id>/progress": {"progress": 1},
    "/api/v1/providers/<provider_id>/tasks/<task_id>/complete": {"result_hash": "0" * 64},
    "/api/v1/providers/<provider_id>/tasks/<task_id>/fail": {"error_code": "X"},
    "/api/v1/providers/<provider_id>/payouts/request": {"amount": "1"},
    "/api/v1/providers/<provider_id>/payouts/addresses": {"wallet_address": "1", "timestamp": 1, "signature": "1"},
    "/api/v1/providers/<provider_id>/staking/stake": {"amount": "1"},
    "/api/v1/providers/<provider_id>/staking/unstake": {"amount": "1"},
    "/api/v1/providers/<provider_id>/disputes/<dispute_id>/answer": {"answer": "x"},
    "/api/v1/tasks/<task_id>/dispute": {"reason": "x"},
    "/api/v1/tasks/disputes/<dispute_id>/decision": {"decision": "reject", "reason": "x"},
    "/api/v1/wallet/deposit": {"amount": "1.00"},
    "/api/v1/wallet/deposits/<deposit_id>/pay": {"tx_signature": "1" * 64},
    "/api/v1/uploads": {"filename": "a.blend", "size_bytes": 1, "content_type": "application/octet-stream"},
}
SCOPED = [(method, rule, access) for (method, rule), access in ACCESS.items() if access in SCOPES]


def rules(client: FlaskClient) -> list[tuple[str, str]]:
    return [
        (method, rule.rule)
        for rule in client.application.url_map.iter_rules()
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"})
    ]


def test_every_route_has_one_owner_and_an_entry(client: FlaskClient) -> None:
    found = rules(client)
    assert sorted(found) == sorted(ACCESS)
    assert len(found) == len(set(found))
    shapes = [(rule.methods, rule._trace) for rule in client.application.url_map.iter_rules()]
    assert len({(frozenset(methods or ()), str(trace)) for methods, trace in shapes}) == len(shapes)


def test_no_two_dialects_own_a_prefix() -> None:
    prefixes = [prefix for dialect in DIALECTS for prefix in dialect.prefixes]
    assert len(prefixes) == len(set(prefixes))


NODE_ROUTES = [rule for (_, rule), access in ACCESS.items() if access == "node"]


@pytest.mark.parametrize("rule", NODE_ROUTES)
def test_node_routes_want_a_nodes_own_token(client: FlaskClient, hub, rule: str) -> None:
    with hub.database.unit_of_work() as session:
        key = accounts.ensure_operator(session)
    with client.application.app_context():
        user_token = create_access_token("someone")
        unknown_node = create_access_token(str(uuid.uuid4()), additional_claims={"token_type": "node"})
    for sent in (None, "Bearer", "Bearer x", "Basic eDp5", "Bearer a.b.c", "Bearer é", f"Bearer {key}", f"Bearer {user_token}",
                 f"Bearer {unknown_node}", f"Bearer {unknown_node[:-2]}"):
        head = {} if sent is None else {"Authorization": sent.encode().decode("latin-1")}
        answer = client.post(rule, json=EMPTY_BODIES[rule.rsplit("/", 1)[1]], headers=head)
        assert answer.status_code == 401, (sent, answer.json)
        assert error_of(client, rule, answer)


OPERATOR_ROUTES = [(method, rule) for (method, rule), access in ACCESS.items() if access == "operator"]


@pytest.mark.parametrize(("method", "rule"), OPERATOR_ROUTES)
def test_operators_routes_want_the_role_and_the_scope(client: FlaskClient, hub, method: str, rule: str) -> None:
    with hub.database.unit_of_work() as session:
        account_id = accounts.ensure_identity(session, "solana", "someone")
        stranger = accounts.create_key(session, account_id, "all", list(SCOPES))
        others = [scope for scope in SCOPES if not scope.startswith("admin:")]
        unscoped = accounts.create_key(session, accounts.operator_account(session), "some", others)
        operator = accounts.ensure_operator(session)
    for token, status in ((None, 401), ("ly_x", 401), (stranger, 403), (unscoped, 403), (operator, None)):
        head = {"Authorization": f"Bearer {token}"} if token else {}
        answer = client.open(concrete(rule), method=method, json=GOOD_BODIES.get(rule), headers=head)
        assert answer.status_code == status if status else answer.status_code in (200, 404), (token, answer.json)


@pytest.mark.parametrize(("method", "rule", "scope"), SCOPED)
def test_scoped_routes_let_in_whoever_has_the_scope(client: FlaskClient, hub, method: str, rule: str, scope: str) -> None:
    """Nobody else, and whatever the route says of an id that does not exist, it says it only after that."""
    with hub.database.unit_of_work() as session:
        account_id = accounts.ensure_identity(session, "solana", "someone")
        right = accounts.create_key(session, account_id, "right", [scope])
        wrong = accounts.create_key(session, account_id, "wrong", [other for other in SCOPES if other != scope])
        signed = accounts.create_key(session, account_id, "signed", [scope], prefix="rc_")
    with client.application.app_context():
        node = create_access_token(str(uuid.uuid4()), additional_claims={"token_type": "node"})
        stranger = create_access_token(str(account_id))
    for token, status in ((None, 401), ("x", 401), ("a.b.c", 401), (node, 401), (stranger, 401), (signed, 401), (wrong, 403),
                          (right, None)):
        head = {"Authorization": f"Bearer {token}"} if token else {}
        answer = client.open(concrete(rule), method=method, json=GOOD_BODIES.get(rule), headers=head)
        assert answer.status_code == status if status else answer.status_code not in (401, 403), (token, answer.json)
        assert answer.status_code < 400 or error_of(client, concrete(rule), answer)


WANTS_A_TOKEN = [
    (method, rule) for (method, rule), access in ACCESS.items()
    if access in SCOPES or access in ("node", "operator", "signed in", "enrol") or access.startswith("reach ")
]


@pytest.mark.parametrize(("method", "rule"), WANTS_A_TOKEN)
def test_a_bad_jwt_is_always_401_whatever_else_is_wrong(client: FlaskClient, method: str, rule: str) -> None:
    with client.application.app_context():
        token = create_access_token(str(uuid.uuid4()), additional_claims={"token_type": "node"})
    head = base64.urlsafe_b64encode(b'{"alg":"none"}').decode().rstrip("=")
    unsigned = f"{head}.{token.split('.')[1]}."
    bad = ("x", "no token", "a.b.c", token[:-2], unsigned, "x" * 5000 + ".b.c")
    for sent, body in itertools.product(bad, (b"", b"{", b'{"a":1,"a":2}', b"[]")):
        headers = {"Authorization": f"Bearer {sent}", "Content-Type": "application/json"}
        answer = client.open(concrete(rule), method=method, data=body, headers=headers)
        assert answer.status_code == 401 and error_of(client, concrete(rule), answer), (sent[:9], body, answer.text)


def test_a_token_that_is_over_keeps_nobody_from_what_is_open(client: FlaskClient) -> None:
    """A browser sends the old one along when it signs in again."""
    head = {"Authorization": "Bearer a.b.c"}
    assert client.get("/providers", headers=head).status_code == client.get("/api/v1/health", headers=head).status_code == 200
    assert client.post("/api/v1/auth/login", json={}, headers=head).status_code == 422


def enrol(client: FlaskClient, key: str | None, provider_id: str | None = None, name: str = "n") -> Any:
    body = {"name": name, "public_key": base64.b64encode(secrets.token_bytes(32)).decode(), "capabilities": ["render"]}
    head = {} if key is None else {"X-API-Key": key}
    return client.post("/node/v1/nodes", json={**body, "provider_id": provider_id}, headers=head)


def key_of(market: Market, wallet: str, *scopes: str, prefix: str = "ly_") -> str:
    with market.hub.database.unit_of_work() as session:
        return accounts.create_key(session, accounts.ensure_identity(session, "solana", wallet), "test", list(scopes), prefix)


def test_an_enrolment_by_key_needs_the_scope_and_the_owner(market: Market, solana_url: str) -> None:
    own, client = market.wallet.address, market.client
    stranger = Payer(solana_url).address
    others = [scope for scope in SCOPES if scope != "nodes:write"]
    cases = [
        (key_of(market, own, "nodes:write"), 201),
        (key_of(market, own, *others), 403),
        (key_of(market, stranger, "nodes:write"), 403),
        (key_of(market, own, "nodes:write", prefix="rc_"), 401),
        ("ly_unknown", 401),
    ]
    for key, status in cases:
        answer = enrol(client, key, market.provider_id)
        assert answer.status_code == status, answer.json
    assert enrol(client, None).status_code == 201  # of nobody: it gets no work unless OPEN_NODES


def test_a_revoked_key_is_401(market: Market) -> None:
    key = key_of(market, market.wallet.address, "nodes:write")
    with market.hub.database.unit_of_work() as session:
        (key_id,) = session.connection().exec_driver_sql("SELECT id FROM api_keys").scalars()
        assert accounts.revoke_key(session, key_id)
    assert enrol(market.client, key, market.provider_id).status_code == 401


def test_another_dialects_job_is_unknown_here_without_its_owners_key(market: Market, payer: Payer) -> None:
    payment = paid(market, payer)
    path = f"/render/{payment['jobId']}"
    with market.hub.database.unit_of_work() as session:
        session.connection().exec_driver_sql("UPDATE jobs SET dialect = 'rnp019'")
        operator = accounts.ensure_operator(session)
    keys = {
        None: 404,
        key_of(market, payer.address, "jobs:read"): 200,
        key_of(market, payer.address, "scenes:read", "jobs:write"): 403,
        key_of(market, market.wallet.address, "jobs:read"): 404,
        "ly_wrong": 401,
        operator: 200,
    }
    for key, status in keys.items():
        head = {"Authorization": f"Bearer {key}"} if key else {}
        assert market.client.get(path, headers=head).status_code == status, (key, status)
        found = market.client.get(f"{path}/result", headers=head)
        assert found.status_code == (404 if status == 200 else status)  # nothing is rendered yet
    owner = {"Authorization": f"Bearer {list(keys)[1]}"}
    signature = str(payer.keypair.sign_message(b"x"))
    answer = market.client.post("/render/pay", json={"jobId": payment["jobId"], "txSignature": signature}, headers=owner)
    assert (answer.status_code, answer.json["code"]) == (409, "OTHER_DIALECT")
    answer = market.client.post("/render/pay", json={"jobId": payment["jobId"], "txSignature": signature})
    assert answer.status_code == 404
    body = {"providerId": market.provider_id, "error": "x", "signature": market.wallet.sign(f"failed:{payment['jobId']}")}
    assert market.client.post(f"/provider/job/{payment['jobId']}/failed", json=body).status_code == 404


SAMPLES = {"<job_id>": UNKNOWN, "<provider_id>": UNKNOWN, "<path:key>": "a", "<letter_id>": UNKNOWN, "<entry_id>": UNKNOWN,
           "<task_id>": UNKNOWN, "<key_id>": UNKNOWN, "<resource_id>": UNKNOWN, "<address_id>": UNKNOWN,
           "<scene_id>": UNKNOWN, "<deposit_id>": UNKNOWN, "<topup_id>": UNKNOWN, "<invoice_id>": UNKNOWN, "<frame>": "1",
           "<name>": "rayment", "<path:filename>": "x", "<participant_id>": "1", "<worker_id>": "1", "<payout_id>": "1",
           "<proposal_id>": "1", "<dispute_id>": UNKNOWN,
           "<wallet_address>": "0:" + "0" * 64}


def concrete(rule: str) -> str:
    for part, sample in SAMPLES.items():
        rule = rule.replace(part, sample)
    return rule


def error_of(client: FlaskClient, path: str, answer: Any) -> str:
    """The error text in the envelope of whoever owns the path."""
    body = answer.json
    if owner_of(path, DIALECTS) is COCOON:
        assert set(body) == {"detail"} and isinstance(body["detail"], str)
        return str(body["detail"])
    if owner_of(path, DIALECTS) is RENDERTRUST:
        assert set(body) - {"available", "requested"} == {"detail"} and isinstance(body["detail"], str)
        return str(body["detail"])
    if path.startswith(("/node/", "/files/", "/rnp/")) or owner_of(path, DIALECTS) is ROBOCOMPUTE:
        assert set(body) == {"error"} and set(body["error"]) == {"code", "message", "details"}
        return str(body["error"]["message"])
    assert body["success"] is False and isinstance(body["error"], str)
    return str(body["error"])


def test_wrong_methods_and_unknown_paths_below_answer_in_the_envelope(client: FlaskClient) -> None:
    for rule in sorted({rule for _, rule in ACCESS}):
        path = concrete(rule)
        adapter = client.application.url_map.bind("")
        wrong = next(method for method in ("PATCH", "PUT", "DELETE") if not adapter.test(path, method))
        answer = client.open(path, method=wrong)
        assert answer.status_code == 405 and wrong not in answer.headers["Allow"], path
        assert error_of(client, path, answer)
        answer = client.get(f"{path}/no/such/thing") if not path.startswith("/files") else client.post("/files")
        assert answer.status_code in (404, 405), path
        assert error_of(client, path, answer)


def test_what_nobody_has_below_the_shared_prefix_is_told_as_most_there_tell_it(client: FlaskClient) -> None:
    answer = client.get("/api/v1/nothing")
    assert answer.status_code == 404 and set(answer.json) == {"detail"}
    assert client.get("/nothing").json["success"] is False


JSON_ROUTES = [(method, rule) for method, rule in ACCESS if method in ("POST", "PUT", "PATCH") and ACCESS[method, rule] != "url"
               and rule not in ("/render", "/provider/job/<job_id>/complete")]
NO_BODY = ("/api/v1/auth/logout", "/api/v1/billing/invoices", "/api/v1/billing/payment-method",
           "/api/v1/payouts/proposals/<proposal_id>/approve", "/api/v1/jobs/<job_id>/cancel",
           "/api/v1/jobs/dead-letters/<letter_id>/replay", "/rnp/v1/jobs/<job_id>/pause", "/rnp/v1/jobs/<job_id>/resume")
BROKEN = [b"", b"{", b"null", b"[]", b'"x"', b"\xff", b'{"a":NaN}', b"[" * 100_000, b'{"name":"\\ud800"}', b"7" * 5000,
          b'{"a":1e999}', b'{"a":' + b"9" * 400 + b"}"]


@pytest.mark.parametrize(("method", "rule"), JSON_ROUTES)
def test_broken_json_is_400_in_the_envelope(client: FlaskClient, method: str, rule: str) -> None:
    path = concrete(rule)
    for broken in BROKEN:
        answer = client.open(path, method=method, data=broken, content_type="application/json")
        expected = {400} if "/webhooks/" in rule else {owner_of(path, DIALECTS).invalid_status}
        if rule in NO_BODY or rule.endswith(("/heartbeat", "/start")) and broken == b"":  # no member is needed
            expected = expected | {401} if rule in NO_BODY else {401}
        assert answer.status_code in expected, (broken[:20], answer.data)
        assert error_of(client, path, answer)


def test_a_json_body_over_a_mebibyte_is_413_in_the_envelope(client: FlaskClient) -> None:
    data = b'{"a":"' + b"x" * 1_048_576 + b'"}'
    for method, rule in JSON_ROUTES:
        path = concrete(rule)
        answer = client.open(path, method=method, data=data, content_type="application/json")
        assert answer.status_code == 413, (rule, answer.data)
        assert error_of(client, path, answer)


TAKE_FORMS = ("/api/", "/rnp/v1/scenes")
FORMLESS = [(method, rule) for method, rule in JSON_ROUTES if not rule.startswith(TAKE_FORMS) and rule not in NO_BODY]


@pytest.mark.parametrize(("method", "rule"), FORMLESS)
def test_a_form_is_no_json_however_large_and_is_refused_unread(client: FlaskClient, method: str, rule: str) -> None:
    """Forms may be as large as scenes; a body that says it is one must not be read into memory as JSON."""
    path = concrete(rule)
    data = b'{"a":"' + b"x" * 2_000_000 + b'"}'
    answer = client.open(path, method=method, data=data, content_type="multipart/form-data; boundary=x")
    assert (answer.status_code, error_of(client, path, answer)) == (400, "the body must be JSON, not a form")


def test_a_json_body_under_another_content_type_is_read_all_the_same(node: FakeNode) -> None:
    for kind in ("text/plain", "application/x-www-form-urlencoded", "application/octet-stream"):
        for data, status in ((b'{"current_load":"much"}', 400), (b"{", 400), (b'{"current_load":0.5}', 200), (b"", 200)):
            answer = node.client.post("/node/v1/heartbeat", data=data, content_type=kind, headers=node.headers)
            assert answer.status_code == status, (kind, data, answer.data)


@pytest.mark.parametrize("path", ["/health", "/node/v1/heartbeat"])
def test_a_crash_answers_in_the_envelope_and_tells_nothing(client: FlaskClient, path: str, monkeypatch) -> None:
    method = "GET" if path == "/health" else "POST"
    endpoint = client.application.url_map.bind("").match(path, method)[0]

    def crash(**_: Any) -> None:
        raise RuntimeError("the secret is 42")

    monkeypatch.setitem(client.application.view_functions, endpoint, crash)
    answer = client.open(path, method=method)
    assert answer.status_code == 500
    assert "42" not in answer.text and error_of(client, path, answer)


def test_metrics_want_their_token_where_one_is_set(settings) -> None:
    client = create_app(replace(settings, metrics_token="t0ken")).test_client()
    for sent, status in ((None, 401), ("Bearer wrong", 401), ("Bearer \xe9", 401), ("Bearer t0ken", 200)):
        head = {} if sent is None else {"Authorization": sent}
        assert client.get("/metrics", headers=head).status_code == status


def test_safety_headers_are_on_everything(client: FlaskClient) -> None:
    for path in ("/health", "/nowhere", "/openapi/node.json", "/node/v1/x"):
        headers = client.get(path).headers
        assert headers["X-Content-Type-Options"] == "nosniff" and headers["X-Frame-Options"] == "DENY"
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert headers["Cache-Control"] == "no-store" and "Access-Control-Allow-Origin" not in headers


def test_browsers_may_call_only_from_the_named_origins(settings) -> None:
    client = create_app(replace(settings, cors_origins="https://app.example, https://b.example")).test_client()
    preflight = {"Origin": "https://app.example", "Access-Control-Request-Method": "POST"}
    answer = client.options("/render", headers=preflight)
    assert answer.status_code == 204 and "Idempotency-Key" in answer.headers["Access-Control-Allow-Headers"]
    for origin, allowed in (("https://app.example", True), ("https://evil.example", False), ("null", False)):
        answer = client.get("/health", headers={"Origin": origin})
        assert answer.headers.get("Access-Control-Allow-Origin") == (origin if allowed else None)
        assert "Origin" in answer.headers["Vary"]
