"""What a whole running stack says of itself: every line is one JSON object, a job's story is one search, a job is one trace, and
no secret that anybody gave it is in any log or span, whatever went wrong."""

import base64
import json
import secrets
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import psycopg
import pytest
import redis
from nacl.signing import SigningKey

from app.stack.ports import free_port
from app.stack.valkey import Valkey
from devnet.ton import program as ton
from tests.e2e.artist import Artist
from tests.e2e.conftest import ROOT
from tests.e2e.conftest import cube as cube
from tests.factories.collectors import Collector, collector
from tests.factories.stacks import FRESH, RunningStack, fresh_home, lightyard, wait_until

SPEAK_JSON = ("api", "worker", "beat", "poller", "signer", "node-0")
TINY = {"resolution": {"width": 32, "height": 24}, "samples": 1, "frames": {"start": 1, "end": 1}}
ORDER, PAYMENT = "order-of-the-artist-01", "payment-of-the-artist-01"


def canary(name: str) -> str:
    return f"canary-{name.replace(' ', '-')}-{secrets.token_hex(12)}"


@dataclass(repr=False)
class Story:
    """What was done to a stack, and what it left behind. `canaries` are by what they were."""

    home: Path
    collected: Collector
    job_id: str = ""
    canaries: dict[str, str] = field(default_factory=dict)
    logs: dict[str, str] = field(default_factory=dict)

    def give(self, name: str) -> str:
        return self.canaries.setdefault(name, canary(name))

    def lines(self, *roles: str) -> list[dict[str, Any]]:
        return [{**json.loads(line), "role": role} for role in roles for line in self.logs[role].splitlines()]


@contextmanager
def local_chain(home: Path) -> Iterator[str]:
    pace = ["--slot-ms", "5", "--blockhash-blocks", "12000"]
    command = [sys.executable, "-m", "devnet", "--port", "0", *pace, "--home", str(home)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT, text=True)
    assert process.stdout is not None
    try:
        yield process.stdout.readline().split()[2]
    finally:
        process.terminate()
        process.wait(10)
        process.stdout.close()


def settings_with_canaries(story: Story, database_url: str, valkey: Valkey, chain_url: str) -> dict[str, str]:
    """Secrets in every setting that takes one; of two Solana nodes the first is away, and so are the other chains."""
    give, away = story.give, f"127.0.0.1:{free_port()}"
    anchor_key = story.canaries["evm key"] = secrets.token_hex(32)
    valkey_url = valkey.url.replace("redis://", f"redis://:{give('redis password')}@")
    return {
        "SECRET_KEY": give("secret key"),
        "METRICS_TOKEN": give("metrics token"),
        "STRIPE_WEBHOOK_SECRET": f"whsec_{give('stripe')},whsec_{give('old stripe')}",
        "S3_ACCESS_KEY_ID": give("s3 key id"),
        "S3_SECRET_ACCESS_KEY": give("s3 secret"),
        "DATABASE_URL": database_url.replace("postgres@", f"postgres:{give('database password')}@"),
        "REDIS_URL": valkey_url,
        "BROKER_URL": valkey_url.replace("/0", "/1"),
        "SOLANA_RPC_URL": f"http://user:{give('rpc user')}@{away}/{give('rpc path')}?api-key={give('rpc query')},{chain_url}",
        "EVM_RPC_URL": f"http://{away}/v2/{give('evm path')}?apikey={give('evm query')}",
        "EVM_ANCHOR_KEY": anchor_key,
        "ANCHOR_INTERVAL_SECONDS": "1",
        "TON_API_URL": f"http://{away}/{give('ton path')}/api/v2",
        "TON_API_KEY": give("ton key"),
        "TON_NETWORK": "testnet",
        "TON_WALLET": ton.HUB_WALLET,
        "OTEL_EXPORTER_OTLP_ENDPOINT": story.collected.url,
        "OTEL_EXPORTER_OTLP_HEADERS": f"x-collector-key={give('collector key')}",
        "OTEL_BSP_SCHEDULE_DELAY": "200",
        "RATE_LIMITS": "on",
        "NODES": "1",
    }


