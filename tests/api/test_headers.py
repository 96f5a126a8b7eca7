"""What every answer carries, whatever it is, and which pages elsewhere may read it."""

import io
from dataclasses import replace

import pytest
from flask.testing import FlaskClient

from app.factory import create_app
from app.values import clock
from tests.api.conftest import Market, payer

__all__ = ["payer"]
APP, EVIL = "https://app.example", "https://evil.example"
PAGES = ("/docs", "/docs/rayment", "/redoc")
DOORS = ("/render/pay", "/node/v1/nodes", "/api/v1/auth/login", "/rnp/v1/wallet/login", "/api/v1/workers", "/nowhere")
EVERYTHING = (
    ("GET", "/health", 200), *(("GET", page, 200) for page in PAGES),
    ("GET", "/docs/static/docs.js", 200), ("GET", "/docs/static/none.js", 404), ("GET", "/docs/none", 404),
    ("GET", "/openapi/node.json", 200), ("GET", "/metrics", 200), ("GET", "/nowhere", 404),
    ("DELETE", "/health", 405), ("OPTIONS", "/health", 200), ("HEAD", "/health", 200),
    ("POST", "/render/pay", 400), ("GET", "/api/v1/jobs", 401), ("GET", "/api/v1/workers", 401), ("GET", "/rnp/v1/keys", 401),
    ("GET", "/files/x", 403), ("GET", "/ws", 400), ("GET", "/api/v1/relay/ws/none", 422), ("GET", "/ws/metrics", 422),
)  # fmt: skip


@pytest.fixture
def shared(settings) -> FlaskClient:
    return create_app(replace(settings, cors_origins=f"{APP}, https://B.example/", trusted_proxies="127.0.0.1")).test_client()


def test_every_answer_is_dressed(shared: FlaskClient) -> None:
    for method, path, status in EVERYTHING:
        answer = shared.open(path, method=method)
        assert answer.status_code == status, (path, answer.status_code, answer.text[:200])
        head = answer.headers
        assert head["X-Content-Type-Options"] == "nosniff" and head["X-Frame-Options"] == "DENY", path
        assert head["Referrer-Policy"] == "no-referrer" and "Strict-Transport-Security" not in head, path
        policy = head["Content-Security-Policy"]
        for part in ("default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'none'"):
            assert part in policy, path
        assert "unsafe" not in policy and ("sandbox" in policy) == (path not in PAGES), path
        assert head["Cache-Control"] == ("no-cache" if path == "/docs/static/docs.js" else "no-store"), path
        assert "Set-Cookie" not in head and "Access-Control-Allow-Origin" not in head, path
        is_data = answer.mimetype in ("application/json", "text/html")
        assert head["Cross-Origin-Resource-Policy"] == ("same-origin" if is_data else "cross-origin"), path
        assert (answer.mimetype != "text/html") or head["Cross-Origin-Opener-Policy"] == "same-origin", path


def test_a_result_is_nobody_elses_to_keep(shared: FlaskClient, market: Market, payer) -> None:
    payment = market.quote(payer)
    for path in (f"/render/{payment['jobId']}", f"/render/{payment['jobId']}/result"):
        assert market.client.get(path).headers["Cache-Control"] == "no-store"
    key = "uploads/a-page"
    store = market.hub.store
    store.put(key, io.BytesIO(b"<script>alert(1)</script>"), 100)
    url = store.signed_url("GET", key, 60, now=clock.now(), content_type="text/html")
    answer = market.client.get(url)
    assert answer.status_code == 200 and answer.headers["Cache-Control"] == "no-store"
    assert "sandbox" in answer.headers["Content-Security-Policy"], "a stranger's file runs nothing here"


def test_https_is_pinned_only_where_it_is(shared: FlaskClient, client: FlaskClient) -> None:
    head = {"X-Forwarded-Proto": "https"}
    for path in ("/health", "/nowhere", "/docs"):
        assert shared.get(path, headers=head).headers["Strict-Transport-Security"] == "max-age=31536000"
        assert "Strict-Transport-Security" not in client.get(path, headers=head).headers


def test_pages_of_the_list_may_call_each_dialect_and_no_others(shared: FlaskClient) -> None:
    for path in DOORS:
        check_sharing(shared, path)


def check_sharing(shared: FlaskClient, path: str) -> None:
    wanted = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization,content-type"}
    for origin in (APP, "https://b.example"):
        answer = shared.options(path, headers={**wanted, "Origin": origin})
        assert (answer.status_code, answer.headers["Access-Control-Allow-Origin"]) == (204, origin)
        allowed = {name.strip().lower() for name in answer.headers["Access-Control-Allow-Headers"].split(",")}
        assert allowed >= {"authorization", "content-type", "idempotency-key", "x-wallet-signature", "x-nonce", "traceparent"}
        assert "Origin" in answer.headers["Vary"]
        refused = shared.post(path, json={}, headers={"Origin": origin})
        assert refused.status_code >= 400 and refused.headers["Access-Control-Allow-Origin"] == origin, "errors can be read, too"
        assert {"Retry-After", "Content-Range"} <= set(refused.headers["Access-Control-Expose-Headers"].split(", "))
        has_cookie = path == "/rnp/v1/wallet/login"
        for found in (answer, refused):
            assert found.headers.get("Access-Control-Allow-Credentials") == ("true" if has_cookie else None)
    lookalikes = (EVIL, "null", "*", "", "http://app.example", f"{APP}:8443", f"{APP}.evil.example", f"{APP}/", f"{APP}, {EVIL}")
    for origin in lookalikes:
        for answer in (shared.options(path, headers={**wanted, "Origin": origin}), shared.post(path, headers={"Origin": origin})):
            assert not any(name.startswith("Access-Control") for name in answer.headers.keys()), origin
            assert "Origin" in answer.headers["Vary"], "or a cache gives one origin's answer to another"


def test_everybody_is_a_star_and_never_with_a_cookie(settings) -> None:
    open_hub = create_app(replace(settings, cors_origins="*")).test_client()
    answer = open_hub.post("/rnp/v1/wallet/login", json={}, headers={"Origin": EVIL})
    assert answer.headers["Access-Control-Allow-Origin"] == "*" and "Access-Control-Allow-Credentials" not in answer.headers
    assert "Access-Control-Allow-Origin" not in open_hub.get("/health", headers={"Origin": "null"}).headers
