"""/ws/metrics over two real processes, with real workers that a poller asks."""

import json
import socket as sockets
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
import redis
from flask import Flask
from prometheus_client.parser import text_string_to_metric_families
from websockets.exceptions import ConnectionClosed
from websockets.frames import Frame, Opcode
from websockets.sync.client import ClientConnection, connect

from app.config import Settings
from app.core import accounts, cocoon_workers, participants
from app.poller.cocoon import CocoonPoller
from app.relay.exchange import Exchange
from app.relay.lines import Goodbye, Limits
from app.relay.worker_metrics import Board, Watcher
from app.wiring import Hub, build
from devnet.payer import Payer
from tests.factories import cocoon_workers as fakes
from tests.factories.cocoon_workers import Farm
from tests.factories.stacks import wait_until
from tests.poller.conftest import Pool
from tests.relay.conftest import Api, running_api


@pytest.fixture(scope="module")
def farm() -> Iterator[Farm]:
    with fakes.farm() as made:
        yield made


@pytest.fixture
def hub(database_url: str, redis_url: str, tmp_path: Path) -> Iterator[Hub]:
    settings = Settings(
        database_url=database_url, redis_url=redis_url, lightyard_home=str(tmp_path), allow_private_endpoints=True,
        worker_timeout_seconds=1,
    )
    found = build(settings)
    yield found
    found.database.engine.dispose()


@pytest.fixture
def pool(hub: Hub, farm: Farm) -> Pool:
    return Pool(hub, farm)


def operator_key(hub: Hub) -> str:
    with hub.database.unit_of_work() as session:
        return accounts.ensure_operator(session)


def participant_key(hub: Hub, participant_id: int, *scopes: str) -> str:
    with hub.database.unit_of_work() as session:
        account_id = participants.get(session, participant_id).account_id
        return accounts.create_key(session, account_id, "test", list(scopes or ("workers:read",)))


@contextmanager
def watching(api: Api, token: str | None = None, **options: Any) -> Iterator[ClientConnection]:
    url = f"ws://127.0.0.1:{api.port}/ws/metrics" + (f"?token={token}" if token else "")
    with connect(url, **{"max_size": 2**24, **options}) as socket:
        yield socket


def message(socket: ClientConnection, kind: str = "metrics") -> dict[str, Any]:
    found = json.loads(socket.recv(timeout=30))
    assert found["type"] == kind, found
    return found  # type: ignore[no-any-return]


def ids(found: dict[str, Any]) -> list[int]:
    return [worker["worker_id"] for worker in found["workers"]]


def goodbye(socket: ClientConnection) -> tuple[int, str]:
    with pytest.raises(ConnectionClosed) as closed:
        while True:
            socket.recv(timeout=60)
    assert closed.value.rcvd is not None
    return closed.value.rcvd.code, closed.value.rcvd.reason


def test_a_poll_is_told_at_every_process_to_whom_it_concerns(apis: tuple[Api, Api], hub: Hub, pool: Pool, farm: Farm) -> None:
    here, there = apis
    others = Pool(hub, farm)
    (mine, fake), (foreign, _) = pool.add(), others.add()
    operator, own = operator_key(hub), participant_key(hub, pool.participant_id)
    with watching(here, operator) as first, watching(there, operator) as second, watching(there, own) as third:
        assert [ids(message(socket)) for socket in (first, second, third)] == [[mine, foreign], [mine, foreign], [mine]]
        pool.poll()
        fake.requests += 5
        for socket in (first, second):
            assert sorted(ids(message(socket))) == [mine, foreign]
        [told] = message(third)["workers"]
        assert (told["worker_id"], told["status"], told["inference_requests_total"]) == (mine, "healthy", 1200)
        assert (told["revenue_ton"], told["gpu_utilization"]) == (0.125, None)
        pool.poll()
        assert message(third)["workers"][0]["inference_requests_total"] == 1205


def test_a_subscription_narrows_what_is_told(apis: tuple[Api, Api], hub: Hub, pool: Pool, farm: Farm) -> None:
    others = Pool(hub, farm)
    (one, _), (two, _), (foreign, _) = pool.add(), pool.add(), others.add()
    with watching(apis[0], participant_key(hub, pool.participant_id)) as socket:
        assert ids(message(socket)) == [one, two]
        socket.send(json.dumps({"type": "subscribe", "worker_ids": [two, foreign, 999_999]}))
        assert message(socket, "subscribed") == {"type": "subscribed", "worker_ids": [two], "unknown": [foreign, 999_999]}
        assert ids(message(socket)) == [two]
        pool.poll()
        assert ids(message(socket)) == [two]
        socket.send('{"type":"subscribe"}')
        assert message(socket, "subscribed")["worker_ids"] is None
        assert ids(message(socket)) == [one, two]
        socket.send('{"type":"ping"}')
        message(socket, "pong")