@pytest.fixture(scope="module")
def story(
    cube: bytes, postgres: Any, template: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Story]:
    """One stack: a job is ordered, paid and rendered; then everything is done wrong; then it ends."""
    name = "logs_of_a_stack"
    valkey = Valkey(tmp_path_factory.mktemp("valkey"))
    with psycopg.connect(postgres.url, autocommit=True) as server:
        server.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
    valkey.start()
    with collector() as collected, local_chain(tmp_path_factory.mktemp("chain")) as chain_url, fresh_home() as home:
        told = Story(home, collected)
        settings = settings_with_canaries(told, postgres.database_url(name), valkey, chain_url)
        redis.Redis.from_url(valkey.url).config_set("requirepass", told.canaries["redis password"])
        stack = RunningStack(home, **settings).wait_ready()
        try:
            render(told, {**stack.endpoints, "solana_rpc_url": chain_url}, cube)
            do_everything_wrong(told, stack.endpoints, postgres.database_url(name))
            lightyard("payouts", "list", home=home, **settings)
        finally:
            code = stack.end()
        told.logs = {path.stem: path.read_text(errors="replace") for path in (*(home / "logs").iterdir(), stack.log)}
        note_files(told)
        assert code == 0
        yield told
    valkey.stop()
    with psycopg.connect(postgres.url, autocommit=True) as server:
        server.execute(f"DROP DATABASE {name} WITH (FORCE)")


def render(story: Story, endpoints: dict[str, Any], scene: bytes) -> None:
    artist = Artist(endpoints)
    artist.http.headers["X-Request-Id"] = ORDER
    payment = artist.quote(scene, TINY)
    story.job_id = payment["jobId"]
    signature = artist.send_money(payment)
    artist.http.headers["X-Request-Id"] = PAYMENT
    artist.announce(payment, signature)
    del artist.http.headers["X-Request-Id"]
    wait_until(lambda: artist.call("GET", f"/render/{story.job_id}").json()["data"]["status"] == "completed", "a picture", 120)
    spans = ("attempt", "POST /render")
    wait_until(lambda: {span.name for span in story.collected.spans} >= set(spans), "spans of the whole job", 30)


def do_everything_wrong(story: Story, endpoints: dict[str, Any], database_url: str) -> None:
    http = httpx.Client(limits=FRESH, base_url=endpoints["api_url"], timeout=30)
    sign_up(story, http)
    join_as_node(story, http)
    story.give("strange token")
    given = ("access token", "refresh token", "api key", "node token", "operator key", "upload", "strange token")
    for token in (story.canaries[name] for name in given):
        send_where_it_does_not_belong(http, token)
    garble(endpoints["api_url"], story.canaries["api key"])
    with psycopg.connect(database_url, autocommit=True) as database:  # a table that is gone: requests crash with values in hand
        database.execute("ALTER TABLE api_keys RENAME TO api_keys_gone")
        try:
            answers = [http.get("/api/v1/credits/balance", headers={"Authorization": f"Bearer {story.canaries['api key']}"})]
            answers.append(http.get("/api/v1/credits/balance", headers={"X-API-Key": story.canaries["operator key"]}))
        finally:
            database.execute("ALTER TABLE api_keys_gone RENAME TO api_keys")
        assert {answer.status_code for answer in answers} == {500}
    http.close()


def sign_up(story: Story, http: httpx.Client) -> None:
    """A user with all that a user has."""
    body = {"email": "canary@example.com", "name": "Jane", "password": story.give("password")}
    made = http.post("/api/v1/auth/register", json=body)
    assert made.status_code == 201, made.text
    pair = made.json()["tokens"]
    story.canaries |= {"access token": pair["access_token"], "refresh token": pair["refresh_token"]}
    bearer = {"Authorization": f"Bearer {story.canaries['access token']}"}
    wrong = story.give("wrong password")
    assert http.post("/api/v1/auth/login", json={**body, "password": wrong}).status_code == 401
    key = http.post("/rnp/v1/keys", json={"name": "k", "scopes": ["jobs:read", "credits:read"]}, headers=bearer)
    assert key.status_code == 201, key.text
    story.canaries["api key"] = next(value for value in key.json().values() if str(value).startswith("ly_") and len(value) > 20)
    upload = {"filename": "a.bin", "size_bytes": 4, "content_type": "application/octet-stream"}
    address = http.post("/api/v1/uploads", json=upload, headers=bearer).json()["upload_url"]
    story.canaries["upload"] = address.split("signature=")[1].split("&")[0]
    assert httpx.put(address[:-1] + ("0" if address[-1] != "0" else "1"), content=b"1234").status_code >= 400
    assert httpx.put(address, content=b"12345").status_code >= 400


