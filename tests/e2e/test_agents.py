"""An agent with nothing but a wallet, on real processes: it uses the hub by `lightyard mcp` and the official MCP client over
stdio, and its render outlives a node that is killed and one that fails at whatever it gets."""

import json
import os
import subprocess
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest
from PIL import Image

from tests.e2e.agent import Agent, Owner, Tools
from tests.e2e.conftest import NODE_PYTHON, ROOT, running_stack
from tests.e2e.test_dispatched_jobs import run
from tests.e2e.test_relay import provider_id
from tests.factories.stacks import wait_until

pytestmark = pytest.mark.timeout(400)
TOOLS = {"inspect", "estimate", "render", "status", "wait", "download", "pause", "resume", "cancel", "balance", "topup"}
TINY = {"width": 32, "height": 24, "samples": 1, "engine": "cycles"}
SLOWER = {"width": 160, "height": 120, "samples": 32, "engine": "cycles"}  # so that nobody has them all before the others ask
FRAMES = 24
CREDITS = 1000  # a bound that is reckoned from tiny frames of a busy machine is high
ATTEMPTS = """SELECT u.frame, a.state, n.name
    FROM attempts a JOIN work_units u ON u.id = a.unit_id JOIN nodes n ON n.id = a.node_id
    WHERE u.job_id = %s AND u.kind = 'frame'"""


@dataclass
class Market:
    """A running hub with one node, and a wallet's owner with render credits."""

    endpoints: dict[str, str]
    owner: Owner
    scene: Path

    def agent(self, folder: Path, *options: str) -> Agent:
        return Agent(self.endpoints["api_url"], self.owner.key, folder, *options)

    def attempts(self, job_id: str) -> list[tuple[int, str, str]]:
        with psycopg.connect(self.endpoints["database_url"]) as connection:
            return connection.execute(ATTEMPTS, [job_id]).fetchall()


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory, cube: bytes) -> Iterator[Market]:
    home = tmp_path_factory.mktemp("stack")
    scene = tmp_path_factory.mktemp("scenes") / "cube.blend"
    scene.write_bytes(cube)
    with running_stack(home, NODES="1", LEASE_SECONDS="8", NODE_BATCH_LIMIT="1") as endpoints:
        owner = Owner(endpoints, str(CREDITS))
        owner.buy_credits(str(CREDITS))
        yield Market(endpoints, owner, scene)


async def finished(tools: Tools, job_id: str) -> dict[str, Any]:
    """As an agent waits: again until the job is over."""
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline:
        told = await tools.call("wait", job_id=job_id, timeout_seconds=10)
        if told["job"]["status"] in ("completed", "failed", "cancelled"):
            return told
    raise AssertionError(told)


async def ready(tools: Tools, scene: Path) -> dict[str, Any]:
    for _ in range(5):
        found = await tools.call("inspect", scene=str(scene), wait_seconds=40)
        if found["status"] not in ("uploading", "inspecting"):
            return found
    raise AssertionError(found)


def test_an_agent_inspects_estimates_renders_follows_and_downloads(market: Market, tmp_path: Path) -> None:
    pictures = tmp_path / "pictures"

    async def story(tools: Tools) -> None:
        assert {tool.name for tool in (await tools.client.list_tools()).tools} == TOOLS
        assert "0.05000000 on a job" in tools.client.instructions
        scene = await ready(tools, market.scene)
        assert (scene["status"], scene["inspection"]["cameras"]) == ("ready", ["Camera"]), scene
        wanted = {"scene": str(market.scene), "frames": "1-3", **TINY}
        quoted = await tools.call("estimate", **wanted)
        cost = {item["tier"]: Decimal(item["cost"]) for item in quoted["estimates"]}
        assert 0 < cost["economy"] < cost["priority"] and quoted["frames_total"] == 3
        would = await tools.call("render", **wanted, dry_run=True)
        assert would["dry_run"] and Decimal(would["would_cost_at_most"]) == cost["priority"]
        message = await tools.refused("render", **{**wanted, "frames": "1-5000"})
        assert "JOB_CAP" in message and "Nothing was ordered" in message
        assert (await tools.call("balance"))["credits"] == f"{CREDITS}.00000000"
        assert (await tools.call("status"))["jobs"] == [] and market.owner.held == 0
        job = (await tools.call("render", **wanted, name="shot", max_amount=float(cost["priority"])))["job"]
        told = await finished(tools, job["id"])
        assert (told["job"]["status"], told["frames"]) == ("completed", {"completed": "1-3"})
        assert tools.heard[-1][:2] == (3, 3) and str(tools.heard[-1][2]).endswith("RCREDIT, completed"), tools.heard
        assert Decimal(told["spending"]["counted"]) == Decimal(told["job"]["current_cost"]) == CREDITS - market.owner.credits > 0
        saved = await tools.call("download", job_id=job["id"])
        assert saved["files"] == [str(pictures / job["id"] / f"frame_000{frame}.png") for frame in (1, 2, 3)]
        assert all(Image.open(path).size == (32, 24) for path in saved["files"])
        assert (await tools.call("download", job_id=job["id"], frames="2-3"))["had_already"] == 2
        assert "NOT_FOUND" in await tools.refused("status", job_id=str(uuid.uuid4()))
        assert "FRAMES_INVALID" in await tools.refused("estimate", scene=scene["id"], frames="9-1")

    market.agent(pictures, "--max-spend", "1", "--max-spend-per-job", "0.05").go(story)