def test_the_seeds_script_works_after_a_wallet_login(apis: tuple[Api, Api], hub: Hub, pool: Pool, payer: Payer) -> None:
    """A browser sends the cookie of the login and its page's Origin by itself: `new WebSocket('ws://…/ws/metrics')` is all."""
    api = apis[0]
    worker, _ = pool.add()
    asked = api.post("/rnp/v1/wallet/challenge", json={"chain": "solana", "address": payer.address})
    body = {"chain": "solana", "address": payer.address, "signature": payer.sign(asked.json["message"])}
    login = httpx.post(f"{api.url}/rnp/v1/wallet/login", json=body)
    assert login.status_code == 200, login.text
    cookie = {"Cookie": login.headers["set-cookie"].split(";")[0]}
    with watching(api, additional_headers=cookie, origin=api.url) as socket:  # nobody's wallet yet
        assert goodbye(socket)[0] == 4003
    with hub.database.unit_of_work() as session:
        account_id = accounts.ensure_identity(session, "solana", payer.address)
        accounts.grant_role(session, account_id, "operator")
    with watching(api, additional_headers=cookie, origin=api.url) as socket:
        assert ids(message(socket)) == [worker]
        pool.poll()
        assert message(socket)["workers"][0]["status"] == "healthy"
    for origin in ("https://evil.example", None):
        with watching(api, additional_headers=cookie, origin=origin) as socket:
            assert goodbye(socket)[0] == 4003
    with watching(apis[1], login.json()["access_token"], origin="https://evil.example") as socket:  # a token is no cookie
        assert ids(message(socket)) == [worker]


def test_who_is_nobody_is_shown_out_with_a_reason(apis: tuple[Api, Api], hub: Hub, pool: Pool) -> None:
    wrong = participant_key(hub, pool.participant_id, "payouts:read")
    with hub.database.unit_of_work() as session:
        stranger = accounts.create_key(session, accounts.ensure_identity(session, "solana", "x"), "k", ["workers:read"])
    for token, code in ((None, 4001), ("x", 4001), ("ly_wrong", 4001), ("a.b.c", 4001), (wrong, 4003), (stranger, 4003)):
        with watching(apis[0], token) as socket:
            found, reason = goodbye(socket)
            assert found == code and reason
    answer = apis[0].get("/ws/metrics")
    assert answer.status_code == 422 and set(answer.json) == {"detail"}


@pytest.mark.parametrize("garbage", ["", "{", "[]", "null", "{}", '{"type":"subscribe","worker_ids":"x"}',
                                     '{"type":"subscribe","worker_ids":[1.5]}', '{"type":"subscribe","worker_ids":[true]}',
                                     "[" * 5000, '{"type":"subscribe","worker_ids":[99999999999999]}'])
def test_garbage_is_refused_and_the_socket_lives(apis_once: tuple[Api, str], garbage: str) -> None:
    api, token = apis_once
    with watching(api, token) as socket:
        assert message(socket)["workers"] == []
        socket.send(garbage)
        assert message(socket, "error")["detail"]
        socket.send('{"type":"ping"}')
        message(socket, "pong")


def test_who_goes_on_with_garbage_is_shown_out(apis_once: tuple[Api, str]) -> None:
    api, token = apis_once
    with watching(api, token) as socket:
        for _ in range(11):
            socket.send("{")
        assert goodbye(socket)[0] == 1008


@pytest.fixture(scope="module")
def apis_once(tmp_path_factory, postgres, template, valkey, solana_url) -> Iterator[tuple[Api, str]]:
    """One process and an operator's key for the tests that only talk."""
    name, folder = f"test_{uuid.uuid4().hex}", tmp_path_factory.mktemp("api")
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
    environment = {
        "DATABASE_URL": postgres.database_url(name), "REDIS_URL": valkey.url, "SOLANA_RPC_URL": solana_url,
        "STORAGE_URL": f"file://{folder}/files", "LIGHTYARD_HOME": str(folder), "RATE_LIMITS": "off",
    }
    hub = build(Settings(database_url=environment["DATABASE_URL"], redis_url=valkey.url, lightyard_home=str(folder)))
    with running_api(environment, folder / "api.log") as api:
        yield api, operator_key(hub)
    hub.database.engine.dispose()


