"""An agent that waits for a render, by the official client: what it hears meanwhile, and when it gets its answer."""

import asyncio
import threading
from collections.abc import Callable, Sequence
from typing import Any

import httpx
import pytest

from app.mcp.session import Session
from tests.mcp.conftest import World, refused, talk

Heard = list[tuple[float, float | None, str | None]]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.mcp.following.SOONEST_SECONDS", 0.02)


def wait(session: Session, job_id: str, steps: Sequence[Callable[[], None]] = (), seconds: float = 30) -> tuple[Any, Heard]:
    """The answer of the tool, and what was heard before it: at each notice the next of the steps is done."""
    heard: Heard = []
    left = list(steps)

    async def hear(done: float, total: float | None, message: str | None) -> None:
        heard.append((done, total, message))
        if left:
            await asyncio.to_thread(left.pop(0))

    async def story(client: Any) -> Any:
        asked = {"job_id": job_id, "timeout_seconds": seconds}
        return await client.call_tool("wait", asked, progress_callback=hear)

    return talk(session, story), heard


def test_it_hears_of_each_frame_until_the_job_is_over_though_the_hub_is_away_meanwhile(world: World) -> None:
    session = world.session()
    job_id = world.order(session, world.ready(session), "1-3")["job"]["id"]
    node, asked = world.renders.node(), len(world.wire.sent)
    away: list[httpx.Request] = []

    def losing(request: httpx.Request) -> str:
        away.append(request)
        return "request" if len(away) < 9 else ""

    def restart() -> None:
        world.wire.losing = losing
        world.renders.finish(world.renders.claim(node, 1))

    def end() -> None:
        world.renders.finish(world.renders.claim(node, 2))

    result, heard = wait(session, job_id, [restart, end])
    told = result.structured_content
    assert (told["job"]["status"], told["frames"]) == ("completed", {"completed": "1-3"}) and "call download" in told["note"]
    assert [done for done, _, _ in heard] == sorted({done for done, _, _ in heard}) and {total for _, total, _ in heard} == {3}
    assert heard[0] == (0, 3, "0 of 3 frames, 0 RCREDIT, queued") and heard[1][0] == 1 and heard[-1][0] == 3
    assert "1 of 3 frames, 0.0" in str(heard[1][2]) and "RCREDIT, " in str(heard[1][2])
    assert len(away) > 9 and {request.method for request in world.wire.sent[asked:]} == {"GET"}
    assert told["spending"]["counted"] == told["job"]["current_cost"]


def test_it_answers_when_the_job_pauses_or_the_time_is_up_and_says_what_to_do(world: World) -> None:
    session = world.session()
    scene = world.ready(session)
    job = world.order(session, scene, "1-3")["job"]
    result, heard = wait(session, job["id"], seconds=0.1)
    assert result.structured_content["job"]["status"] == "queued" and len(heard) == 1
    assert "call wait" in result.structured_content["note"]

    def go_away() -> None:
        world.wire.losing = lambda request: "request"

    gone, _ = wait(session, job["id"], [go_away], seconds=0.2)
    assert (gone.is_error, gone.structured_content["frames"]) == (False, None)
    assert "did not answer" in gone.structured_content["note"] and gone.structured_content["job"]["id"] == job["id"]
    refused(lambda: session.wait(job["id"], 0.1), "HUB_AWAY")  # it has said nothing of the job at all
    world.wire.losing = lambda request: ""
    session.pause(job["id"])
    assert "call resume" in wait(session, job["id"])[0].structured_content["note"]
    dear = world.order(session, scene, "1-3", max_amount="0.00000001")["job"]["id"]
    told = wait(session, dear)[0].structured_content
    assert told["job"]["reason"]["code"] == "MAX_AMOUNT_REACHED" and told["frames"] == {"queued": "1-3"}
    assert "max_amount of " in refused(lambda: session.resume(dear, "0.00000002"), "MAX_AMOUNT_REACHED")
    enough = told["note"].partition("max_amount of ")[2].partition(" ")[0]  # what the note advises helps
    assert session.resume(dear, enough)["job"]["status"] == "queued"


def test_it_stops_asking_the_hub_once_its_caller_has_gone(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    session, ended = world.session(), threading.Event()
    job_id = world.order(session, world.ready(session), "1-3")["job"]["id"]
    real = session.wait

    def waiting(*arguments: Any) -> dict[str, Any]:
        try:
            return real(*arguments)
        finally:
            ended.set()

    monkeypatch.setattr(session, "wait", waiting)

    async def story(client: Any) -> Any:
        has_begun = asyncio.Event()

        async def hear(*_: Any) -> None:
            has_begun.set()

        call = asyncio.create_task(client.call_tool("wait", {"job_id": job_id, "timeout_seconds": 600}, progress_callback=hear))
        await has_begun.wait()
        assert not ended.is_set()
        call.cancel()
        assert await asyncio.to_thread(ended.wait, 20)
        return await client.call_tool("balance", {})  # the session goes on

    assert not talk(session, story).is_error
    assert session.status(job_id, 0)["job"]["status"] == "queued"
