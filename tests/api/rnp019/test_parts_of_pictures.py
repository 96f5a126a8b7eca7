"""Stills in tiles and videos, ordered through the API and made by nodes that speak the protocol."""

import hashlib
import io
import uuid
import zipfile
import zlib
from dataclasses import replace
from typing import Any

import pytest
from PIL import Image
from sqlalchemy import update

from app.config import Settings
from app.flows import stitching
from app.models.nodes import Node
from app.models.render_orders import RenderOrder
from app.values import clock, tiles
from tests.api.conftest import FakeNode, Market
from tests.api.rnp019.conftest import REPORT, Agent, refused
from tests.factories import films
from tests.factories.tiled_stills import HEIGHT, WIDTH, tile_of, whole

TILED = {"width": WIDTH, "height": HEIGHT, "tiles": "3x2"}


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """One node does everything here, and tries again at once."""
    return replace(settings, render_second_try_seconds=0)


def hand_in(node: FakeNode, attempt: dict[str, Any], data: bytes, content_type: str = "") -> dict[str, Any]:
    """Upload and announce; what the hub says of it."""
    assert node.client.put(attempt["upload"]["url"], data=data).status_code == 201
    item = {"attempt_id": attempt["attempt_id"], "fence": attempt["fence"], "sha256": hashlib.sha256(data).hexdigest()}
    answer = node.post("results", results=[item | {"size_bytes": len(data), "seconds": 1, "content_type": content_type}])
    found = answer.json["results"] if answer.status_code == 200 else answer.json["error"]["details"]["results"]
    return found[0]  # type: ignore[no-any-return]


def inputs(node: FakeNode, attempt: dict[str, Any], after: int | None = None) -> Any:
    return node.post("inputs", attempt_id=attempt["attempt_id"], fence=attempt["fence"], after=after)


def painted(number: int) -> bytes:
    written = io.BytesIO()
    Image.new("RGB", (64, 48), (number, 0, 0)).save(written, "PNG")
    return written.getvalue()


def test_a_still_in_tiles_is_one_picture_for_its_owner(agent: Agent, node: FakeNode) -> None:
    job = agent.ordered("7", settings=TILED)
    assert (job["settings"]["tiles"], job["frames_total"], job["frames_completed"]) == ("3x2", 1, 0)
    (attempt,) = node.claim_anything()
    refused(inputs(node, attempt), 409, "NO_INPUTS")
    written = io.BytesIO()
    whole().save(written, "PNG")
    assert hand_in(node, attempt, written.getvalue())["error"]["code"] == "RESULT_WRONG_SIZE"
    seen = []
    while found := node.claim_anything():
        (attempt,) = found
        assert (attempt["kind"], attempt["frame"]) == ("tile", 7)
        seen.append(tuple(attempt["tile"][name] for name in ("column", "row", "columns", "rows")))
        assert hand_in(node, attempt, tile_of(attempt["tile"]))["accepted"]
    assert sorted(seen) == [(column, row, 3, 2) for column in range(3) for row in range(2)]
    path = f"/{job['id']}"
    (row,) = agent.get(f"{path}/frames").json["frames"]
    assert (row["frame"], row["status"], row["attempts"]) == (7, "rendering", 7)
    refused(agent.get(f"{path}/frames/7"), 404, "FRAME_NOT_RENDERED")
    assert agent.job(job["id"])["frames_completed"] == 0
    hub = agent.client.application.extensions["lightyard"]  # type: ignore[attr-defined]
    assert stitching.stitch(hub.database, hub.store, uuid.UUID(job["id"])) == stitching.MADE
    picture = agent.get(f"{path}/frames/7")
    assert picture.status_code == 200 and Image.open(io.BytesIO(picture.data)).tobytes() == whole().tobytes()
    (row,) = agent.get(f"{path}/frames").json["frames"]
    done = agent.job(job["id"])
    assert (row["status"], row["cost"]) == ("completed", done["current_cost"]) and float(row["cost"]) > 0
    assert (done["status"], done["frames_completed"], done["progress"]) == ("completed", 1, 1)
    assert agent.get(f"{path}/frames/7/preview").status_code == 200
    for query in ("", "?frame=7"):
        assert agent.client.get(f"/render{path}/result{query}", headers=agent.head).data == picture.data, "and no tile elsewhere"
    url = agent.client.get(f"/api/v1/jobs{path}/result", headers=agent.head).json["download_url"]
    assert agent.client.get(url).data == picture.data


