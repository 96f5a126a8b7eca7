"""RenderTrust's relay over two real processes, with a node that knows only the seed's messages."""

import json
import os
import signal
import uuid
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from sqlalchemy import text
from websockets.exceptions import ConnectionClosed

from app.config import Settings
from app.db import Database, make_engine
from tests.api.conftest import Market
from tests.factories.stacks import wait_until
from tests.relay.conftest import Api, Parts, running_api
from tests.relay.relay_nodes import OURS, UNKNOWN, RelayNode, RelaySocket, bought

FENCE = "SELECT relay_epoch FROM nodes WHERE id = %s"
LEASE = "SELECT lease_until FROM work_units WHERE job_id = %s AND kind = 'frame'"
LONG_AGO = "UPDATE nodes SET last_heartbeat_at = now() - interval '1 hour' WHERE id = :id"
IS_FRESH = "SELECT last_heartbeat_at > now() - interval '1 minute' FROM nodes WHERE id = :id"
SERVING = "-c python:app.serving --access-logfile -"


def ask(environment: dict[str, str], query: str, *values: Any) -> Any:
    with psycopg.connect(environment["DATABASE_URL"]) as connection:
        row = connection.execute(query, values).fetchone()
    return row[0] if row else None


def run(environment: dict[str, str], statement: str, *values: Any) -> None:
    with psycopg.connect(environment["DATABASE_URL"]) as connection:
        connection.execute(statement, values)


def frame_state(environment: dict[str, str], job_id: str) -> str:
    return str(ask(environment, "SELECT state FROM work_units WHERE job_id = %s AND kind = 'frame'", uuid.UUID(job_id)))


def status(dispatch: dict[str, Any], word: str, **facts: Any) -> dict[str, Any]:
    return {"type": "job_status", "job_id": dispatch["job_id"], "status": word, **facts}


def test_a_seed_only_node_is_handed_a_frame_and_paid_for_it(apis, market: Market, payer) -> None:
    node = RelayNode(market)
    with node.connect(apis[1]) as socket:
        payment = bought(market, payer)
        dispatch = socket.hear("job_dispatch")
        assert (dispatch["job_id"], dispatch["job_type"]) == (payment["jobId"], "render")
        assert {"attempt", "payload_url", "upload_url", "result_ref", "payload_ref", "settings"} <= dispatch.keys()
        assert httpx.get(dispatch["payload_url"]).status_code == 200
        socket.send(status(dispatch, "running", progress=0.45))
        answer = socket.finish(dispatch)
        assert (answer["type"], answer["status"], answer["accepted"]) == ("job_ack", "completed", True)
        assert market.job(payment)["status"] == "completed"
        again = socket.ask(socket.result(dispatch))
        assert (again["type"], again["status"]) == ("job_ack", "completed")


def test_a_node_that_comes_finds_what_waits_and_goes_on_with_the_next(apis, market: Market, payer) -> None:
    first, second = bought(market, payer), bought(market, payer)
    with RelayNode(market).connect(apis[0]) as socket:
        dispatch = socket.hear("job_dispatch")
        assert dispatch["job_id"] == first["jobId"]
        assert socket.finish(dispatch)["status"] == "completed"
        assert socket.hear("job_dispatch")["job_id"] == second["jobId"]


def test_progress_renews_the_lease_and_words_of_the_reference_are_understood(apis, market: Market, payer, environment) -> None:
    payment = bought(market, payer)
    with RelayNode(market).connect(apis[0]) as socket:
        dispatch = socket.hear("job_dispatch")
        leases: list[datetime] = [ask(environment, LEASE, uuid.UUID(payment["jobId"]))]
        messages = [
            status(dispatch, "running", progress=0.45), {**status(dispatch, "running"), "type": "status_update"},
            {"type": "job_ack", "job_id": dispatch["job_id"]}, {"type": "job_assign", "job_id": dispatch["job_id"]},
        ]
        for number, message in enumerate(messages, 1):
            answer = socket.ask({**message, "request": number})
            assert (answer["type"], answer["status"], answer["request"]) == ("job_ack", "running", number)
            leases.append(ask(environment, LEASE, uuid.UUID(payment["jobId"])))
        assert leases == sorted(set(leases))


