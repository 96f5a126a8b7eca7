"""Sessions of agents with a real hub, which they call over HTTP within this process."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest
from flask.testing import FlaskClient

from app.errors import LightyardError
from app.mcp.downloads import Downloads
from app.mcp.hub import Hub as HubClient
from app.mcp.purse import Purse
from app.mcp.scenes import Scenes
from app.mcp.session import Render, Session
from app.values.money import parse
from app.wiring import Hub
from tests.api.conftest import client, hub, settings, solana_url
from tests.factories.account_scenes import LookingNode, triangle
from tests.factories.missing import go_without
from tests.factories.rendered_jobs import RenderedJobs

__all__ = ["client", "hub", "settings", "solana_url"]  # fixtures that these tests share with tests/api
SCOPES = ("jobs:read", "jobs:write", "scenes:read", "scenes:write", "credits:read")
T = TypeVar("T")
SMALL = {"width": 64, "height": 48, "samples": 1}


def refused(call: Any, code: str) -> str:
    with pytest.raises(LightyardError) as refusal:
        call()
    assert refusal.value.code == code, refusal.value.message
    return refusal.value.message


def talk(session: Session, story: Callable[[Any], Awaitable[T]]) -> T:
    """The official client and the server of a session, in this process."""
    try:
        from mcp import Client

        from app.mcp import server
    except ModuleNotFoundError:
        go_without("the MCP SDK is not installed: run `make mcp`")

    async def whole() -> T:
        async with Client(server.make(session)) as client:
            return await story(client)

    return asyncio.run(whole())


class Wire(httpx.BaseTransport):
    """What lies between an agent and the hub. `losing` says of a request whether it gets lost, or its answer does; `instead` what
    somebody on the way says in place of the hub."""

    def __init__(self, app: Any) -> None:
        self._inner = httpx.WSGITransport(app=app)
        self.sent: list[httpx.Request] = []
        self.losing: Callable[[httpx.Request], str] = lambda request: ""
        self.instead: Callable[[httpx.Request], httpx.Response | None] = lambda request: None

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.sent.append(request)
        lost = self.losing(request)
        if lost == "request":
            raise httpx.ConnectError("nobody is there", request=request)
        if (said := self.instead(request)) is not None:
            return said
        response = self._inner.handle_request(request)
        if lost == "answer":
            response.read()
            response.close()
            raise httpx.ReadError("the connection broke", request=request)
        return response

    def asked(self, method: str, path: str) -> list[httpx.Request]:
        return [request for request in self.sent if request.method == method and request.url.path.endswith(path)]


@dataclass
class World:
    """An account with 100 RCREDIT, a folder with a scene, and sessions of its agent."""

    renders: RenderedJobs
    node: LookingNode
    wire: Wire
    folder: Path
    scene: Path

    def session(self, cap: str = "50", job_cap: str | None = None, key: str | None = None, **options: Any) -> Session:
        scopes = options.pop("scopes", SCOPES)
        hub = HubClient("http://127.0.0.1", key or self.renders.key_of(self.renders.account_id, *scopes), self.wire)
        purse = Purse(parse(cap, "RCREDIT"), parse(job_cap or cap, "RCREDIT"), options.pop("tally", None))
        scenes = Scenes(hub, options.pop("roots", ()))
        return Session(
            hub,
            scenes,
            purse,
            Downloads(hub, self.folder / "pictures", options.pop("limit_bytes", 2**30)),
            options.pop("is_dry", False),
        )

    def ready(self, session: Session) -> str:
        """The scene's id, sent and looked at."""
        if session.scenes.bring(str(self.scene), time.monotonic() + 30)["status"] == "inspecting":
            self.node.look()
        found = session.inspect(str(self.scene), 0)
        assert found["status"] == "ready", found
        return str(found["id"])

    def order(self, session: Session, scene: str, frames: str = "1-4", **options: Any) -> dict[str, Any]:
        said = {"tier": "priority", "name": "", "max_amount": None, "is_dry": False, "order_key": None} | options
        return session.render(Render(scene, frames, said.pop("settings", SMALL)), **said)

    def price(self, scene: str, frames: str = "1-4") -> Decimal:
        found = self.session().estimate(Render(scene, frames, SMALL), False)["estimates"]
        return Decimal(next(item["cost"] for item in found if item["tier"] == "priority"))

    def jobs(self) -> int:
        found = self.renders.client.get("/rnp/v1/jobs", headers={"Authorization": f"Bearer {self.renders.key}"})
        return int(found.json["count"])


@pytest.fixture
def world(client: FlaskClient, hub: Hub, tmp_path: Path) -> World:
    scene = tmp_path / "scenes" / "part.stl"
    scene.parent.mkdir()
    scene.write_bytes(triangle())
    return World(RenderedJobs(client, hub), LookingNode(client, hub), Wire(client.application), tmp_path, scene)


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.mcp.hub.PAUSES_SECONDS", (0.0, 0.0))
    monkeypatch.setattr("app.mcp.scenes.RETRY_SECONDS", 0.0)