def test_a_slow_reader_is_dropped_with_a_reason(environment: dict[str, str], tmp_path: Path, hub: Hub, pool: Pool) -> None:
    """It reads nothing while far more is told than may wait; others are told all the while."""
    told = [{"participant_id": pool.participant_id, "worker_id": number, "text": "x" * 1000} for number in range(200)]
    cache, news = redis.Redis.from_url(hub.settings.redis_url), json.dumps(told)
    key = operator_key(hub)
    with running_api({**environment, "METRICS_WAITING_BYTES": "300000"}, tmp_path / "slow.log") as api:
        with sockets.socket() as raw, watching(api, key) as quick:
            raw.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, 4096)
            raw.connect(("127.0.0.1", api.port))
            with connect(f"ws://hub/ws/metrics?token={key}", sock=raw, max_queue=1, compression=None, close_timeout=1) as slow:
                message(slow)
                message(quick)
                for _ in range(60):
                    cache.publish("lightyard.workers", news)
                    assert len(message(quick)["workers"]) == 200
                assert goodbye(slow) == (1008, "messages are read too slowly; connect again")


def test_who_asks_for_all_again_and_reads_nothing_is_dropped_before_much_waits(hub: Hub, pool: Pool) -> None:
    with hub.database.unit_of_work() as session:
        row = {"participant_id": pool.participant_id, "worker_name": "w" * 200, "instance_number": 0, "host": "127.0.0.1"}
        for number in range(400):
            cocoon_workers.create(session, {**row, "stats_port": 20_000 + number})

    class Admitted:
        among = (pool.participant_id,)
        renew = None

    board = Board(Flask("test"), hub, Exchange(Limits(waiting_bytes=2**24, messages_per_second=1000)))
    watcher = Watcher(board, Admitted())  # type: ignore[arg-type]
    here, there = sockets.socketpair()
    try:
        line = board.exchange.attach(here, watcher)
        watcher.start(line)
        there.sendall(Frame(Opcode.TEXT, b'{"type":"subscribe"}').serialize(mask=True) * 20)
        wait_until(lambda: line.goodbye is not None, "a goodbye", 20)
        assert line.goodbye is not None and line.goodbye.word == "slow_reader" and len(line.outbox or b"") < 2**21
    finally:
        there.close()
        board.stop()


def test_a_key_that_is_revoked_ends_its_sockets(hub: Hub, pool: Pool, monkeypatch) -> None:
    ended: list[Goodbye] = []
    key = participant_key(hub, pool.participant_id)

    class Admitted:
        among = (pool.participant_id,)

        @staticmethod
        def renew(session: Any) -> Any:
            accounts.authenticate_key(session, key)
            return (pool.participant_id,)

    board = Board(Flask("test"), hub, None)  # type: ignore[arg-type]
    watcher = Watcher(board, Admitted())  # type: ignore[arg-type]
    monkeypatch.setattr(Watcher, "say_goodbye", lambda self, goodbye: ended.append(goodbye))
    board._watchers.add(watcher)
    watcher.renewed_at -= 61
    board._renew_due()
    assert ended == [] and watcher.renewed_at > 0
    with hub.database.unit_of_work() as session:
        (key_id,) = session.connection().exec_driver_sql("SELECT id FROM api_keys").scalars()
        accounts.revoke_key(session, key_id)
    watcher.renewed_at -= 61
    board._renew_due()
    assert [goodbye.code for goodbye in ended] == [4001]


def test_a_lost_subscription_is_made_again_and_all_is_shown(apis: tuple[Api, Api], hub: Hub, pool: Pool, valkey) -> None:
    worker, _ = pool.add()
    with watching(apis[0], operator_key(hub)) as socket:
        assert message(socket)["workers"][0]["status"] is None
        redis.Redis.from_url(valkey.url).execute_command("CLIENT", "KILL", "TYPE", "pubsub")
        assert ids(message(socket)) == [worker]
        pool.poll()
        assert message(socket)["workers"][0]["status"] == "healthy"


def test_every_process_serves_the_workers_families(apis: tuple[Api, Api], hub: Hub, pool: Pool) -> None:
    worker, _ = pool.add(worker_name="Worker-é")
    pool.poll()
    CocoonPoller(hub)._build_exposition()
    for api in apis:
        answer = httpx.get(f"{api.url}/metrics")
        assert answer.status_code == 200 and int(answer.headers["content-length"]) == len(answer.content)
        found = {family.name: family for family in text_string_to_metric_families(answer.text)}
        [sample] = found["cocoon_worker_status"].samples
        assert (sample.labels["worker_id"], sample.labels["worker_name"], sample.value) == (str(worker), "Worker-é", 1)
        assert "lightyard_worker_polls_overdue_seconds" in found