@pytest.mark.parametrize("message", ["job_status", "job_result"])
def test_a_reported_failure_goes_to_another_node(apis, market: Market, payer, message: str) -> None:
    with RelayNode(market, "one").connect(apis[0]) as one, RelayNode(market, "two").connect(apis[1]) as two:
        payment = bought(market, payer)
        first, other = (one, two) if _is_told(one, two) else (two, one)
        dispatch = first.hear("job_dispatch")
        answer = first.ask({**status(dispatch, "failed", error_message="no memory"), "type": message})
        assert (answer["type"], answer["status"]) == ("job_ack", "failed")
        again = other.hear("job_dispatch")
        assert again["attempt"] != dispatch["attempt"] and again["result_ref"] != dispatch["result_ref"]
        assert other.finish(again)["status"] == "completed"
        late = first.ask(first.result(dispatch))
        assert (late["type"], late["code"]) == ("error", "ATTEMPT_NOT_LIVE")
        assert market.job(payment)["status"] == "completed"


def _is_told(one: RelaySocket, two: RelaySocket) -> bool:
    """Whether the first of two nodes was the one that got the job; what it got is kept for it."""
    while True:
        for socket in (one, two):
            try:
                text = socket.socket.recv(timeout=0.1)
            except TimeoutError:
                continue
            socket.unread(text)
            return socket is one


def test_only_the_result_ref_of_the_live_attempt_counts(apis, market: Market, payer, environment) -> None:
    payment = bought(market, payer)
    with RelayNode(market).connect(apis[0]) as socket:
        dispatch = socket.hear("job_dispatch")
        for ref in (None, 7, "s3://bucket/elsewhere.png", dispatch["result_ref"] + "x", dispatch["result_ref"].upper()):
            answer = socket.ask(socket.result(dispatch, result_ref=ref))
            assert (answer["type"], answer["code"], answer["job_id"]) == ("error", "RESULT_REF_WRONG", dispatch["job_id"])
        missing = socket.ask(socket.result(dispatch))
        assert (missing["code"], missing["retryable"]) == ("RESULT_MISSING", True)
        socket.upload(dispatch)
        wrong = socket.ask(socket.result(dispatch, sha256="0" * 64, size_bytes=5))
        assert (wrong["code"], wrong["retryable"]) == ("RESULT_HASH_MISMATCH", True)
        assert socket.finish(dispatch)["status"] == "completed"
        assert frame_state(environment, payment["jobId"]) == "completed"


def test_a_picture_of_another_size_is_refused(apis, market: Market, payer) -> None:
    bought(market, payer)
    with RelayNode(market).connect(apis[0]) as socket:
        dispatch = socket.hear("job_dispatch")
        socket.upload(dispatch, (5, 5))
        answer = socket.ask(socket.result(dispatch))
        assert (answer["type"], answer["code"], answer["retryable"]) == ("error", "RESULT_WRONG_SIZE", False)


def test_others_jobs_and_lost_leases_are_told_apart_from_crashes(apis, market: Market, payer, environment) -> None:
    payment = bought(market, payer)
    with RelayNode(market, "one").connect(apis[0]) as one:
        dispatch = one.hear("job_dispatch")
        with RelayNode(market, "two").connect(apis[1]) as two:
            assert two.ask(two.result(dispatch))["code"] == "ATTEMPT_UNKNOWN"
            assert two.ask(status(dispatch, "running"))["code"] == "ATTEMPT_UNKNOWN"
            assert two.ask({**status(dispatch, "failed"), "job_id": UNKNOWN})["code"] == "ATTEMPT_UNKNOWN"
        run(environment, "UPDATE attempts SET state = 'lost'")
        run(environment, "UPDATE work_units SET state = 'cancelled' WHERE job_id = %s", uuid.UUID(payment["jobId"]))
        assert one.hear("error")["code"] == "ATTEMPT_NOT_LIVE"  # nobody asked: it is told to stop
        assert one.ask(status(dispatch, "running", progress=0.5))["code"] == "ATTEMPT_NOT_LIVE"
        assert one.ask(one.result(dispatch))["code"] == "ATTEMPT_NOT_LIVE"