def join_as_node(story: Story, http: httpx.Client) -> None:
    key = base64.b64encode(bytes(SigningKey.generate().verify_key)).decode()
    body = {"name": "n", "public_key": key, "capabilities": ["render"]}
    made = http.post("/node/v1/nodes", json=body)
    story.canaries |= {"node token": made.json()["token"], "operator key": (story.home / "operator.key").read_text()}
    http.get(f"/api/v1/relay/ws/{made.json()['node_id']}", params={"token": made.json()["token"]})


def send_where_it_does_not_belong(http: httpx.Client, token: str) -> None:
    """In every place of a request, to routes of all dialects and to none."""
    header = {"Authorization": f"Bearer {token}", "X-API-Key": token, "Cookie": f"session={token}", "Idempotency-Key": token[:60]}
    odd = [{"Authorization": token}, {"Authorization": f"Basic {token}"}, {"X-Request-Id": token[:64]}, {"Traceparent": token}]
    for path in ("/render", "/api/v1/jobs", "/rnp/v1/keys", "/api/v1/workers", "/node/v1/claims", "/nowhere", "/ws", "/metrics"):
        for headers in (header, *odd):
            http.get(path, headers=headers, params={"token": token, "key": token})
        http.get(f"{path}/{token}", headers=header)
        http.post(path, json={"token": token, "password": token, "signature": token, token: 1}, headers=header)
        http.post(path, content=f'{{"token": "{token}", broken', headers={"Content-Type": "application/json"})
        http.post(path, content=f"Authorization: Bearer {token}", headers={"Content-Type": token[:40]})
    http.get(f"/files/{token}", params={"signature": token, "expires": "1"})
    http.post("/api/v1/auth/refresh", json={"refresh_token": f"{token}x"})
    http.post("/api/v1/webhooks/stripe", content=token, headers={"Stripe-Signature": f"t=1,v1={token}"})
    job = {"job_type": "echo", "payload_ref": f"s3://{token}/x"}
    http.post("/api/v1/jobs/dispatch", json=job, headers={**header, "Idempotency-Key": token[:60]})


def garble(url: str, token: str) -> None:
    """What is no HTTP at all: the server itself says something of it."""
    host, port = url.removeprefix("http://").split(":")
    for text in (f"GET /?token={token}\r\n\r\n", f"GET / HTTP/1.1\r\nAuthorization : Bearer {token}\r\n\r\n",
                 f"GET / HTTP/1.1\r\nX-API-Key: {token}\x00\r\n\r\n", f"Bearer {token}\r\n\r\n",
                 f"GET / HTTP/1.1\r\nX-API-Key:{token} \x01: y\r\nHost: x\r\n\r\n"):
        with socket.create_connection((host, int(port)), timeout=10) as plain:
            plain.sendall(text.encode())
            plain.settimeout(10)
            try:
                plain.recv(4096)
            except OSError:
                continue


def note_files(story: Story) -> None:
    """Keys that the stack made itself."""
    for path in (story.home / "signer").glob("*.json"):
        seed = bytes(json.loads(path.read_text())[:32])
        story.canaries |= {f"{path.stem} seed": seed.hex(), f"{path.stem} numbers": ", ".join(map(str, seed[:8]))}
    for path in story.home.glob("node-*/*"):
        if path.is_file() and path.stat().st_size < 200 and "key" in path.name:
            story.canaries[f"{path.name} of a node"] = path.read_text(errors="replace").strip()


def forms(secret: str) -> set[str]:
    return {secret, quote(secret, safe=""), base64.b64encode(secret.encode()).decode().rstrip("=")}


