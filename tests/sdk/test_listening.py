"""A provider that was started: what is offered, who is called, what is said meanwhile."""

import asyncio
import logging
import threading
from collections.abc import Iterator

import pytest

from robocompute import AsyncRoboComputeProvider, Document, RoboComputeProvider
from robocompute.assignments import FORGOTTEN_SECONDS, Offers
from tests.factories.stacks import wait_until
from tests.sdk.conftest import API_KEY
from tests.sdk.scripted import Answer, Asked, Script, refusal

WAIT_SECONDS = 10


class Market(Script):
    """Offers what `offered` says, and counts."""

    def __init__(self, script: Script) -> None:
        self.offered: list[str] = []
        self.heard = threading.Event()
        self.looks, self.trouble = threading.Semaphore(0), False
        self.active: list[int] = []
        script.answer = self.answer  # type: ignore[method-assign]

    def answer(self, asked: Asked) -> Answer:
        if asked.path.endswith("/heartbeat"):
            self.active.append(asked.json["active_tasks"])
            self.heard.set()
            return Answer({"status": asked.json["status"]})
        assert asked.path == "/api/v1/providers/p/tasks/available"
        self.looks.release()
        return refusal("PROVIDER_UNAVAILABLE", 404) if self.trouble else Answer({"tasks": [{"task_id": n} for n in self.offered]})

    def wait_for_looks(self, count: int) -> None:
        for _ in range(count):
            assert self.looks.acquire(timeout=WAIT_SECONDS)


@pytest.fixture
def market(script: Script) -> Market:
    return Market(script)


@pytest.fixture
def provider(script: Script) -> Iterator[RoboComputeProvider]:
    with RoboComputeProvider(API_KEY, "p", base_url=script.url) as found:
        yield found


def test_each_task_is_handed_over_once(provider: RoboComputeProvider, market: Market) -> None:
    done: list[str] = []

    @provider.on_task_assigned
    def handle(task: Document) -> None:
        done.append(task.task_id)

    assert callable(handle), "as a decorator it leaves the function what it is"
    market.offered = ["a", "b"]
    provider.start(concurrency=2, poll_seconds=0.01, heartbeat_seconds=0.01)
    with pytest.raises(RuntimeError, match="started already"):
        provider.start()
    market.wait_for_looks(3)
    market.offered = ["b", "c"]
    market.looks = threading.Semaphore(0)
    market.wait_for_looks(3)
    assert market.heard.wait(WAIT_SECONDS)
    provider.stop()
    assert sorted(done) == ["a", "b", "c"]
    provider.stop()


def test_whoever_is_busy_takes_no_more_and_stays_alive(provider: RoboComputeProvider, market: Market) -> None:
    begun, go = threading.Semaphore(0), threading.Event()
    done: list[str] = []

    @provider.on_task_assigned
    def handle(task: Document) -> None:
        begun.release()
        assert go.wait(WAIT_SECONDS)
        done.append(task.task_id)

    market.offered = ["a", "b"]
    provider.start(concurrency=1, poll_seconds=0.01, heartbeat_seconds=0.01)
    assert begun.acquire(timeout=WAIT_SECONDS)
    while market.active[-1:] != [1]:  # one that was on its way when the handler began says none
        market.heard.clear()
        assert market.heard.wait(WAIT_SECONDS)
    assert not begun.acquire(blocking=False), "the second one waits for the first"
    market.offered = ["b"]
    go.set()
    assert begun.acquire(timeout=WAIT_SECONDS)
    provider.stop()
    assert done == ["a", "b"], "stop waits for what is under way"


def test_a_failing_handler_and_a_hub_in_trouble_are_outlived(
    provider: RoboComputeProvider, market: Market, caplog: pytest.LogCaptureFixture
) -> None:
    done = threading.Event()

    @provider.on_task_assigned
    def handle(task: Document) -> None:
        if task.task_id == "bad":
            raise ZeroDivisionError("oh")
        done.set()

    market.trouble = True
    with caplog.at_level(logging.WARNING, "robocompute"):
        provider.start(poll_seconds=0.01, heartbeat_seconds=None)
        market.wait_for_looks(2)
        market.trouble, market.offered = False, ["bad", "good"]
        assert done.wait(WAIT_SECONDS)
        provider.stop()
    said = [record.getMessage() for record in caplog.records]
    assert "the handler of task bad failed" in said and any(text.startswith("no offers could be read") for text in said)
    assert any(record.exc_info and "oh" in str(record.exc_info[1]) for record in caplog.records)
    assert market.active == []


def test_what_is_offered_again_after_a_while_is_new() -> None:
    now = 0.0
    offers = Offers(lambda: now)
    task = [Document(task_id="a")]
    assert (offers.choose(task, 1), offers.choose(task, 1)) == (task, [])
    now = FORGOTTEN_SECONDS - 1
    assert offers.choose(task, 1) == [], "it never left"
    now = 2 * FORGOTTEN_SECONDS - 2
    assert offers.choose(task, 1) == []
    now = 3 * FORGOTTEN_SECONDS
    assert offers.choose(task, 1) == task, "somebody gave it back"
    assert offers.choose([Document(task_id="b"), Document(task_id="c")], 1) == [{"task_id": "b"}]
    assert offers.choose([Document(task_id="b"), Document(task_id="c")], 1) == [{"task_id": "c"}]


def test_the_asynchronous_one(script: Script, market: Market) -> None:
    async def work() -> list[str]:
        done: list[str] = []
        async with AsyncRoboComputeProvider(API_KEY, "p", base_url=script.url) as provider:
            both, beaten = asyncio.Event(), asyncio.Event()

            @provider.on_task_assigned
            async def handle(task: Document) -> None:
                done.append(task.task_id)
                if len(done) == 2:
                    both.set()
                await asyncio.wait_for(both.wait(), WAIT_SECONDS)
                await asyncio.to_thread(wait_until, lambda: 2 in market.active, "a heartbeat that tells of both")
                await provider.monitoring.send_heartbeat(active_tasks=9)
                beaten.set()
                raise ZeroDivisionError

            market.offered = ["a", "b"]
            provider.start(concurrency=2, poll_seconds=0.01, heartbeat_seconds=0.01)
            await asyncio.wait_for(beaten.wait(), WAIT_SECONDS)
            await provider.stop()
        return done

    assert sorted(asyncio.run(work())) == ["a", "b"] and 9 in market.active