def test_the_newest_connection_wins_over_processes_and_what_the_older_says_no_longer_counts(
    apis, market: Market, payer, environment
) -> None:
    here, there = apis
    payment = bought(market, payer)
    node = RelayNode(market)
    with node.connect(here) as old:
        dispatch = old.hear("job_dispatch")
        assert old.ask({**status(dispatch, "running"), "request": 1})["type"] == "job_ack"
        here.process.send_signal(signal.SIGSTOP)
        for child in _children(here):
            os.kill(child, signal.SIGSTOP)
        old.upload_to(there, dispatch)
        old.send(old.result(dispatch))  # waits in the stopped process's socket
        with node.connect(there) as new:
            assert new.ask({"type": "heartbeat_ping"})["type"] == "heartbeat_pong"
            for child in _children(here):
                os.kill(child, signal.SIGCONT)
            here.process.send_signal(signal.SIGCONT)
            assert old.closed() == (4003, "a newer connection of this node is open")
            assert frame_state(environment, payment["jobId"]) == "rendering"
            assert ask(environment, FENCE, uuid.UUID(node.id)) == 2
            # its attempt was acknowledged, so the new connection may go on with it
            assert new.ask(new.result(dispatch))["status"] == "completed"


def _children(api: Api) -> list[int]:
    return [int(pid) for pid in Path(f"/proc/{api.process.pid}/task/{api.process.pid}/children").read_text().split()]


def test_the_newest_connection_wins_within_one_process(apis, market: Market) -> None:
    node = RelayNode(market)
    with node.connect(apis[0]) as old, node.connect(apis[0]) as new:
        assert old.closed()[0] == 4003
        assert new.ask({"type": "heartbeat_ping"})["type"] == "heartbeat_pong"


def test_what_was_never_acknowledged_goes_back_at_once_and_the_rest_waits_for_its_lease(
    apis, market: Market, payer, environment
) -> None:
    payment = bought(market, payer)
    job_id = payment["jobId"]
    with RelayNode(market, "one").connect(apis[0]) as socket:
        socket.hear("job_dispatch")
    wait_until(lambda: frame_state(environment, job_id) == "queued", "the unit is back long before its lease ends", 20)
    node = RelayNode(market, "two")
    with node.connect(apis[0]) as socket:
        dispatch = socket.hear("job_dispatch")
        socket.ask({**status(dispatch, "running"), "request": 1})
    wait_until(
        lambda: ask(environment, "SELECT relay_seen_at IS NULL FROM nodes WHERE id = %s", uuid.UUID(node.id)), "it has left", 20
    )
    assert frame_state(environment, job_id) == "rendering"
    with node.connect(apis[1]) as socket:
        assert socket.finish(dispatch)["status"] == "completed"


def test_after_the_hub_is_killed_the_node_goes_on_where_it_was(apis, market: Market, payer) -> None:
    payment = bought(market, payer)
    node = RelayNode(market)
    with node.connect(apis[1]) as socket:
        dispatch = socket.hear("job_dispatch")
        socket.ask({**status(dispatch, "running", progress=0.1), "request": 1})
        for child in _children(apis[1]):
            os.kill(child, signal.SIGKILL)
        assert socket.closed()[0] == 1006
    with node.connect(apis[0]) as socket:
        assert socket.ask({**status(dispatch, "running", progress=0.5), "request": 2})["type"] == "job_ack"
        assert socket.finish(dispatch)["status"] == "completed"
    assert market.job(payment)["status"] == "completed"


