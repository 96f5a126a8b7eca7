"""A task's stream over two real processes: every change and every line once and in order, however often the socket breaks."""

import base64
import json
import random
import socket as sockets
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any

import pytest
import redis
from flask import Flask
from solders.keypair import Keypair
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.frames import Frame, Opcode
from websockets.sync.client import ClientConnection, connect

from app.api.robocompute.streaming import Words
from app.config import load
from app.core import accounts, claims, jobs, outcomes
from app.models.jobs import WorkUnit
from app.models.nodes import Node
from app.relay.exchange import Exchange
from app.relay.lines import Limits
from app.relay.task_streams import Follower, Streams
from app.stack.postgres import Postgres
from app.stack.valkey import Valkey
from app.values import clock, task_states
from app.wiring import Hub, build
from tests.factories.databases import Databases
from tests.factories.followed_tasks import FollowedTask
from tests.factories.stacks import wait_until
from tests.factories.task_market import Compute
from tests.relay.conftest import Api, running_api

ENDS = ("completed", "failed", "cancelled", "timeout")


@pytest.fixture(scope="module")
def environment(postgres: Postgres, databases: Databases, valkey: Valkey, tmp_path_factory: Any) -> Iterator[dict[str, str]]:
    """One database and one pair of processes for all tests here: each has a task of its own."""
    name, home = databases.take(), str(tmp_path_factory.mktemp("hub"))
    variables = {"DATABASE_URL": postgres.database_url(name), "REDIS_URL": valkey.url, "LIGHTYARD_HOME": home}
    yield {**variables, "RATE_LIMITS": "off", "SOLANA_RPC_URL": "http://127.0.0.1:9"}
    databases.give_back(name)


@pytest.fixture(scope="module")
def hub(environment: dict[str, str]) -> Iterator[Hub]:
    found = build(load(environment))
    yield found
    found.task_news.stop()
    found.database.engine.dispose()


@pytest.fixture(scope="module")
def apis(environment: dict[str, str], tmp_path_factory: Any) -> Iterator[tuple[Api, Api]]:
    folder = tmp_path_factory.mktemp("logs")
    with running_api(environment, folder / "a.log") as first, running_api(environment, folder / "b.log") as second:
        yield first, second


class Owner:
    """Somebody with a task and a key."""

    def __init__(self, hub: Hub, *scopes: str) -> None:
        with hub.database.unit_of_work() as session:
            self.account_id = accounts.ensure_identity(session, "solana", uuid.uuid4().hex)
            self.key = accounts.create_key(session, self.account_id, "test", list(scopes or ("tasks:read",)))
        self.task = FollowedTask(hub.database, self.account_id)
        self.cache = hub.cache

    def announce(self) -> None:
        """As the outbox does after a commit; this process's rows are changed by hand."""
        self.cache.publish("lightyard.events", json.dumps({"type": "job:progress", "job_id": str(self.task.id)}))

    def progress(self, percent: int) -> None:
        self.task.set(state="rendering", progress=percent / 100)
        self.announce()

    def end(self, state: str = "completed", reason: str | None = None) -> None:
        self.task.end(state, reason)
        self.announce()


@pytest.fixture
def owner(hub: Hub) -> Owner:
    return Owner(hub)


@contextmanager
def stream(api: Api, owner: Owner, task_id: object = None, **options: Any) -> Iterator[ClientConnection]:
    url = f"ws://127.0.0.1:{api.port}/api/v1/tasks/{task_id or owner.task.id}/stream"
    head = {"additional_headers": {"Authorization": f"Bearer {owner.key}"}}
    with connect(url, **{**head, "max_size": 2**24, **options}) as socket:
        yield socket


def subscribe(socket: ClientConnection, owner: Owner, **more: Any) -> None:
    socket.send(json.dumps({"action": "subscribe", "task_id": str(owner.task.id), **more}))


def message(socket: ClientConnection, kind: str = "update") -> dict[str, Any]:
    found = json.loads(socket.recv(timeout=30))
    assert found["type"] == kind, found
    return found  # type: ignore[no-any-return]


def goodbye(socket: ClientConnection) -> tuple[int, str]:
    with pytest.raises(ConnectionClosed) as closed:
        while True:
            socket.recv(timeout=60)
    assert closed.value.rcvd is not None
    return closed.value.rcvd.code, closed.value.rcvd.reason


