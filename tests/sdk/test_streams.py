"""A task's updates over a websocket that breaks in every way: each comes once, in order, none is missing."""

import asyncio
import base64
import hashlib
import queue
import random
import time
from collections.abc import Callable, Iterator

import pytest
from solders.keypair import Keypair
from solders.signature import Signature

from robocompute import AsyncRoboComputeClient, Document, RoboComputeClient, exceptions
from robocompute.retries import RetryPolicy
from robocompute.streams import updates
from robocompute.subscriptions import Subscription
from tests.sdk.conftest import API_KEY
from tests.sdk.sockets import Board, Talk, Visit, board

LAST = 6


@pytest.fixture
def hub() -> Iterator[Board]:
    with board() as found:
        yield found


@pytest.fixture
def client(hub: Board, wallet: Keypair) -> Iterator[RoboComputeClient]:
    with RoboComputeClient(API_KEY, keypair=wallet, base_url=hub.url) as found:
        found.transport.sleep = [].append
        yield found


def update(sequence: int) -> dict:
    status = "completed" if sequence == LAST else "running"
    return {"task_id": "t", "status": status, "progress": round(100 * sequence / LAST), "sequence": sequence}


def tell(sequences: Callable[[int], range], end: Callable[[Visit], None]) -> Talk:
    """A server that goes on from `after`, and then ends so."""

    def talk(visit: Visit) -> None:
        visit.tell(*map(update, sequences(visit.asked.get("after", 0))))
        end(visit)

    return talk


def some(visit_after: int) -> range:
    return range(visit_after + 1, min(visit_after + 3, LAST + 1))


def everything(visit_after: int) -> range:
    return range(visit_after + 1, LAST + 1)


def stay(visit: Visit) -> None:
    """The client goes first."""
    visit._socket.recv_events_thread.join(10)


BREAKS: list[Callable[[Visit], None]] = [
    lambda visit: visit.close(1000),
    lambda visit: visit.close(1001, "going away"),
    lambda visit: visit.close(1011, "trouble"),
    lambda visit: visit.close(4002, "silence"),
    lambda visit: visit.break_off(),
]


@pytest.mark.parametrize("end", BREAKS, ids=["done", "away", "trouble", "silence", "torn"])
def test_it_goes_on_where_it_broke(hub: Board, client: RoboComputeClient, end: Callable[[Visit], None]) -> None:
    hub.talks = [tell(some, end), 503, 502, tell(some, end), tell(everything, stay)]
    found = list(client.tasks.stream("t"))
    assert [item.sequence for item in found] == list(range(1, LAST + 1)) and found[-1].status == "completed"
    assert [visit.asked for visit in hub.visits] == [
        {"action": "subscribe", "task_id": "t"} | ({"after": after} if after else {}) for after in (0, 2, 4)
    ]
    assert hub.talks == []


def test_what_comes_twice_is_passed_on_once_and_what_is_missing_is_asked_for(hub: Board, client: RoboComputeClient) -> None:
    def stutter(visit: Visit) -> None:
        visit.tell(update(1), update(1), {"type": "pong"}, update(2), update(1), update(5))
        stay(visit)

    hub.talks = [stutter, tell(everything, stay)]
    assert [item.sequence for item in client.tasks.stream("t")] == [1, 2, 3, 4, 5, 6]
    assert hub.visits[1].asked["after"] == 2


def test_what_the_hub_kept_no_more_is_not_waited_for(hub: Board, client: RoboComputeClient) -> None:
    hub.talks = [tell(some, BREAKS[0]), tell(lambda after: range(5, LAST + 1), stay)]
    assert [item.sequence for item in client.tasks.stream("t")] == [1, 2, 5, 6]


def test_the_handshake_is_signed_each_time_anew(hub: Board, client: RoboComputeClient, wallet: Keypair) -> None:
    hub.talks = [tell(some, BREAKS[0]), tell(everything, stay)]
    list(client.tasks.stream("t"))
    for visit in hub.visits:
        head = visit.headers
        assert head["Authorization"] == f"Bearer {API_KEY}"
        text = f"GET\n/tasks/t/stream\n{head['X-Timestamp']}\n{head['X-Nonce']}\n{hashlib.sha256(b'').hexdigest()}"
        assert Signature(base64.b64decode(head["X-Wallet-Signature"])).verify(wallet.pubkey(), text.encode())
    assert len({visit.headers["X-Nonce"] for visit in hub.visits}) == 2