def test_an_unproven_node_may_say_how_it_is_and_gets_no_work_until_it_proves_its_key(apis, market: Market, payer) -> None:
    node = RelayNode(market, is_proven=False)
    with node.connect(apis[0]) as socket:
        bought(market, payer)
        found = socket.ask({"type": "heartbeat_ping", "current_load": 0.2, "metadata": {"gpu_temp": 70}})
        assert (found["type"], found["acknowledged"], found["may_work"]) == ("heartbeat_pong", True, False)
        wrong = socket.ask({"type": "heartbeat_ping", "challenge_signature": "AAAA"})
        assert (wrong["type"], wrong["code"]) == ("error", "PROOF_INVALID")
        socket.send({"type": "heartbeat_ping", "challenge_signature": node.proof()})
        assert socket.hear("heartbeat_pong")["may_work"] is True
        assert socket.hear("job_dispatch")["job_type"] == "render"


def test_who_only_knows_a_nodes_key_does_not_close_its_socket(apis, market: Market, payer) -> None:
    node = RelayNode(market)
    with node.connect(apis[0]) as socket:
        own, node.body["capabilities"] = node.token, ["nothing"]
        node.register(is_proven=False)
        with node.connect(apis[1], subprotocols=[OURS]) as thief:
            assert thief.closed()[0] == 4004
        with node.connect(apis[1]) as thief:
            for message in ({"type": "heartbeat_ping"}, {"type": "heartbeat_ping", "challenge_signature": "AAAA"}, "{"):
                thief.send(message)
            codes = [thief.hear("error")["code"] for _ in range(3)]
            assert codes == ["NODE_UNPROVEN", "PROOF_INVALID", "INVALID_JSON"]
            assert thief.closed()[0] == 4004
        assert socket.ask({"type": "heartbeat_ping"})["may_work"] is True
        with node.connect(apis[1], token=own) as newer:
            assert socket.closed()[0] == 4003, "its own newer socket does"
            bought(market, payer)
            assert newer.hear("job_dispatch")["job_type"] == "render"


def test_a_node_that_registers_again_proves_its_new_token_over_the_socket(apis, market: Market, payer) -> None:
    node = RelayNode(market, capabilities=("nothing",))
    with node.connect(apis[0]) as old:
        node.body["capabilities"] = ["render"]
        node.register(is_proven=False)
        with node.connect(apis[1]) as new:
            assert new.ask({"type": "ready"})["code"] == "NODE_UNPROVEN"
            assert old.ask({"type": "heartbeat_ping"})["may_work"] is True, "nothing has changed for it"
            new.send({"type": "heartbeat_ping", "challenge_signature": node.proof(), "request": 7})
            new.send({"type": "heartbeat_ping", "request": 8})
            pongs = [new.hear("heartbeat_pong") for _ in range(2)]
            assert [(pong["request"], pong["may_work"]) for pong in pongs] == [(7, True), (8, True)]
            assert old.closed()[0] == 4003
            bought(market, payer)
            assert new.finish(new.hear("job_dispatch"))["status"] == "completed"


def test_a_proof_over_the_socket_brings_what_was_told_with_the_token(apis, market: Market, payer) -> None:
    node = RelayNode(market, is_proven=False, capabilities=("nothing",))
    node.body["capabilities"] = ["render"]
    node.register(is_proven=False)
    with node.connect(apis[0]) as socket:
        assert socket.ask({"type": "heartbeat_ping", "challenge_signature": node.proof()})["may_work"] is True
        bought(market, payer)
        assert socket.hear("job_dispatch")["job_type"] == "render"