def test_a_tile_that_fits_to_no_other_is_refused_and_rendered_elsewhere(agent: Agent, market: Market, node: FakeNode) -> None:
    """Also when it is the first: the settings say what tiles are in, so whoever comes first decides nothing."""
    hub = market.hub
    job = agent.ordered("7", settings=TILED)
    liars = [FakeNode(market, f"liar {number}").join() for number in range(2)]
    first = bytes(4) + b"tEXt" + zlib.crc32(b"tEXt").to_bytes(4, "big")  # a chunk that moves the header from where it must be
    tricks: list[Any] = [lambda tile: tile_of(tile, "RGBA"), lambda tile: tile_of(tile)[:8] + first + tile_of(tile)[8:]]
    for liar, trick in zip(liars, tricks, strict=True):
        (attempt,) = liar.claim_anything()
        assert (attempt["kind"], attempt["tile"]["column"], attempt["tile"]["row"]) == ("tile", 0, 0)
        assert hand_in(liar, attempt, trick(attempt["tile"]))["error"]["code"] == "RESULT_WRONG_COLORS"
    assert float(agent.job(job["id"])["current_cost"]) == 0
    done = []
    while (answer := node.post("claims", capabilities=node.capabilities, limit=1).json)["attempts"]:
        done += answer["attempts"]
        told = answer["jobs"][job["id"]]["settings"]
        assert tiles.colors_text(told["color_mode"], told["color_depth"]) == "RGB of 8 bits"
        assert hand_in(node, done[-1], tile_of(done[-1]["tile"]))["accepted"]
    assert len(done) == 6 and stitching.stitch(hub.database, hub.store, uuid.UUID(job["id"])) == stitching.MADE
    assert agent.job(job["id"])["status"] == "completed" and node.post("heartbeat", current_load=0).json["status"] == "HEALTHY"


@pytest.mark.parametrize(
    ("frames", "asked", "said"),
    [
        ("1-2", {"tiles": "2x2"}, "single frame"),
        ("1", {"tiles": "9x9"}, "64 are allowed"),
        ("1", {"tiles": "two by two"}, "columns by rows"),
        ("1", {"tiles": "2x2", "output_format": "JPEG"}, "without loss"),
        ("1", {"tiles": "2x2", "denoise": True}, "settings.denoise to false"),
    ],
)
def test_tiles_that_cannot_be_are_refused(agent: Agent, frames: str, asked: dict[str, Any], said: str) -> None:
    assert said in refused(agent.order(frames, settings=asked), 400, "SETTINGS_INVALID")


def test_tiles_are_left_to_the_hub_by_time_and_free_nodes(agent: Agent) -> None:
    renders = agent.renders
    agent.scene_id = agent.scene({**REPORT, "width": 1920, "height": 1080, "samples": 4000, "whole_picture_steps": []})
    assert "tiles" not in agent.ordered("1", settings={"tiles": "auto"})["settings"], "nobody is there"
    for _ in range(4):
        renders.node()
    job = agent.ordered("1", settings={"tiles": "auto"})
    assert job["settings"]["tiles"] == "2x2"
    agent.scene_id = agent.scene({**REPORT, "width": 1920, "height": 1080, "samples": 4000, "whole_picture_steps": ["denoise"]})
    assert "tiles" not in agent.ordered("1", settings={"tiles": "auto"})["settings"], "it could not be done in parts"
    estimate = agent.client.post(
        "/rnp/v1/estimates", json={"scene_id": agent.scene_id, "frames": "1", "settings": {"tiles": "auto"}}, headers=agent.head
    )
    assert estimate.status_code == 200 and "tiles" not in estimate.json["settings"]