def test_each_change_is_told_at_every_process_until_the_end(apis: tuple[Api, Api], owner: Owner) -> None:
    with stream(apis[0], owner) as here, stream(apis[1], owner) as there:
        both = (here, there)
        assert [there.response.headers[f"X-RateLimit-{name}"] for name in ("Limit", "Remaining")] == ["100", "100"]
        assert int(there.response.headers["X-RateLimit-Reset"]) > time.time()
        seats = f"task-streams:{owner.account_id}"
        assert owner.cache.zcard(seats) == 2
        for socket in both:
            subscribe(socket, owner)
            now_is = message(socket)
            assert (now_is["task_id"], now_is["status"], now_is["progress"]) == (str(owner.task.id), "pending", 0)
        owner.task.attempt()
        owner.announce()
        assert [message(socket)["status"] for socket in both] == ["accepted", "accepted"]
        for percent in (10, 65):
            owner.progress(percent)
            told = [message(socket) for socket in both]
            assert [(one["status"], one["progress"]) for one in told] == [("running", percent)] * 2
        owner.end()
        for socket in both:
            last = message(socket)
            assert (last["status"], last["progress"]) == ("completed", 100)
            assert goodbye(socket) == (1000, "the task is over")
        wait_until(lambda: owner.cache.zcard(seats) == 0, "both seats are free again")


@pytest.mark.parametrize(("state", "reason", "word"), [
    ("failed", "EXECUTION_ERROR", "failed"), ("failed", "TIMEOUT", "timeout"), ("cancelled", "CANCELLED_BY_USER", "cancelled"),
])  # fmt: skip
def test_who_subscribes_to_what_is_over_is_told_how_it_ended(
    apis: tuple[Api, Api], owner: Owner, state: str, reason: str, word: str
) -> None:
    owner.task.end(state, reason)
    last = owner.task.changes()[-1].sequence
    for after in (None, last, last + 1000):
        with stream(apis[0], owner) as socket:
            subscribe(socket, owner, **({} if after is None else {"after": after}))
            told = message(socket)
            assert (told["status"], told["reason"]) == (word, reason)
            assert goodbye(socket)[0] == 1000


def test_a_socket_that_breaks_again_and_again_misses_nothing_and_hears_nothing_twice(apis: tuple[Api, Api], owner: Owner) -> None:
    """Changes and lines come all the while; the sockets are cut without a goodbye, at either process."""
    attempt = owner.task.attempt()
    updates: list[dict[str, Any]] = []
    lines: list[dict[str, Any]] = []

    def work() -> None:
        for number in range(1, 151):
            owner.task.write(attempt, f"line {number}", first=number)
            owner.progress(number % 100)
        owner.end()

    worker = threading.Thread(target=work)
    worker.start()
    chance, connections = random.Random(7), 0
    while not updates or updates[-1]["status"] not in ENDS:
        connections += 1
        patience = chance.randint(1, 12)
        with stream(apis[connections % 2], owner, close_timeout=0) as socket:
            after = updates[-1]["sequence"] if updates else 0
            subscribe(socket, owner, after=after, logs=True, logs_after=lines[-1]["sequence"] if lines else 0)
            for _ in range(patience):
                found = json.loads(socket.recv(timeout=30))
                if found["type"] == "logs":
                    lines += found["logs"]
                else:
                    updates.append(found)
                if updates and updates[-1]["status"] in ENDS:
                    break
            with suppress(OSError):  # the hub closed it, after the end
                socket.socket.shutdown(sockets.SHUT_RDWR)
    worker.join()
    assert connections > 5
    assert [update["sequence"] for update in updates] == list(range(1, len(updates) + 1))
    assert len(updates) == len(owner.task.changes())
    assert [line["message"] for line in lines] == [f"line {number}" for number in range(1, 151)]  # all, before the end was told
    assert not any("skipped" in told for told in updates)


def test_more_than_fits_one_page_is_told_whole(apis: tuple[Api, Api], owner: Owner) -> None:
    attempt = owner.task.attempt()
    text = "x" * 3000
    for first in range(1, 450, 90):
        owner.task.write(attempt, *[f"{number} {text}" for number in range(first, first + 90)], first=first)
    for number in range(1, 260):
        owner.task.set(state="rendering", progress=number / 1000)
    owner.task.end()
    with stream(apis[0], owner) as socket:
        subscribe(socket, owner, after=0, logs=True)
        lines: list[int] = []
        updates: list[int] = []
        while True:
            found = json.loads(socket.recv(timeout=30))
            if found["type"] == "logs":
                lines += [line["sequence"] for line in found["logs"]]
            else:
                updates.append(found["sequence"])
            if found.get("status") in ENDS:
                break
    assert lines == list(range(1, 451))
    assert updates == list(range(1, len(updates) + 1)) and len(updates) > 260