def test_our_own_nodes_say_what_they_hold_and_how_much_they_take(apis, market: Market, payer, environment) -> None:
    payments = [bought(market, payer) for _ in range(3)]
    node = RelayNode(market)
    with node.connect(apis[0], subprotocols=[OURS]) as socket:
        ready = socket.ask({"type": "ready", "slots": 2, "attempts": [UNKNOWN], "request": 0})
        assert (ready["type"], ready["dead_attempts"], ready["handed"]) == ("ready_ack", [UNKNOWN], 0)
        handed = [_frame(socket) for _ in range(2)]
        assert {item["job_id"] for item in handed} == {payment["jobId"] for payment in payments[:2]}
        assert all(item["work"]["attempt"]["attempt_id"] == item["attempt"] for item in handed)
        for item in handed:
            socket.ask({"type": "job_ack", "job_id": item["job_id"], "attempt": item["attempt"], "request": 1})
        socket.send({"type": "ready", "slots": 2, "more": 5, "request": 2})
        third = _frame(socket)
        assert third["job_id"] == payments[2]["jobId"]
        assert socket.hear("ready_ack")["handed"] == 1
        run(environment, "UPDATE attempts SET state = 'cancelled' WHERE id = %s", uuid.UUID(handed[1]["attempt"]))
        assert socket.hear("dead_attempts")["attempts"] == [handed[1]["attempt"]]
    with node.connect(apis[1], subprotocols=[OURS]) as socket:  # as after a restart: it knows of the first alone
        ready = socket.ask({"type": "ready", "slots": 0, "attempts": [handed[0]["attempt"]], "request": 0})
        assert ready["dead_attempts"] == []
        assert frame_state(environment, payments[0]["jobId"]) == "rendering"
        assert frame_state(environment, payments[2]["jobId"]) == "queued"
        assert socket.ask({**status(handed[0], "released"), "request": 1})["status"] == "released"
        assert frame_state(environment, payments[0]["jobId"]) == "queued"


def _frame(socket: RelaySocket) -> dict[str, Any]:
    """The next frame; inspections on the way are answered."""
    while True:
        dispatch = socket.hear("job_dispatch")
        if dispatch["job_type"] != "inspection":
            return dispatch
        result = {"type": "job_result", "job_id": dispatch["job_id"], "attempt": dispatch["attempt"], "status": "completed"}
        socket.send({**result, "report": {"warnings": []}})
        assert socket.hear("job_ack")["status"] == "completed"


@pytest.fixture(scope="module")
def once(tmp_path_factory, postgres, template, valkey, solana_url) -> Iterator[tuple[Api, Market, Path]]:
    """One process, as it is served, with an access log, for the tests that only talk."""
    name, folder = f"test_{uuid.uuid4().hex}", tmp_path_factory.mktemp("api")
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
    url = postgres.database_url(name)
    environment = {
        "DATABASE_URL": url, "REDIS_URL": valkey.url, "SOLANA_RPC_URL": solana_url, "STORAGE_URL": f"file://{folder}/files",
        "LIGHTYARD_HOME": str(folder), "ALLOW_PRIVATE_ENDPOINTS": "on", "RATE_LIMITS": "off", "GUNICORN_CMD_ARGS": SERVING,
        "RELAY_PING_SECONDS": "1", "RELAY_SILENCE_SECONDS": "2",
    }
    database = Database(make_engine(Settings(database_url=url)))
    with running_api(environment, folder / "api.log") as api:
        yield api, Market(api, Parts(database), solana_url), folder / "api.log"  # type: ignore[arg-type]
    database.engine.dispose()


def test_bad_tokens_are_let_in_and_shown_out_with_4001(once) -> None:
    api, market, _ = once
    node, other = RelayNode(market), RelayNode(market)
    for token, node_id in [("x", None), (".", None), (other.token, None), (node.token, other.id), (node.token, "not-a-uuid"),
                           (node.token[:-4] + "AAAA", None), (node.token, UNKNOWN)]:
        with node.connect(api, token=token, node_id=node_id) as socket:
            assert socket.closed() == (4001, "Authentication failed")
    with RelaySocket.open(f"ws://127.0.0.1:{api.port}/api/v1/relay/ws/{node.id}", api) as socket:
        assert socket.closed()[0] == 4001


