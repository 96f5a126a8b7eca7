"""Following what a task's container writes."""

import asyncio

import pytest

from robocompute import AsyncRoboComputeClient, Document, RoboComputeClient
from tests.sdk.conftest import API_KEY
from tests.sdk.scripted import Answer, Script


def page(first: int, last: int, is_over: bool = False, **more: object) -> Answer:
    """As the hub's answers: lines from `first` to `last`, none where `last` is before."""
    numbers = range(first, last + 1)
    lines = [{"sequence": n, "timestamp": "2026-01-01T00:00:00Z", "level": "INFO", "message": f"line {n}"} for n in numbers]
    return Answer({"logs": lines, "next": last, "is_over": is_over, "skipped": 0, "lost": 0} | more)


PAGES = [page(41, 43), page(44, 43), page(46, 47, skipped=2), page(48, 48, True), page(49, 48, True)]
QUERIES = ("3", "1000&after=43", "1000&after=43", "1000&after=47", "1000&after=48")
PATHS = [f"/api/v1/tasks/t/logs?lines={query}&follow=true" for query in QUERIES]
NUMBERS = [41, 42, 43, 46, 47, 48]


def test_it_follows_to_the_end(client: RoboComputeClient, script: Script, caplog: pytest.LogCaptureFixture) -> None:
    pauses: list[float] = []
    client.transport.sleep = pauses.append
    script.answers = [*PAGES]
    assert [line.sequence for line in client.tasks.get_logs("t", lines=3, follow=True)] == NUMBERS
    assert [asked.path for asked in script.asked] == PATHS
    assert pauses == [1, 1], "only where the hub did not wait itself"
    assert "2 lines of task t were deleted before they were read" in caplog.text


def test_without_follow_it_is_one_page(client: RoboComputeClient, script: Script) -> None:
    script.answers = [page(1, 2)]
    assert [line.level for line in client.tasks.get_logs("t", lines=100, follow=False).logs] == ["INFO", "INFO"]
    client.tasks.get_logs("t", after=7)
    assert [asked.path for asked in script.asked] == [
        "/api/v1/tasks/t/logs?lines=100", "/api/v1/tasks/t/logs?lines=100&after=7"
    ]


def test_the_asynchronous_one_follows_to_the_end(script: Script) -> None:
    async def follow() -> list[Document]:
        async with AsyncRoboComputeClient(API_KEY, base_url=script.url) as client:

            async def no_pause(seconds: float) -> None:
                assert seconds == 1

            client.transport.sleep = no_pause
            return [line async for line in client.tasks.follow_logs("t", lines=3)]

    script.answers = [*PAGES]
    assert [line.sequence for line in asyncio.run(follow())] == NUMBERS
    assert [asked.path for asked in script.asked] == PATHS