def test_nobody_follows_anothers_task(apis: tuple[Api, Api], owner: Owner, hub: Hub) -> None:
    stranger, unscoped = Owner(hub), Owner(hub, "tasks:write")
    own = f"?token={owner.key}"
    cases = [
        (owner, stranger.task.id, 404, "TASK_NOT_FOUND"),
        (owner, uuid.uuid4(), 404, "TASK_NOT_FOUND"),
        (owner, "task_123", 404, "TASK_NOT_FOUND"),
        (unscoped, unscoped.task.id, 403, "SCOPE_MISSING"),
    ]
    for who, task_id, status, code in cases:
        with pytest.raises(InvalidStatus) as refused, stream(apis[0], who, task_id):
            pass
        answer = refused.value.response
        assert (answer.status_code, json.loads(answer.body or b"")["error"]["code"]) == (status, code)
    url = f"ws://127.0.0.1:{apis[0].port}/api/v1/tasks/{owner.task.id}/stream"
    for token in ("", "?token=x", "?token=ly_wrong", "?token=a.b.c"):
        with pytest.raises(InvalidStatus) as refused, connect(url + token):
            pass
        assert refused.value.response.status_code == 401, token
    with connect(url + own) as socket:  # a browser can send nothing else
        subscribe(socket, owner)
        assert message(socket)["status"] == "pending"
    answer = apis[0].get(f"/api/v1/tasks/{owner.task.id}/stream")
    assert answer.status_code == 400 and set(answer.json) == {"error"}


@pytest.mark.parametrize("garbage", [
    "", "{", "[]", "null", "{}", '{"action":"unsubscribe"}', '{"action":"subscribe","after":"x"}',
    '{"action":"subscribe","after":-1}', '{"action":"subscribe","after":1.5}', '{"action":"subscribe","after":true}',
    '{"action":"subscribe","logs_after":1e400}', "[" * 5000, '{"action":"subscribe","task_id":"another"}',
])  # fmt: skip
def test_garbage_is_refused_and_the_socket_lives(hub: Hub, owner: Owner, garbage: str) -> None:
    with follower(hub, owner.task.id) as (_, there):
        say(there, garbage)
        assert hear(there)["error"]["code"] in ("INVALID_JSON", "INVALID_INPUT", "TASK_NOT_FOUND")
        say(there, '{"action":"ping"}')
        assert hear(there) == {"type": "pong"}
        for _ in range(11):
            say(there, "{")
        assert closing(there) == 1008


def test_a_socket_goes_on_and_never_back(hub: Hub, owner: Owner, monkeypatch: pytest.MonkeyPatch) -> None:
    attempt = owner.task.attempt()
    owner.task.write(attempt, "one", "two", first=1)
    with follower(hub, owner.task.id) as (_, there):

        def refused(asked: str) -> str:
            say(there, asked)
            return str(hear(there)["error"]["code"])

        say(there, '{"action":"subscribe","after":0,"logs":true,"logs_after":1000}')  # to come: counts as the last one
        assert [hear(there)["status"] for _ in range(2)] == ["pending", "accepted"]
        owner.task.write(attempt, "three", first=3)
        owner.announce()
        assert [line["sequence"] for line in hear(there)["logs"]] == [3]
        monkeypatch.setattr("app.relay.task_streams.RESUBSCRIBE_SECONDS", 10**9)
        assert refused('{"action":"subscribe","logs":true}') == "RATE_LIMIT_EXCEEDED"
        monkeypatch.setattr("app.relay.task_streams.RESUBSCRIBE_SECONDS", 0)
        assert refused('{"action":"subscribe","after":0}') == "INVALID_INPUT"
        assert refused('{"action":"subscribe","logs":true,"logs_after":2}') == "INVALID_INPUT"
        say(there, '{"action":"subscribe"}')  # without lines for a while
        assert hear(there)["status"] == "accepted"
        owner.task.write(attempt, "four", first=4)
        say(there, '{"action":"subscribe","after":2,"logs":true}')
        assert [line["sequence"] for line in hear(there)["logs"]] == [4], "and no line twice"