def test_the_token_may_come_in_the_header_and_is_in_no_log(once) -> None:
    api, market, log = once
    node = RelayNode(market)
    url = f"ws://127.0.0.1:{api.port}/api/v1/relay/ws/{node.id}"
    with RelaySocket.open(url, api, additional_headers={"Authorization": f"Bearer {node.token}"}) as socket:
        assert socket.ask({"type": "heartbeat_ping"})["node_id"] == node.id
    with node.connect(api) as socket:
        assert socket.ask({"type": "heartbeat_ping"})["node_id"] == node.id
    answer = api.get(f"/api/v1/relay/ws/{node.id}?token={node.token}")  # no websocket: this one is in the access log
    assert answer.status_code == 422 and "websocket" in answer.json["detail"]
    mark = uuid.uuid4().hex
    assert api.get(f"/{mark}").status_code == 404
    wait_until(lambda: mark in log.read_text(), "the access log is written")
    assert f"/api/v1/relay/ws/{node.id}?token=..." in log.read_text()
    assert node.token not in log.read_text() and node.token.rsplit(".", 1)[1] not in log.read_text()


@pytest.mark.parametrize(
    "garbage",
    ["", "{", "[]", "null", '"job_status"', "{}", '{"type":7}', '{"type":null}', '{"type":{}}', '{"type":"nothing"}',
     "[" * 5000, '{"a":' * 5000, "NaN", '{"type":"heartbeat_ping","current_load":NaN}',
     '{"type":"heartbeat_ping","current_load":1e999}', '{"type":"heartbeat_ping","current_load":"high"}',
     '{"type":"heartbeat_ping","machine":[]}', '{"type":"heartbeat_ping","attempts":"all"}',
     '{"type":"heartbeat_ping","attempts":[1]}', '{"type":"heartbeat_ping","draining":"yes"}',
     '{"type":"heartbeat_ping","metadata":{"a":"\\u0000"}}', '{"type":"heartbeat_ping","challenge_signature":[]}',
     '{"type":"heartbeat_ping","challenge_signature":"%%%"}', '{"type":"job_status"}', '{"type":"job_status","status":"running"}',
     '{"type":"job_status","job_id":7,"status":"running"}', '{"type":"job_status","job_id":"x","status":"running"}',
     '{"type":"job_status","job_id":null,"status":[]}', '{"type":"job_result","job_id":"x","status":"completed"}',
     f'{{"type":"job_status","job_id":"{UNKNOWN}","status":"running","progress":2}}',
     f'{{"type":"job_status","job_id":"{UNKNOWN}","status":"running","progress":true}}',
     f'{{"type":"job_status","job_id":"{UNKNOWN}","status":"completed"}}',
     f'{{"type":"job_status","job_id":"{UNKNOWN}","status":"resting"}}',
     f'{{"type":"job_result","job_id":"{UNKNOWN}","status":"completed","result_ref":{{}}}}',
     f'{{"type":"job_result","job_id":"{UNKNOWN}","attempt":[],"status":"completed"}}',
     '{"type":"ready","slots":1}', '{"type":"ready","slots":-1}', '{"type":"job_ack"}'],
)
def test_garbage_is_answered_with_an_error_and_the_socket_lives(once, garbage: str) -> None:
    api, market, _ = once
    with RelayNode(market).connect(api) as socket:
        answer = socket.ask(garbage)
        assert answer["type"] == "error" and answer["code"] and answer["detail"]
        assert socket.ask({"type": "heartbeat_ping"})["type"] == "heartbeat_pong"


@pytest.mark.parametrize(("name", "most_bytes"), [("metadata", 16_384), ("machine", 131_072)])
def test_what_a_node_says_of_itself_is_as_small_here_as_at_the_other_doors(once, name: str, most_bytes: int) -> None:
    api, market, _ = once
    node = RelayNode(market)
    with node.connect(api) as socket:
        fits = {"a": "x" * (most_bytes - len('{"a": ""}'))}
        assert socket.ask({"type": "heartbeat_ping", name: fits})["type"] == "heartbeat_pong"
        answer = socket.ask({"type": "heartbeat_ping", name: {"a": fits["a"] + "x"}})
        assert answer["type"] == "error" and f"{name} may have at most {most_bytes} bytes" in answer["detail"]
    if name == "machine":
        node.body["machine"] = {"a": fits["a"] + "x"}
        assert market.client.post("/node/v1/nodes", json=node.body).status_code == 400