def test_a_video_is_joined_when_all_its_frames_are_there(agent: Agent, node: FakeNode) -> None:
    job = agent.ordered("1-3", settings={"output_format": "MP4", "fps": 12.5, "quality": "low"})
    path = f"/{job['id']}"
    refused(agent.get(f"{path}/video"), 404, "VIDEO_NOT_READY")
    for _ in range(3):
        (attempt,) = node.claim_anything()
        assert attempt["kind"] == "frame"
        assert hand_in(node, attempt, painted(attempt["frame"]))["accepted"]
    found = agent.job(job["id"])
    assert (found["frames_completed"], found["status"]) == (3, "rendering")
    answer = node.post("claims", capabilities=["render"], limit=4).json
    (attempt,) = answer["attempts"]
    assert (attempt["kind"], attempt["frame"]) == ("join", None)
    settings = answer["jobs"][job["id"]]["settings"]
    assert settings["video"] == {"format": "MP4", "fps": 12.5, "frames": 3}
    assert (settings["samples"], settings["output_format"]) == (32, "PNG")
    listed = inputs(node, attempt).json
    assert [item["frame"] for item in listed["inputs"]] == [1, 2, 3] and listed["next"] is None
    assert [item["frame"] for item in inputs(node, attempt, after=2).json["inputs"]] == [3]
    assert node.client.get(listed["inputs"][1]["url"]).data == painted(2)
    assert inputs(node, attempt | {"fence": 99}).status_code == 409
    bad = {
        films.film(2, 12): "2 frames, 3 were ordered",
        films.film(3, 25): "25 a second",
        painted(1): "MP4",
    }
    for data, said in bad.items():
        error = hand_in(node, attempt, data, "video/mp4")["error"]
        assert error["code"] == "RESULT_UNREADABLE" and said in error["message"]
        if agent.job(job["id"])["status"] == "failed":
            break
        (attempt,) = node.claim_anything()
    assert agent.job(job["id"])["reason"]["code"] == "RESULT_UNREADABLE"
    assert agent.get(f"{path}/frames.zip").status_code == 200, "its frames stay"
    refused(agent.get(f"{path}/video"), 404, "VIDEO_NOT_READY")


def test_the_video_is_its_owners_once_it_is_paid(agent: Agent, node: FakeNode) -> None:
    job = agent.ordered("1-2", settings={"output_format": "MP4", "fps": 12}, payment={"mode": "pay_before_download"})
    for _ in range(2):
        (attempt,) = node.claim_anything()
        assert hand_in(node, attempt, painted(attempt["frame"]))["accepted"]
    (attempt,) = node.claim_anything()
    film = films.film(2, 12)
    assert hand_in(node, attempt, films.film(2, 12, (32, 48)))["error"]["code"] == "RESULT_WRONG_SIZE"
    (attempt,) = node.claim_anything()
    assert hand_in(node, attempt, film, "video/mp4")["accepted"]
    done = agent.job(job["id"])
    assert (done["status"], done["frames_completed"], done["progress"]) == ("completed", 2, 1)
    path = f"/{job['id']}/video"
    refused(agent.get(path), 402, "PAYMENT_REQUIRED")
    stranger = agent.renders.account("0")
    agent.account_id, owner = stranger, agent.account_id
    key = agent.key("jobs:read")
    agent.account_id = owner
    other = agent.client.get(f"/rnp/v1/jobs{path}", headers={"Authorization": f"Bearer {key}"})
    refused(other, 404, "JOB_NOT_FOUND")
    plain = agent.ordered("1")
    refused(agent.get(f"/{plain['id']}/video"), 404, "NO_VIDEO")
    with agent.renders.database.unit_of_work() as session:
        of_job = update(RenderOrder).where(RenderOrder.job_id == uuid.UUID(job["id"]))
        session.execute(of_job.values(settled_at=clock.now()))
    video = agent.get(path)
    assert (video.status_code, video.mimetype, video.data) == (200, "video/mp4", film)
    whole = agent.client.get(f"/render/{job['id']}/result", headers=agent.head)
    assert zipfile.ZipFile(io.BytesIO(whole.data)).namelist() == ["frame_0001.png", "frame_0002.png"]


def test_frames_that_nobody_has_paid_are_joined_by_the_operators_nodes_alone(agent: Agent, node: FakeNode) -> None:
    """Whoever joins them has them: any node would be the client's own."""
    for mode, is_open in (("pay_before_download", False), ("credits", True)):
        job = agent.ordered("1-2", settings={"output_format": "MP4", "fps": 12}, payment={"mode": mode})
        for _ in range(2):
            (attempt,) = node.claim_anything()
            assert hand_in(node, attempt, painted(attempt["frame"]))["accepted"]
        set_trust(agent, node, False)
        found = node.post("claims", capabilities=["render"], limit=4, job_id=job["id"]).json["attempts"]
        assert [item["kind"] for item in found] == (["join"] if is_open else [])
        set_trust(agent, node, True)
        if not is_open:
            (join,) = node.claim_anything()
            assert join["kind"] == "join" and hand_in(node, join, films.film(2, 12), "video/mp4")["accepted"]
    set_trust(agent, node, False)
    order = {"settings": {"output_format": "MP4"}, "payment": {"mode": "pay_before_download"}}
    refused(agent.order("1-2", **order), 503, "VIDEO_NOT_OFFERED")


def set_trust(agent: Agent, node: FakeNode, is_trusted: bool) -> None:
    with agent.renders.database.unit_of_work() as session:
        session.execute(update(Node).where(Node.id == node.id).values(is_trusted=is_trusted))
