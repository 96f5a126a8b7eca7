"""RenderTrust's jobs: dispatched, paid for, worked on by nodes, and nobody else's."""

import base64
import hashlib
import io
import json
import uuid
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient
from nacl.signing import SigningKey
from sqlalchemy import update

from app.config import Settings
from app.core import accounts, idempotency
from app.errors import Unavailable
from app.factory import create_app
from app.flows import dispatching
from app.models.accounts import IdempotencyKey
from app.models.jobs import Job, WorkUnit
from app.models.nodes import Node
from app.values import clock
from app.wiring import Hub
from devnet.payer import Payer
from tests.api.conftest import TRIANGLE, UNKNOWN, Market
from tests.api.rendertrust.conftest import User
from tests.api.test_paid_render import paid

JOB_FIELDS = {
    "id", "node_id", "job_type", "payload_ref", "status", "result_ref", "error_message", "retry_count", "queued_at",
    "dispatched_at", "completed_at", "created_at", "updated_at",
}  # fmt: skip


@pytest.fixture
def client(settings: Settings) -> Iterator[FlaskClient]:
    """A hub that lets nodes of nobody work."""
    app = create_app(replace(settings, open_nodes=True, max_run_result_bytes=1000))
    yield app.test_client()
    app.extensions["lightyard"].database.engine.dispose()


@pytest.fixture
def rich(user: User, hub: Hub) -> User:
    user.fund(hub, "1000.0000")
    return user