@pytest.mark.parametrize(
    ("message", "code"), [(b"{}", 1003), ('{"type":"%s"}' % ("x" * (1 << 20)), 1009)], ids=["bytes", "large"]
)
def test_what_is_no_message_ends_the_socket(once, message, code: int) -> None:
    api, market, _ = once
    with RelayNode(market).connect(api) as socket:
        try:
            socket.send(message)
        except ConnectionClosed:
            pass  # it was shown out while it still spoke
        assert socket.closed()[0] == code


def test_who_goes_on_with_garbage_or_floods_is_shown_out(once) -> None:
    api, market, _ = once
    with RelayNode(market).connect(api) as socket:
        for _ in range(10):
            socket.send("{")
        assert socket.closed()[0] == 1008
    with RelayNode(market).connect(api) as socket:
        try:
            for _ in range(5000):
                socket.send({"type": "heartbeat_ping"})
        except ConnectionClosed:
            pass  # before all was said
        assert socket.closed() == (1008, "too many messages; send fewer a second")


def test_a_socket_that_answers_no_ping_is_closed_with_4002(once) -> None:
    api, market, _ = once
    node = RelayNode(market)
    with node.connect(api) as alive, node.silent(api) as silent, RelayNode(market).connect(api) as third:
        assert alive.closed()[0] == 4003
        assert silent.closed()[0] == 4002
        assert third.ask({"type": "heartbeat_ping"})["type"] == "heartbeat_pong"  # it lived all the while: it answers pings


def test_who_answers_pings_and_never_proves_its_token_is_closed_with_4004(once) -> None:
    api, market, _ = once
    node = RelayNode(market)
    own = node.token
    node.register(is_proven=False)
    with node.connect(api) as doubtful, node.connect(api, token=own) as known:
        assert doubtful.closed() == (4004, "prove this token: another one of this node is proven")
        assert known.ask({"type": "heartbeat_ping"})["type"] == "heartbeat_pong"


def test_pongs_keep_a_node_healthy(once) -> None:
    api, market, _ = once
    node = RelayNode(market)
    headers = {"Authorization": f"Bearer {node.token}"}
    with node.connect(api):
        with market.hub.database.unit_of_work() as session:
            session.execute(text(LONG_AGO), {"id": node.id})

        def is_seen() -> bool:
            with market.hub.database.unit_of_work() as session:
                return bool(session.scalar(text(IS_FRESH), {"id": node.id}))

        wait_until(is_seen, "a pong is noted as a sign of life", 20)
    assert api.post("/node/v1/heartbeat", json={}, headers=headers).json["status"] == "HEALTHY"


def test_the_figures_count_sockets_messages_and_closes(once) -> None:
    api, market, _ = once
    with RelayNode(market).connect(api) as socket:
        socket.ask({"type": "heartbeat_ping"})
        said = api.get("/metrics").data.decode()
        open_now = [line for line in said.splitlines() if line.startswith("active_websocket_connections")]
        assert open_now and float(open_now[0].rsplit(" ", 1)[1]) >= 1
        assert 'lightyard_relay_messages_total{direction="in",type="heartbeat_ping"}' in said
        socket.send(b"x")
        socket.closed()
        assert 'lightyard_relay_closes_total{code="1003",reason="not_text"}' in api.get("/metrics").data.decode()


def test_json_of_the_relay_is_text(once) -> None:
    """What goes out is JSON objects with a type, each in a frame of its own."""
    api, market, _ = once
    with RelayNode(market).connect(api) as socket:
        for message in ('{"type":"heartbeat_ping"}', "{"):
            socket.send(message)
            assert isinstance(json.loads(socket.socket.recv(timeout=30))["type"], str)