@contextmanager
def follower(hub: Hub, task_id: uuid.UUID, renew: Any = None, **limits: Any) -> Iterator[tuple[Follower, sockets.socket]]:
    """A follower in this process, and the other end of its socket."""

    class Admitted:
        job_id = task_id

    Admitted.renew = staticmethod(renew or (lambda session: None))  # type: ignore[attr-defined]
    streams = Streams(hub, Words())
    streams.exchange = Exchange(Limits(messages_per_second=1000, **limits))
    here, there = sockets.socketpair()
    there.settimeout(30)
    made = Follower(Flask("test"), streams, Admitted())  # type: ignore[arg-type]
    made.line = streams.exchange.attach(here, made)
    try:
        yield made, there
    finally:
        there.close()
        streams.exchange.stop()


def say(socket: sockets.socket, text: str) -> None:
    socket.sendall(Frame(Opcode.TEXT, text.encode()).serialize(mask=True))


def _exactly(socket: sockets.socket, count: int) -> bytes:
    found = b""
    while len(found) < count:
        part = socket.recv(count - len(found))
        assert part, "the other side is gone"
        found += part
    return found


def frame(socket: sockets.socket) -> tuple[int, bytes]:
    first, length = _exactly(socket, 2)
    if length == 126:
        length = int.from_bytes(_exactly(socket, 2), "big")
    elif length == 127:
        length = int.from_bytes(_exactly(socket, 8), "big")
    return first & 0x0F, _exactly(socket, length)


def hear(socket: sockets.socket) -> dict[str, Any]:
    kind, data = frame(socket)
    assert kind == Opcode.TEXT, data
    return json.loads(data)  # type: ignore[no-any-return]


def closing(socket: sockets.socket) -> int:
    while True:
        kind, data = frame(socket)
        if kind == Opcode.CLOSE:
            return int.from_bytes(data[:2], "big")


def test_a_slow_reader_gets_every_line_and_is_not_dropped_for_it(hub: Hub, owner: Owner) -> None:
    """Far more than may wait for it: what it has not read yet stays in the database."""
    attempt = owner.task.attempt()
    for first in range(1, 1000, 100):
        owner.task.write(attempt, *["y" * 3900] * 100, first=first)
    owner.task.end()
    with follower(hub, owner.task.id, waiting_bytes=200_000) as (made, there):
        say(there, '{"action":"subscribe","logs":true}')
        wait_until(lambda: bool(made.line and made.line.outbox), "more is there than the kernel takes")
        lines: list[int] = []
        while True:
            found = hear(there)
            if found["type"] == "update":
                break
            lines += [line["sequence"] for line in found["logs"]]
    assert found["status"] == "completed"
    assert lines == list(range(lines[0], 1001)) and len(lines) > 200


def test_a_key_that_is_revoked_ends_its_streams(hub: Hub, owner: Owner) -> None:
    def renew(session: Any) -> None:
        accounts.authenticate_key(session, owner.key)

    with follower(hub, owner.task.id, renew) as (made, there):
        say(there, '{"action":"subscribe"}')
        assert hear(there)["status"] == "pending"
        made._renewed_at -= 61
        owner.progress(10)
        assert hear(there)["progress"] == 10
        with hub.database.unit_of_work() as session:
            query = "SELECT id FROM api_keys WHERE account_id = %(account)s"
            (key_id,) = session.connection().exec_driver_sql(query, {"account": owner.account_id}).scalars()
            accounts.revoke_key(session, key_id)
        made._renewed_at -= 61
        made.notice()
        assert closing(there) == 4001


def test_what_nobody_told_is_found_by_looking_around(hub: Hub, owner: Owner, monkeypatch: pytest.MonkeyPatch) -> None:
    """The doorbell was lost between the commit and Valkey."""
    monkeypatch.setattr("app.adapters.task_news.LOOK_SECONDS", 0.2)
    with follower(hub, owner.task.id) as (_, there):
        say(there, '{"action":"subscribe"}')
        assert hear(there)["status"] == "pending"
        owner.task.set(state="assigned")
        assert hear(there)["status"] == "accepted"


