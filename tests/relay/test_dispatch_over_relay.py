"""A job dispatched through RenderTrust's API reaches its node over the relay, whichever process holds the socket."""

import httpx

from tests.api.conftest import Market
from tests.api.rendertrust.conftest import User
from tests.relay.relay_nodes import RelayNode, RelaySocket


def put(dispatch: dict, data: bytes) -> None:
    assert httpx.put(dispatch["upload_url"], content=data).status_code == 201


def job_of(user: User, job_id: str) -> dict:
    answer = user.get(f"jobs/{job_id}")
    assert answer.status_code == 200, answer.json
    return answer.json


def dispatch(user: User, kind: str, payload_ref: str = "s3://somewhere/payload.json") -> dict:
    answer = user.post("jobs/dispatch", json={"job_type": kind, "payload_ref": payload_ref})
    assert answer.status_code == 200, answer.json
    return answer.json


def buyer(apis, market: Market) -> User:
    user = User(apis[0])
    user.fund(market.hub, "20")
    return user


def finish(socket: RelaySocket, told: dict, data: bytes) -> None:
    put(told, data)
    answer = socket.ask(socket.result(told))
    assert (answer["type"], answer["status"]) == ("job_ack", "completed"), answer


def test_a_dispatched_run_is_pushed_to_the_node_it_is_offered_to(apis, market: Market) -> None:
    user, node = buyer(apis, market), RelayNode(market, capabilities=("compute", "inference"))
    with node.connect(apis[1]) as socket:
        made = dispatch(user, "cpu_benchmark")
        assert made["node_id"] == node.id
        told = socket.hear("job_dispatch")
        assert (told["job_id"], told["job_type"], told["payload_ref"]) == (made["job_id"], "cpu_benchmark", "s3://somewhere/payload.json")
        assert told["payload_url"] is None  # a bucket of others: the hub signs nothing for it
        socket.ask({"type": "job_status", "job_id": told["job_id"], "status": "running", "progress": 0.5, "request": 1})
        assert job_of(user, made["job_id"])["status"] == "RUNNING"
        finish(socket, told, b'{"sha256_bytes_per_second": 1}')
        assert job_of(user, made["job_id"])["status"] == "COMPLETED"
        assert user.get("credits/balance").json["balance"] == "19.0000"


def test_bytes_that_are_no_result_are_refused_and_a_failure_is_tried_elsewhere(apis, market: Market) -> None:
    user = buyer(apis, market)
    with RelayNode(market, "one", capabilities=("compute",)).connect(apis[0]) as socket:
        made = dispatch(user, "cpu_benchmark")
        told = socket.hear("job_dispatch")
        put(told, b"no JSON")
        answer = socket.ask(socket.result(told))
        assert (answer["type"], answer["code"], answer["retryable"]) == ("error", "RESULT_UNREADABLE", False)
        assert job_of(user, made["job_id"])["status"] in ("QUEUED", "DISPATCHED")


def test_a_cancelled_job_is_told_to_its_node(apis, market: Market) -> None:
    user = buyer(apis, market)
    with RelayNode(market, capabilities=("compute",)).connect(apis[1]) as socket:
        made = dispatch(user, "echo")
        told = socket.hear("job_dispatch")
        assert user.post(f"jobs/{made['job_id']}/cancel").status_code == 200
        stopped = socket.hear("error")
        assert (stopped["code"], stopped["attempt"]) == ("ATTEMPT_NOT_LIVE", told["attempt"])
        late = socket.ask(socket.result(told))
        assert (late["type"], late["code"]) == ("error", "ATTEMPT_NOT_LIVE")


def test_an_unproven_node_on_the_relay_is_no_healthy_node(apis, market: Market) -> None:
    user = buyer(apis, market)
    with RelayNode(market, is_proven=False, capabilities=("compute",)).connect(apis[0]) as socket:
        assert socket.ask({"type": "heartbeat_ping"})["may_work"] is False
        answer = user.post("jobs/dispatch", json={"job_type": "echo", "payload_ref": "s3://somewhere/x"})
        assert (answer.status_code, answer.json["detail"][:16]) == (400, "No healthy nodes")