class EdgeNode:
    """A node that registers as RenderTrust has it, and works by the node protocol."""

    def __init__(self, client: FlaskClient, *capabilities: str) -> None:
        self.client, self.key = client, SigningKey.generate()
        key = base64.b64encode(bytes(self.key.verify_key)).decode()
        self.body = {"name": "edge", "public_key": key, "capabilities": list(capabilities), "metadata": {"gpu": "RTX 4090"}}
        made = client.post("/api/v1/nodes/register", json=self.body)
        assert made.status_code == 201, made.json
        self.id, self.challenge = made.json["node_id"], made.json["challenge"]
        self.headers = {"Authorization": f"Bearer {made.json['token']}"}
        signature = base64.b64encode(self.key.sign(self.challenge.encode()).signature).decode()
        assert self.beat(challenge_signature=signature).json["status"] == "HEALTHY"

    def beat(self, **body: Any) -> Any:
        return self.client.post("/api/v1/nodes/heartbeat", json={"current_load": 0.1, **body}, headers=self.headers)

    def post(self, verb: str, **body: Any) -> Any:
        return self.client.post(f"/node/v1/{verb}", json=body, headers=self.headers)

    def claim(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """(attempt, job)"""
        answer = self.post("claims", capabilities=self.body["capabilities"], limit=1).json
        [attempt] = answer["attempts"]
        return attempt, answer["jobs"][attempt["job_id"]]

    def try_claim(self) -> dict[str, Any] | None:
        found = self.post("claims", capabilities=self.body["capabilities"], limit=1).json["attempts"]
        return found[0] if found else None

    def finish(self, attempt: dict[str, Any], data: bytes, **more: Any) -> dict[str, Any]:
        assert self.client.put(attempt["upload"]["url"], data=data).status_code == 201
        item = {"sha256": hashlib.sha256(data).hexdigest(), "size_bytes": len(data), "seconds": 0.5}
        answer = self.post("results", results=[{**self.of(attempt), **item, **more}])
        assert answer.status_code == 200, answer.json
        return answer.json["results"][0]  # type: ignore[no-any-return]

    def progress(self, attempt: dict[str, Any]) -> None:
        assert self.post("progress", reports=[{**self.of(attempt), "progress": 0.5}]).json["reports"][0]["live"]

    def fail(self, attempt: dict[str, Any], code: str = "CRASHED") -> None:
        assert self.post("failures", failures=[{**self.of(attempt), "code": code, "message": "boom"}]).status_code == 200

    def of(self, attempt: dict[str, Any]) -> dict[str, Any]:
        return {"attempt_id": attempt["attempt_id"], "fence": attempt["fence"]}


def dispatch(user: User, kind: str = "echo", ref: str = "s3://bucket/input/scene.blend", **head: str) -> Any:
    return user.post("jobs/dispatch", headers=head, json={"job_type": kind, "payload_ref": ref})


def job_of(user: User, made: Any) -> dict[str, Any]:
    assert made.status_code == 200, made.json
    return user.get(f"jobs/{made.json['job_id']}").json  # type: ignore[no-any-return]


def upload(user: User, data: bytes, name: str = "payload.json") -> str:
    body = {"filename": name, "size_bytes": len(data), "content_type": "application/octet-stream"}
    order = user.post("uploads", json=body).json
    assert user.client.put(order["upload_url"], data=data).status_code == 201
    return str(order["payload_ref"])


def hasten(hub: Hub, seconds: float = 60) -> None:
    """Everything that waits has waited so much longer."""
    with hub.database.unit_of_work() as session:
        session.execute(update(WorkUnit).values(queued_at=WorkUnit.queued_at - timedelta(seconds=seconds)))


def test_a_job_is_dispatched_run_and_its_result_downloaded(rich: User, client: FlaskClient, hub: Hub) -> None:
    node = EdgeNode(client, "inference")
    request = b'{"messages":[{"role":"user","content":"hello"}]}'
    made = dispatch(rich, "inference", upload(rich, request))
    assert made.json == {"job_id": made.json["job_id"], "node_id": node.id, "status": "DISPATCHED"}
    job = job_of(rich, made)
    assert set(job) == JOB_FIELDS
    assert (job["status"], job["node_id"], job["job_type"]) == ("DISPATCHED", node.id, "inference")
    assert (job["result_ref"], job["error_message"], job["completed_at"], job["retry_count"]) == (None, None, None, 0)
    assert rich.get("credits/balance").json["balance"] == "995.0000"
    assert rich.get(f"jobs/{job['id']}/result").status_code == 404
    attempt, told = node.claim()
    assert (attempt["kind"], told["kind"], told["payload"]["ref"]) == ("run", "inference", job["payload_ref"])
    assert client.get(told["payload"]["url"]).data == request
    assert told["payload"]["sha256"] == hashlib.sha256(request).hexdigest()
    assert job_of(rich, made)["status"] == "DISPATCHED"
    node.progress(attempt)
    assert job_of(rich, made)["status"] == "RUNNING"
    assert node.finish(attempt, b'{"choices":[1]}') == {
        "attempt_id": attempt["attempt_id"], "accepted": True, "unit_state": "completed",
    }  # fmt: skip
    job = job_of(rich, made)
    assert job["status"] == "COMPLETED" and job["result_ref"] and job["completed_at"].endswith("Z")
    found = rich.get(f"jobs/{job['id']}/result").json
    assert (found["job_id"], found["expires_in"]) == (job["id"], 3600)
    assert client.get(found["download_url"]).data == b'{"choices":[1]}'
    with hub.database.unit_of_work() as session:
        owner = session.get_one(Node, uuid.UUID(node.id)).account_id
    with hub.database.read_only() as session:
        rows = session.connection().exec_driver_sql(
            "SELECT balance_minor FROM ledger_accounts WHERE owner_id = %s AND asset = 'USDC'", (owner,)
        ).scalars().all()
    assert rows == [350_000]


def test_a_scene_is_rendered_as_one_frame(rich: User, client: FlaskClient) -> None:
    node = EdgeNode(client, "render")
    made = dispatch(rich, "render", upload(rich, TRIANGLE, "part.stl"))
    assert rich.get("credits/balance").json["balance"] == "990.0000"
    attempt, told = node.claim()
    assert (attempt["kind"], attempt["frame"], told["kind"], told["limits"]["max_seconds"]) == ("frame", 1, "render", 900)
    assert told["inputs"][0]["name"] == "part.stl" and client.get(told["inputs"][0]["url"]).data == TRIANGLE
    assert node.finish(attempt, b"no picture")["error"]["code"] == "RESULT_UNREADABLE"
    assert job_of(rich, made)["status"] == "QUEUED" and job_of(rich, made)["retry_count"] == 1


def test_what_is_no_scene_is_422_and_costs_nothing(rich: User, client: FlaskClient) -> None:
    EdgeNode(client, "render")
    answer = dispatch(rich, "render", upload(rich, b"hello", "scene.blend"))
    assert answer.status_code == 422 and set(answer.json) == {"detail"}
    assert rich.get("credits/balance").json["balance"] == "1000.0000" and rich.get("jobs").json["count"] == 0


def test_a_foreign_bucket_goes_to_the_node_unsigned(rich: User, client: FlaskClient) -> None:
    node = EdgeNode(client, "echo")
    dispatch(rich, "echo", "s3://their-bucket/a key/ü.bin")
    _, told = node.claim()
    assert told["payload"] == {"ref": "s3://their-bucket/a key/ü.bin", "url": None, "size_bytes": None, "sha256": None}


def test_anothers_upload_an_unsent_one_and_nonsense_are_refused(rich: User, client: FlaskClient, hub: Hub) -> None:
    EdgeNode(client, "compute")
    others = upload(User(client), b"secret")
    assert dispatch(rich, "echo", others).status_code == 404
    unsent = rich.post("uploads", json={"filename": "a", "size_bytes": 1, "content_type": "a/b"}).json["payload_ref"]
    answer = dispatch(rich, "echo", unsent)
    assert answer.status_code == 422 and "upload_url" in answer.json["detail"]
    for ref in ("upload:x", "file:///etc/passwd", "http://10.0.0.1/", "s3://", "s3://b", "x", "s3:///k", "s3://b/\n"):
        assert dispatch(rich, "echo", ref).status_code == 422, ref
    assert rich.get("credits/balance").json["balance"] == "1000.0000"


@pytest.mark.parametrize("data", [b"other", b"longer bytes"])
def test_bytes_that_were_not_announced_are_refused_where_the_store_took_them(
    rich: User, client: FlaskClient, hub: Hub, data: bytes
) -> None:
    """As an S3 server does that knows no checksums."""
    EdgeNode(client, "compute")
    body = {"filename": "a", "size_bytes": 5, "content_type": "a/b", "sha256": hashlib.sha256(b"right").hexdigest()}
    order = rich.post("uploads", json=body).json
    key = f"uploads/{rich.id}/{order['upload_id']}"
    hub.store.put(key, io.BytesIO(data), 100)
    answer = dispatch(rich, "cpu_benchmark", order["payload_ref"])
    assert answer.status_code == 422 and "announced" in answer.json["detail"]
    assert rich.get("credits/balance").json["balance"] == "1000.0000"
    hub.store.put(key, io.BytesIO(b"right"), 100)
    assert dispatch(rich, "cpu_benchmark", order["payload_ref"]).status_code == 200


@pytest.mark.parametrize(
    "body",
    [{}, {"job_type": "echo"}, {"payload_ref": "s3://b/k"}, {"job_type": "", "payload_ref": "s3://b/k"},
     {"job_type": "x" * 101, "payload_ref": "s3://b/k"}, {"job_type": "echo", "payload_ref": ""},
     {"job_type": "echo", "payload_ref": "s3://b/" + "k" * 494}, {"job_type": 1, "payload_ref": "s3://b/k"},
     {"job_type": "echo", "payload_ref": None}],
)
def test_bad_bodies_are_422(rich: User, client: FlaskClient, body: dict[str, Any]) -> None:
    EdgeNode(client, "compute")
    answer = rich.post("jobs/dispatch", json=body)
    assert answer.status_code == 422 and set(answer.json) == {"detail"}


def test_the_longest_fields_are_taken(rich: User, client: FlaskClient) -> None:
    EdgeNode(client, "x" * 100)
    assert dispatch(rich, "x" * 100, "s3://b/" + "k" * 493).status_code == 200


def test_no_healthy_node_is_400_and_short_credits_402(user: User, client: FlaskClient, hub: Hub) -> None:
    answer = dispatch(user, "render")
    assert answer.status_code == 400 and answer.json["detail"].startswith("No healthy nodes with matching capability")
    EdgeNode(client, "render")
    answer = dispatch(user, "render")
    assert answer.status_code == 402
    assert (answer.json["available"], answer.json["requested"]) == ("0.0000", "10.0000")
    assert set(answer.json) == {"detail", "available", "requested"}
    assert dispatch(user, "cpu_benchmark").status_code == 400
    EdgeNode(client, "compute")
    assert dispatch(user, "echo").status_code == 200, "an echo is free"


PRICES = [("render", 10), ("inference", 5), ("cpu_benchmark", 1), ("echo", 0), ("other", 1), ("x", 1)]


@pytest.mark.parametrize(("kind", "price"), PRICES)
def test_prices(rich: User, client: FlaskClient, kind: str, price: int) -> None:
    EdgeNode(client, kind)
    assert dispatch(rich, kind).status_code == 200
    assert rich.get("credits/balance").json["balance"] == f"{1000 - price}.0000"


def test_an_idempotency_key_dispatches_once(rich: User, client: FlaskClient) -> None:
    EdgeNode(client, "render")
    first, again = (dispatch(rich, "render", **{"Idempotency-Key": "k"}) for _ in range(2))
    assert first.status_code == 200 and again.json == first.json
    assert dispatch(rich, "render", "s3://other/key", **{"Idempotency-Key": "k"}).status_code == 409
    assert rich.get("jobs").json["count"] == 1 and rich.get("credits/balance").json["balance"] == "990.0000"


@pytest.mark.parametrize("is_killed", [True, False], ids=["killed", "answer not kept"])
def test_an_order_whose_answer_was_lost_after_its_commit_is_not_made_twice(
    rich: User, client: FlaskClient, hub: Hub, monkeypatch: pytest.MonkeyPatch, is_killed: bool
) -> None:
    """Between the order's commit and its answer the process dies, or the database goes away; the client asks again."""
    EdgeNode(client, "render")
    key = {"Idempotency-Key": "k"}

    def lost(*_: object) -> None:
        raise Unavailable("gone")

    with monkeypatch.context() as patch:
        patch.setattr(idempotency, "keep", lost)
        if is_killed:
            patch.setattr(idempotency, "let_go", lost)
        assert dispatch(rich, "render", **key).status_code == 503
    if is_killed:
        assert dispatch(rich, "render", **key).status_code == 409  # its holder may be alive
        with hub.database.unit_of_work() as session:
            session.execute(update(IdempotencyKey).values(expires_at=clock.now() - timedelta(seconds=1)))
    with hub.database.unit_of_work() as session:
        assert idempotency.forget_expired(session) == 0
    again, once_more = (dispatch(rich, "render", **key) for _ in range(2))
    (job,) = rich.get("jobs").json["jobs"]
    assert (again.status_code, again.json["job_id"], once_more.json) == (200, job["id"], again.json)
    assert rich.get("credits/balance").json["balance"] == "990.0000"


def test_an_order_whose_answer_was_lost_is_found_again_while_no_node_is_there(
    rich: User, client: FlaskClient, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It stands, and was paid for: refusing it now would free its key for a second one."""
    node = EdgeNode(client, "render")
    key = {"Idempotency-Key": "k"}

    def lost(*_: object) -> None:
        raise Unavailable("gone")

    with monkeypatch.context() as patch:
        patch.setattr(idempotency, "keep", lost)
        assert dispatch(rich, "render", **key).status_code == 503
    with hub.database.unit_of_work() as session:
        session.execute(update(WorkUnit).values(offered_node_id=None, queued_at=clock.now()))  # the offer lapsed
        session.execute(update(Node).values(last_heartbeat_at=clock.now() - timedelta(hours=1)))
    again = dispatch(rich, "render", **key)
    (job,) = rich.get("jobs").json["jobs"]
    assert (again.status_code, again.json["job_id"], again.json["node_id"]) == (200, job["id"], node.id)
    assert dispatch(rich, "render", **key).json == again.json
    assert rich.get("credits/balance").json["balance"] == "990.0000"


def test_an_order_that_was_followed_while_its_scene_was_looked_at_is_made_once(
    rich: User, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its holder was slow, not dead: whoever followed it after HOLD_SECONDS was done first."""
    EdgeNode(client, "render")
    look, made = dispatching._look, []

    def look_slowly(*arguments: Any) -> Any:
        if not made:
            made.append(None)
            with rich.client.application.extensions["lightyard"].database.unit_of_work() as session:
                session.execute(update(IdempotencyKey).values(expires_at=clock.now() - timedelta(seconds=1)))
            made.append(dispatch(rich, "render", **{"Idempotency-Key": "k"}))
        return look(*arguments)

    monkeypatch.setattr(dispatching, "_look", look_slowly)
    slow = dispatch(rich, "render", **{"Idempotency-Key": "k"})
    assert (slow.status_code, made[1].status_code, slow.json) == (200, 200, made[1].json)
    assert rich.get("jobs").json["count"] == 1 and rich.get("credits/balance").json["balance"] == "990.0000"


def test_a_key_is_free_after_a_refusal(rich: User, client: FlaskClient) -> None:
    key = {"Idempotency-Key": "k"}
    assert dispatch(rich, "render", **key).status_code == 400  # no node yet
    EdgeNode(client, "render")
    assert dispatch(rich, "render", "s3://other/key", **key).status_code == 200  # for another request, too


def test_cancel_gives_the_credits_back(rich: User, client: FlaskClient) -> None:
    node = EdgeNode(client, "render")
    made = dispatch(rich, "render")
    answer = rich.post(f"jobs/{made.json['job_id']}/cancel")
    assert answer.status_code == 200 and set(answer.json) == JOB_FIELDS
    assert (answer.json["status"], answer.json["error_message"]) == ("FAILED", "Cancelled by user")
    assert rich.get("credits/balance").json["balance"] == "1000.0000"
    assert rich.post(f"jobs/{made.json['job_id']}/cancel").status_code == 400
    assert node.try_claim() is None


def test_what_runs_or_is_done_cannot_be_cancelled(rich: User, client: FlaskClient) -> None:
    node = EdgeNode(client, "echo")
    made = dispatch(rich, "echo")
    attempt, _ = node.claim()
    node.progress(attempt)
    for _ in range(2):
        answer = rich.post(f"jobs/{made.json['job_id']}/cancel")
        assert answer.status_code == 400 and set(answer.json) == {"detail"}
        if job_of(rich, made)["status"] == "RUNNING":
            assert node.finish(attempt, b"s3")["accepted"]
    assert job_of(rich, made)["status"] == "COMPLETED"


def test_jobs_are_their_owners_alone(rich: User, client: FlaskClient) -> None:
    EdgeNode(client, "echo")
    made = dispatch(rich, "echo").json["job_id"]
    stranger = User(client)
    assert stranger.get("jobs").json == {"jobs": [], "count": 0}
    for answer in (stranger.get(f"jobs/{made}"), stranger.get(f"jobs/{made}/result"), stranger.post(f"jobs/{made}/cancel"),
                   rich.get(f"jobs/{UNKNOWN}"), rich.post(f"jobs/{UNKNOWN}/cancel"), rich.get(f"jobs/{UNKNOWN}/result")):
        assert answer.status_code == 404 and answer.json == {"detail": "Job not found"}
    for bad in ("x", "1", "0" * 31):
        for answer in (rich.get(f"jobs/{bad}"), rich.get(f"jobs/{bad}/result"), rich.post(f"jobs/{bad}/cancel")):
            assert answer.status_code == 422 and set(answer.json) == {"detail"}


def test_lists_are_paged_and_filtered(rich: User, client: FlaskClient) -> None:
    node = EdgeNode(client, "echo")
    made = [dispatch(rich, "echo").json["job_id"] for _ in range(4)]
    attempt, _ = node.claim()
    node.finish(attempt, b"x")
    running, _ = node.claim()
    node.progress(running)
    rich.post(f"jobs/{made[3]}/cancel")

    def ids(**query: Any) -> list[str]:
        found = rich.get("jobs", query_string=query).json
        assert found["count"] == len(found["jobs"])
        assert all(set(job) == JOB_FIELDS for job in found["jobs"])
        return [job["id"] for job in found["jobs"]]

    assert ids() == made[::-1]
    assert ids(limit=2, offset=1) == made[::-1][1:3]
    assert ids(status="COMPLETED") == [attempt["job_id"]] and ids(status="RUNNING") == [running["job_id"]]
    assert ids(status="FAILED") == [made[3]] and ids(status="QUEUED") == []
    assert ids(status="DISPATCHED") == [job for job in made[:3] if job not in (attempt["job_id"], running["job_id"])]
    for query in ("status=DONE", "status=completed", "limit=0", "limit=101", "limit=x", "offset=-1", "offset=99999999999"):
        answer = rich.get(f"jobs?{query}")
        assert answer.status_code == 422 and set(answer.json) == {"detail"}, query
    assert len(ids(limit=100)) == 4


def test_a_render_paid_over_rayment_is_in_its_owners_list_and_changed_only_there(
    client: FlaskClient, hub: Hub, market: Market, payer: Payer, user: User
) -> None:
    payment = paid(market, payer)
    with hub.database.unit_of_work() as session:
        owner = session.get_one(Job, uuid.UUID(payment["jobId"])).account_id
        assert owner is not None
        key = accounts.create_key(session, owner, "test", ["jobs:read", "jobs:write"])
    head = {"Authorization": f"Bearer {key}"}
    found = client.get("/api/v1/jobs", headers=head).json["jobs"]
    assert [(job["id"], job["job_type"], job["status"]) for job in found] == [(payment["jobId"], "render", "QUEUED")]
    assert client.get(f"/api/v1/jobs/{payment['jobId']}", headers=head).status_code == 200
    answer = client.post(f"/api/v1/jobs/{payment['jobId']}/cancel", headers=head)
    assert answer.status_code == 409 and set(answer.json) == {"detail"}
    assert user.get(f"jobs/{payment['jobId']}").status_code == 404


def test_results_of_runs_are_bounded_and_json_where_they_say_so(rich: User, client: FlaskClient, hub: Hub) -> None:
    node = EdgeNode(client, "echo", "inference")
    made = dispatch(rich, "inference")
    attempt, told = node.claim()
    assert told["limits"]["max_output_bytes"] == 1000
    assert client.put(attempt["upload"]["url"], data=b"x" * 1001).status_code == 413
    assert node.finish(attempt, b"no json")["error"]["code"] == "RESULT_UNREADABLE"
    assert job_of(rich, made)["retry_count"] == 1
    rich.post(f"jobs/{made.json['job_id']}/cancel")
    bad = "RESULT_UNREADABLE"
    for data, kind, code in ((b"{", "application/json", bad), (b"[" * 999, "application/json; x", bad),
                             (b'{"a":NaN}', "APPLICATION/JSON", bad), (b"{", "text/plain", None)):
        dispatch(rich, "echo")
        attempt, _ = node.claim()
        answer = node.finish(attempt, data, content_type=kind)
        assert answer.get("error", {}).get("code") == code, data
        with hub.database.unit_of_work() as session:
            session.execute(update(Node).values(unhealthy_until=None, failures_in_a_row=0))


def test_a_wrong_hash_is_told_and_tried_again(rich: User, client: FlaskClient) -> None:
    node = EdgeNode(client, "echo")
    made = dispatch(rich, "echo")
    attempt, _ = node.claim()
    answer = node.finish(attempt, b"x", sha256="0" * 64)
    assert (answer["error"]["code"], answer["error"]["retryable"]) == ("RESULT_HASH_MISMATCH", True)
    assert node.finish(attempt, b"x")["accepted"] and job_of(rich, made)["status"] == "COMPLETED"


def test_dead_letters_are_an_operators_to_see_and_replay(rich: User, client: FlaskClient, hub: Hub) -> None:
    nodes = [EdgeNode(client, "inference") for _ in range(3)]
    made = dispatch(rich, "inference")
    for _ in range(3):
        hasten(hub)
        [(node, attempt)] = [(item, found) for item in nodes if (found := item.try_claim())]
        node.fail(attempt, "INFERENCE_AWAY")
    job = job_of(rich, made)
    assert (job["status"], job["error_message"], job["retry_count"]) == ("FAILED", "boom", 3)
    assert rich.get("credits/balance").json["balance"] == "1000.0000"
    assert rich.get("jobs/dead-letters").status_code == 403
    with hub.database.unit_of_work() as session:
        head = {"Authorization": f"Bearer {accounts.ensure_operator(session)}"}
    found = client.get("/api/v1/jobs/dead-letters", headers=head).json
    [letter] = found["dead_letters"]
    assert (found["count"], letter["job_id"], letter["reason_code"]) == (1, job["id"], "INFERENCE_AWAY")
    path = f"/api/v1/jobs/dead-letters/{letter['id']}/replay"
    with hub.database.unit_of_work() as session:
        session.execute(update(Job).values(price_minor=10_000_001))
    short = client.post(path, headers=head)
    assert short.status_code == 402 and short.json["available"] == "1000.0000"
    with hub.database.unit_of_work() as session:
        session.execute(update(Job).values(price_minor=50_000))
    answer = client.post(path, headers=head)
    assert answer.status_code == 200 and set(answer.json) == JOB_FIELDS and answer.json["status"] == "QUEUED"
    assert rich.get("credits/balance").json["balance"] == "995.0000"
    assert client.post(path, headers=head).status_code == 409
    assert client.post(f"/api/v1/jobs/dead-letters/{UNKNOWN}/replay", headers=head).status_code == 404
    assert client.post("/api/v1/jobs/dead-letters/x/replay", headers=head).status_code == 422
    assert client.get("/api/v1/jobs/dead-letters?replayed=false", headers=head).json["count"] == 0
    assert client.get("/api/v1/jobs/dead-letters?replayed=true", headers=head).json["count"] == 1
    attempt, _ = nodes[0].claim()
    assert nodes[0].finish(attempt, json.dumps({"choices": [{}]}).encode())["accepted"]
    assert job_of(rich, made)["status"] == "COMPLETED"


def test_a_dispatched_job_reads_in_rayments_words_to_its_owner(rich: User, client: FlaskClient) -> None:
    """The same row in every dialect: a state that the others know, and never a crash over what it lacks."""
    node = EdgeNode(client, "echo", "render")
    for kind in ("echo", "render"):
        made = dispatch(rich, kind).json["job_id"]
        assert client.get(f"/render/{made}").status_code == 404
        answer = client.get(f"/render/{made}", headers=rich.headers)
        assert answer.status_code == 200, answer.json
        assert (answer.json["data"]["id"], answer.json["data"]["status"]) == (made, "queued")
        assert client.get(f"/render/{made}/result", headers=rich.headers).status_code == 404
        pay = client.post("/render/pay", json={"jobId": made, "txSignature": "5" * 88}, headers=rich.headers)
        assert pay.status_code in (400, 409), pay.json
        if kind == "echo":
            assert node.finish(node.claim()[0], b"bytes")["accepted"]
            assert client.get(f"/render/{made}", headers=rich.headers).json["data"]["status"] == "completed"
            assert client.get(f"/render/{made}/result", headers=rich.headers).data == b"bytes"