def test_every_verb_that_changes_a_task_tells_at_once(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody looks around here: what a verb keeps to itself would never come."""
    monkeypatch.setattr("app.adapters.task_news.LOOK_SECONDS", 10**9)
    market = Compute(hub.database)
    provider, node = market.provider(), market.node()
    task_id = market.order()
    with follower(hub, task_id) as (_, there):
        say(there, '{"action":"subscribe"}')

        def told() -> tuple[str, int]:
            found = hear(there)
            return found["status"], found["progress"]

        def claimed() -> claims.Claim:
            """This task, and no other test's."""
            with hub.database.unit_of_work() as session:
                ask = {"capabilities": ["compute"], "limit": 1, "job_id": task_id}
                [found] = claims.claim(session, session.get_one(Node, node), ask, 60, 90, open_nodes=True)
            assert found.job.id == task_id
            return found

        assert told() == ("pending", 0)
        market.accept(provider, task_id)
        assert told() == ("accepted", 0)
        market.start(provider, task_id)
        assert told() == ("running", 0)
        market.report(provider, task_id, 0.29)
        assert told() == ("running", 29)
        market.fail(provider, task_id)
        assert told()[0] == "pending"
        for is_released in (True, False):
            claim = claimed()
            assert told() == ("accepted", 0)
            with hub.database.unit_of_work() as session:
                if is_released:
                    outcomes.release(session, claim.attempt_id, claim.fence)
                else:
                    session.get_one(WorkUnit, claim.unit_id).lease_until = clock.now() - timedelta(seconds=1)
                    session.flush()
                    outcomes.expire_leases(session, (3, 5))
            assert told()[0] == "pending"
        claim = claimed()
        assert told() == ("accepted", 0)
        with hub.database.unit_of_work() as session:
            jobs.renew(session, node, [(claim.attempt_id, claim.fence, 0.5)], 60, {claim.attempt_id: 1.0})
        assert told() == ("running", 50)
        assert market.complete(task_id, 1.0)
        assert told()[1] < 100 and told() == ("completed", 100) and closing(there) == 1000


def test_a_task_that_is_called_off_or_fails_for_good_tells_at_once(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.adapters.task_news.LOOK_SECONDS", 10**9)
    market = Compute(hub.database)
    called_off, timed_out = market.order(), market.order()
    for task_id, word in ((called_off, "cancelled"), (timed_out, "timeout")):
        with follower(hub, task_id) as (_, there):
            say(there, '{"action":"subscribe"}')
            assert hear(there)["status"] == "pending"
            if word == "cancelled":
                market.cancel(task_id)
            else:
                with hub.database.unit_of_work() as session:
                    outcomes.fail_job(session, task_id, task_states.TIMED_OUT, "too long")
            assert hear(there)["status"] == word and closing(there) == 1000


def test_a_wallets_key_signs_its_handshake(apis: tuple[Api, Api], hub: Hub) -> None:
    keypair = Keypair()
    with hub.database.unit_of_work() as session:
        account_id = accounts.ensure_identity(session, "solana", str(keypair.pubkey()))
        key = accounts.create_key(session, account_id, "test", ["tasks:read"], "rc_live_")
    task = FollowedTask(hub.database, account_id)
    now, path = str(int(time.time())), f"/tasks/{task.id}/stream"
    signature = base64.b64encode(bytes(keypair.sign_message(f"GET{path}{now}".encode()))).decode()
    url, head = f"ws://127.0.0.1:{apis[0].port}/api/v1{path}", {"Authorization": f"Bearer {key}", "X-Timestamp": now}
    with pytest.raises(InvalidStatus) as refused, connect(url, additional_headers=head):
        pass
    assert json.loads(refused.value.response.body or b"")["error"]["code"] == "WALLET_SIGNATURE_INVALID"
    with connect(url, additional_headers={**head, "X-Wallet-Signature": signature}) as socket:
        socket.send(json.dumps({"action": "subscribe", "task_id": str(task.id)}))
        assert message(socket)["status"] == "pending"


def test_a_lost_subscription_is_made_again(hub: Hub, owner: Owner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.adapters.task_news.LOOK_SECONDS", 10**9)
    with follower(hub, owner.task.id) as (_, there):
        say(there, '{"action":"subscribe"}')
        hear(there)
        owner.progress(10)
        assert hear(there)["progress"] == 10  # the subscription stands
        owner.task.set(progress=0.2)  # told to nobody
        redis.Redis.from_url(hub.settings.redis_url).execute_command("CLIENT", "KILL", "TYPE", "pubsub")
        assert hear(there)["progress"] == 20
        owner.progress(30)
        assert hear(there)["progress"] == 30


def test_who_leaves_is_forgotten(hub: Hub, owner: Owner) -> None:
    with follower(hub, owner.task.id) as (made, there):
        say(there, '{"action":"subscribe"}')
        hear(there)
        assert str(owner.task.id) in hub.task_news._followers
        there.close()
        wait_until(lambda: str(owner.task.id) not in hub.task_news._followers, "nobody follows")
        made.notice()  # a late hint
    assert made.line is None