def test_a_dry_run_orders_nothing(market: Market, tmp_path: Path) -> None:
    before = market.owner.credits

    async def story(tools: Tools) -> None:
        assert "dry run" in tools.client.instructions
        known = len((await tools.call("status"))["jobs"])
        assert (await ready(tools, market.scene))["status"] == "ready"
        would = await tools.call("render", scene=str(market.scene), frames="1-2", **TINY)
        assert would["would_order"]["frames"] == "1-2" and would["dry_run"]
        assert len((await tools.call("status"))["jobs"]) == known

    market.agent(tmp_path, "--dry-run").go(story)
    assert market.owner.credits == before and market.owner.held == 0


@contextmanager
def node(market: Market, home: Path, **settings: str) -> Iterator["subprocess.Popen[bytes]"]:
    """Another real node, named as its folder, on the hub's relay."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("BROKER", "REDIS", "DATABASE"))}
    endpoints = market.endpoints
    environment = {
        **kept, "PYTHONPATH": str(ROOT), "HUB_URL": endpoints["api_url"], "NODE_HOME": str(home), "NODE_NAME": home.name,
        "ENROL_KEY": endpoints["operator_api_key"], "ENROL_PROVIDER_ID": provider_id(endpoints), "NODE_BATCH_LIMIT": "1",
        **settings,
    }  # fmt: skip
    with home.with_suffix(".log").open("wb") as log:
        command = [str(NODE_PYTHON), "-m", "gpu_node", "--relay"]
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)
    try:
        wait_until(lambda: is_there(endpoints, home.name), f"{home.name} is there")
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(60)
        print(home.with_suffix(".log").read_text()[-2000:])


def is_there(endpoints: dict[str, str], name: str) -> bool:
    query = "SELECT count(*) FROM nodes WHERE name = %s AND last_heartbeat_at IS NOT NULL"
    with psycopg.connect(endpoints["database_url"]) as connection:
        return connection.execute(query, [name]).fetchone() == (1,)


def test_one_node_is_killed_and_one_always_fails_and_every_frame_counts_once(market: Market, tmp_path: Path) -> None:
    dying = {"LIGHTYARD_FAILPOINTS": "node.frame_rendered=kill@3"}  # SIGKILL, with a frame that nobody was told of
    broken = {"NODE_MAX_SCENE_BYTES": "1024"}  # takes no scene of such a size, and says so of each unit
    before = market.owner.credits
    found: dict[str, Any] = {}

    async def story(tools: Tools) -> None:
        job = await tools.call("render", scene=str(market.scene), frames=f"1-{FRAMES}", **SLOWER)
        found.update(await finished(tools, job["job"]["id"]))
        saved = await tools.call("download", job_id=job["job"]["id"])
        assert len({Image.open(path).size for path in saved["files"]}) == 1 and len(saved["files"]) == FRAMES

    assert market.agent(tmp_path).go(lambda tools: ready(tools, market.scene))["status"] == "ready"
    with node(market, tmp_path / "dying", **dying) as killed, node(market, tmp_path / "broken", **broken):
        market.agent(tmp_path / "pictures", "--max-spend", str(CREDITS)).go(story)
        assert killed.wait(60) == -9
    job, attempts = found["job"], market.attempts(found["job"]["id"])
    assert (job["status"], found["frames"]) == ("completed", {"completed": f"1-{FRAMES}"}), job
    assert sorted(frame for frame, state, _ in attempts if state == "completed") == list(range(1, FRAMES + 1))
    ends = Counter((name, state) for _, state, name in attempts)
    lost = sum(count for (name, state), count in ends.items() if name == "dying" and state != "completed")
    assert lost >= 1 and ends["dying", "completed"] <= 2, ends
    # the job's own list of nodes keeps it away from the other frames
    assert ends["broken", "completed"] == 0 < ends["broken", "failed"] <= 3, ends
    assert_charged_as_booked(market, job, before)


def assert_charged_as_booked(market: Market, job: dict[str, Any], before: Decimal) -> None:
    """What the job says it cost is what the ledger took, frame by frame, and nothing is left aside."""
    rows = market.owner.get(f"/jobs/{job['id']}/frames")
    cost = Decimal(job["current_cost"])
    assert cost == Decimal(rows["current_cost"]) == sum(Decimal(row["cost"]) for row in rows["frames"]) > 0
    assert before - market.owner.credits == cost and market.owner.held == 0
    assert json.loads(run("invariants", "--json", home=market.endpoints["home"])) == {"differences": []}