REFUSALS: list[tuple[Talk | int, type[exceptions.RoboComputeError]]] = [
    (404, exceptions.TaskNotFoundError),
    (401, exceptions.WalletSignatureError),
    (lambda visit: visit.close(4001, "bad_token"), exceptions.AuthenticationError),
    (lambda visit: visit.close(4003, "forbidden"), exceptions.PermissionDeniedError),
    (lambda visit: visit.close(4004, "no such task"), exceptions.TaskNotFoundError),
    (lambda visit: visit.tell({"error": {"code": "TASK_NOT_FOUND", "message": "no", "details": {"task_id": "t"}}}),
     exceptions.TaskNotFoundError),
]


@pytest.mark.parametrize(("talk", "kind"), REFUSALS)
def test_a_no_is_a_no(
    hub: Board, client: RoboComputeClient, talk: Talk | int, kind: type[exceptions.RoboComputeError]
) -> None:
    hub.talks = [talk]
    with pytest.raises(kind) as failed:
        list(client.tasks.stream("t"))
    assert hub.talks == [] and (not isinstance(failed.value, exceptions.TaskNotFoundError) or failed.value.task_id == "t")


def test_a_wrong_clock_is_set_right_and_a_full_minute_waited_for(hub: Board, client: RoboComputeClient) -> None:
    pauses: list[float] = []
    client.transport.sleep = pauses.append
    there = int(time.time()) + 4000
    hub.details, hub.extra = {"server_time": there}, {"Retry-After": "41"}
    hub.talks = [401, 429, tell(everything, stay)]
    assert len(list(client.tasks.stream("t"))) == LAST and pauses == [0, 41]
    assert abs(int(hub.visits[0].headers["X-Timestamp"]) - there) < 60
    hub.talks = [401, 401]
    with pytest.raises(exceptions.WalletSignatureError):
        list(client.tasks.stream("t"))


def test_what_is_no_json_is_an_error_of_ours(hub: Board, client: RoboComputeClient) -> None:
    hub.talks = [lambda visit: visit._socket.send("hello")]
    with pytest.raises(exceptions.ServerError, match="no JSON"):
        list(client.tasks.stream("t"))


def test_it_gives_up_only_when_nothing_comes(hub: Board, client: RoboComputeClient) -> None:
    policy = RetryPolicy(attempts=3)
    hub.talks = [503, tell(some, BREAKS[2]), 503, tell(some, BREAKS[2]), 503, 503]
    found = []
    with pytest.raises(exceptions.NetworkError, match="can't be kept open"):
        for item in updates(client.transport, Subscription("t", policy)):
            found.append(item.sequence)
    assert found == [1, 2, 3, 4], "each update that came starts the count anew"


def test_leaving_early_closes_the_socket(hub: Board, client: RoboComputeClient) -> None:
    closed: queue.Queue[int | None] = queue.Queue()

    def talk(visit: Visit) -> None:
        visit.tell(update(1))
        stay(visit)
        closed.put(visit._socket.close_code)

    hub.talks = [talk]
    for item in client.tasks.stream("t"):
        assert item.sequence == 1
        break
    assert closed.get(timeout=10) == 1000


def test_the_asynchronous_one_breaks_at_random_and_misses_nothing(hub: Board, wallet: Keypair) -> None:
    rounds = random.Random(7)
    for _ in range(6):
        hub.talks = [rounds.choice([503, tell(some, rounds.choice(BREAKS))]) for _ in range(4)] + [tell(everything, stay)]

        async def follow() -> list[Document]:
            async with AsyncRoboComputeClient(API_KEY, keypair=wallet, base_url=hub.url) as client:

                async def no_pause(seconds: float) -> None:
                    assert seconds >= 0

                client.transport.sleep = no_pause
                return [item async for item in client.tasks.stream("t")]

        assert [item.sequence for item in asyncio.run(follow())] == list(range(1, LAST + 1))