def test_every_line_of_every_process_is_one_json_object(story: Story) -> None:
    for role in SPEAK_JSON:
        for line in story.logs[role].splitlines():
            found = json.loads(line)
            assert {"timestamp", "level", "event"} <= found.keys() and found["timestamp"].endswith("Z"), (role, line)
    said = {role for role in SPEAK_JSON if story.logs[role]}
    assert said >= {"api", "worker", "poller", "node-0"}


def test_one_search_for_a_job_tells_its_story_from_the_order_to_the_picture(story: Story) -> None:
    lines = story.lines("api", "worker", "node-0")
    of_job = [line for line in lines if story.job_id in json.dumps(line)]
    events = {(line["role"], line["event"]) for line in of_job}
    assert {event for role, event in events if role == "node-0"} == {"claimed", "begun", "made", "delivered"}
    assert {event for role, event in events if role == "api"} >= {
        "request", "job:new", "units.claimed", "attempt.completed", "job:completed"
    }
    assert {"job:paid", "payment.decided"} <= {event for _, event in events}
    of_order = [line for line in lines if ORDER in (line.get("request_id"), line.get("via_request_id"))]
    assert {line["role"] for line in of_order} == {"api", "worker", "node-0"}
    assert {line["event"] for line in of_order} >= {"job:new", "job:paid", "claimed", "delivered", "attempt.completed"}
    made = {line["attempt_id"] for line in of_order if line["event"] == "made"}
    assert made == {line["attempt_id"] for line in of_order if line["event"] == "attempt.completed"}
    of_payment = [line for line in lines if PAYMENT in (line.get("request_id"), line.get("via_request_id"))]
    assert {("api", "request"), ("worker", "task")} <= {(line["role"], line["event"]) for line in of_payment}


def test_a_job_is_one_trace_through_api_worker_and_node(story: Story) -> None:
    ordered = [span for span in story.collected.spans if span.name == "POST /render"]
    (root,) = [span for span in ordered if span.facts.get("job_id") == story.job_id]
    trace = story.collected.of_trace(root.trace_id)
    names = {span.name for span in trace}
    assert {"lightyard-api", "lightyard-worker"} == {span.service for span in trace}
    assert names >= {"unit of work", "verify payment", "rpc getTransaction", "attempt", "download", "render", "upload",
                     "POST /node/v1/results", "PUT /files/<path:key>"}
    by_id = {span.span_id: span for span in trace}
    (step,) = [span for span in trace if span.name == "render"]
    attempt = by_id[step.parent_id]
    assert (attempt.name, attempt.parent_id, attempt.facts["job_id"]) == ("attempt", root.span_id, story.job_id)
    assert attempt.began <= step.began < step.ended <= attempt.ended
    told = {span.name for span in trace if span.parent_id == attempt.span_id}
    assert told >= {"download", "render", "upload", "POST /node/v1/results", "PUT /files/<path:key>"}
    assert all(span.parent_id in by_id or span is root for span in trace), "a span whose parent nobody knows"
    assert [span.facts["db.statements"] for span in trace if span.name == "unit of work"][0] > 0
    traced = {line.get("trace_id") for line in story.lines("api", "worker", "node-0") if line.get("request_id") == ORDER}
    assert traced == {root.trace_id}


def test_nothing_secret_is_in_any_log(story: Story) -> None:
    assert len(story.canaries) > 25 and all(len(secret) >= 12 for secret in story.canaries.values())
    leaks = [(name, role) for name, secret in story.canaries.items() for role, text in story.logs.items()
             if any(form in text for form in forms(secret))]
    assert leaks == []
    tried = {"request.crashed": "api", "anchors.not_now": "worker", "ton.not_now": "worker"}  # else this would prove nothing
    assert all(event in story.logs[role] for event, role in tried.items()), {e: e in story.logs[r] for e, r in tried.items()}


def test_nothing_secret_is_in_any_span_and_the_collector_got_its_own_key(story: Story) -> None:
    spans = "\n".join(span.text for span in story.collected.spans)
    assert [name for name, secret in story.canaries.items() if any(form in spans for form in forms(secret))] == []
    headers = {key.lower(): value for key, value in story.collected.headers[0].items()}
    assert headers["x-collector-key"] == story.canaries["collector key"]
