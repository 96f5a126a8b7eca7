"""Text prompts ordered through RNP-019, handed to nodes that offer them, and what those make of them."""

import io
import uuid
from decimal import Decimal
from typing import Any

import pytest
from flask.testing import FlaskClient
from PIL import Image

from app.wiring import Hub
from tests.api.conftest import FakeNode, Market
from tests.api.rnp019.conftest import Agent, refused
from tests.factories.model_server import film, picture

PROMPT = "a lighthouse that nobody may know of"
SMALL = {"width": 64, "height": 48}
VIDEO = {**SMALL, "output_format": "MP4", "fps": 24}


def maker(market: Market, *offers: str, capabilities: tuple[str, ...] = ("inference",)) -> FakeNode:
    """A node whose machine says that it offers this."""
    return FakeNode(market, "maker", capabilities, {"offers": list(offers)}).join()


def order(agent: Agent, frames: str = "1-3", prompt: str = PROMPT, **members: Any) -> Any:
    return agent.post(body={"prompt": prompt, "frames": frames, "settings": SMALL, **members})


def ordered(agent: Agent, frames: str = "1-3", **members: Any) -> dict[str, Any]:
    answer = order(agent, frames, **members)
    assert answer.status_code == 201, answer.json
    return answer.json  # type: ignore[no-any-return]


def estimate(agent: Agent, frames: str = "1-3", **members: Any) -> dict[str, Any]:
    body = {"prompt": PROMPT, "frames": frames, "settings": SMALL, **members}
    answer = agent.client.post("/rnp/v1/estimates", json=body, headers=agent.head)
    assert answer.status_code == 200, answer.json
    return answer.json  # type: ignore[no-any-return]


def finish(node: FakeNode, attempt: dict[str, Any], data: bytes) -> str | None:
    """The code of the hub's refusal, None where the result counts."""
    item = {**node.upload_bytes(attempt, data), "content_type": "image/png"}
    [answer] = node.post("results", results=[item]).json["results"]
    return None if answer["accepted"] else str(answer["error"]["code"])


def test_pictures_are_made_by_a_node_that_offers_them_paid_and_delivered_and_no_line_tells_the_prompt(
    agent: Agent, market: Market, capfd: pytest.CaptureFixture[str]
) -> None:
    liar = FakeNode(market, capabilities=("render", "images", "compute")).join()
    others = [maker(market), maker(market, "chat", "video"), liar]
    node = maker(market, "images")
    quoted = estimate(agent)
    job = ordered(agent)
    assert (job["status"], job["prompt"], job["scene_id"], job["frames_total"]) == ("queued", PROMPT, None, 3)
    assert job["settings"] == {**SMALL, "output_format": "PNG"}
    assert job["estimated_cost"] == quoted["estimates"][0]["cost"] and quoted["basis"] == "guessed"
    assert [other.claim_anything(9) for other in others] == [[], [], []]
    answer = node.post("claims", capabilities=["inference"], limit=9).json
    taken, told = answer["attempts"], answer["jobs"][job["id"]]
    assert (told["kind"], told["inputs"]) == ("images", [])
    seed = uuid.UUID(job["id"]).int % 2**31
    rest = {"quality": None, "output_format": "PNG", "video": None, "seed": seed}
    assert told["settings"] == {**SMALL, "prompt": PROMPT, **rest}
    assert sorted((item["kind"], item["frame"]) for item in taken) == [("frame", 1), ("frame", 2), ("frame", 3)]
    made = {item["frame"]: picture(PROMPT, item["frame"], 64, 48) for item in taken}
    assert [finish(node, item, made[item["frame"]]) for item in taken] == [None] * 3
    done = agent.job(job["id"])
    assert (done["status"], done["settled"]) == ("completed", True)
    rows = agent.get(f"/{job['id']}/frames").json["frames"]
    assert sum(Decimal(row["cost"]) for row in rows) == Decimal(done["current_cost"]) > 0
    assert agent.renders.balance("held").minor == 0
    found = agent.get(f"/{job['id']}/frames/2")
    assert (found.data, Image.open(io.BytesIO(found.data)).size) == (made[2], (64, 48))
    assert estimate(agent)["basis"] == "measured"
    assert "lighthouse" not in "".join(capfd.readouterr())


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (picture("x", 1, 48, 64), "RESULT_WRONG_SIZE"),
        (picture("x", 1, 64, 48)[:-4], "RESULT_UNREADABLE"),
        (b"<html>no picture</html>", "RESULT_UNREADABLE"),
        (b"\xff\xd8\xff\xd9", "RESULT_UNREADABLE"),
    ],
)
def test_what_is_no_such_picture_is_not_paid_and_others_try(agent: Agent, market: Market, data: bytes, code: str) -> None:
    node, other = maker(market, "images"), maker(market, "images")
    job = ordered(agent, "1")
    assert finish(node, node.claim()[0], data) == code
    assert node.claim() == []  # the other one fits
    [again] = other.claim()
    assert finish(other, again, picture("x", 1, 64, 48)) is None
    assert agent.job(job["id"])["status"] == "completed"


def test_a_video_is_one_piece_of_work_and_is_looked_at(agent: Agent, market: Market) -> None:
    node = maker(market, "chat", "images", "video")
    quoted = estimate(agent, "1-48", settings=VIDEO)
    job = ordered(agent, "1-48", settings=VIDEO)
    assert job["settings"] == {**SMALL, "output_format": "MP4", "fps": 24}
    assert (job["frames_total"], job["estimated_cost"]) == (48, quoted["estimates"][0]["cost"])
    answer = node.post("claims", capabilities=["inference"], limit=9).json
    [attempt] = answer["attempts"]
    assert (attempt["kind"], attempt["frame"]) == ("video", None)
    told = answer["jobs"][job["id"]]
    assert (told["kind"], told["settings"]["video"]) == ("video", {"format": "MP4", "fps": 24, "frames": 48})
    assert finish(node, attempt, film(PROMPT)[:-1]) == "RESULT_UNREADABLE"
    assert node.claim_anything() == []
    other = maker(market, "video")
    [again] = other.claim_anything()
    assert finish(other, again, film(PROMPT)) is None
    done = agent.job(job["id"])
    assert (done["status"], done["frames_completed"], done["progress"]) == ("completed", 48, 1.0)
    rows = agent.get(f"/{job['id']}/frames").json["frames"]
    assert len(rows) == 48 and {row["status"] for row in rows} == {"completed"}
    assert agent.client.get(f"/render/{job['id']}/result", headers=agent.head).status_code == 404
    told = agent.get(f"/{job['id']}/events").text
    market.hub.task_news.stop()
    assert told.count('"frame": null, "video": true') == told.count("event: frame") == 4
    for path in ("/frames/1", "/frames.zip", "/frames/1/preview"):
        assert "/video" in refused(agent.get(f"/{job['id']}{path}"), 404, "NO_PICTURES")
    assert estimate(agent, "1-96", settings=VIDEO)["basis"] == "measured"


def test_what_nobody_offers_is_refused_by_name_and_costs_nothing(agent: Agent, market: Market) -> None:
    refused(order(agent), 503, "IMAGES_NOT_OFFERED")
    assert "node" in estimate(agent)["warnings"][0]
    node = maker(market, "images")
    message = refused(order(agent, "1-48", settings=VIDEO), 503, "VIDEO_NOT_OFFERED")
    assert "videos" in message
    assert agent.get().json["count"] == 0 and agent.renders.balance() == agent.renders.brought
    node.post("heartbeat", current_load=0, machine={"offers": ["chat"]})
    refused(order(agent), 503, "IMAGES_NOT_OFFERED")
    node.post("heartbeat", current_load=0, machine={"offers": ["video", 7, "gold"]})
    job = ordered(agent, "1-48", settings=VIDEO)
    node.post("heartbeat", current_load=0)  # says nothing new
    [attempt] = node.claim_anything()
    assert attempt["job_id"] == job["id"]


@pytest.mark.parametrize(
    ("members", "code"),
    [
        ({"prompt": ""}, "PROMPT_EMPTY"),
        ({"prompt": " \n\t "}, "PROMPT_EMPTY"),
        ({"prompt": "x" * 8001}, "PROMPT_TOO_LONG"),
        ({"prompt": "x" * 900_000}, "PROMPT_TOO_LONG"),
        ({"prompt": "a\u001bcat"}, "PROMPT_INVALID"),
        ({"prompt": "a\u0085cat"}, "PROMPT_INVALID"),
        ({"prompt": 7}, "INVALID_INPUT"),
        ({"prompt": ["a cat"]}, "INVALID_INPUT"),
        ({"frames": "9-5"}, "FRAMES_INVALID"),
        ({"settings": {"output_format": "EXR"}}, "SETTINGS_INVALID"),
        ({"settings": {"samples": 5}}, "SETTINGS_INVALID"),
        ({"settings": {"camera": "Close"}}, "SETTINGS_INVALID"),
        ({"settings": {"engine": "cycles"}}, "SETTINGS_INVALID"),
        ({"settings": {"fps": 24}}, "SETTINGS_INVALID"),
        ({"settings": {"width": 65_536, "height": 65_536}}, "SETTINGS_INVALID"),
        ({"settings": VIDEO, "frames": "1"}, "SETTINGS_INVALID"),
        ({"settings": {**VIDEO, "width": 63}}, "SETTINGS_INVALID"),
        ({"settings": VIDEO, "frames": "1-1441"}, "SETTINGS_INVALID"),
    ],
)
def test_what_cannot_be_made_is_a_clear_400_that_repeats_no_prompt(agent: Agent, members: dict[str, Any], code: str) -> None:
    message = refused(order(agent, **members), 400, code)
    assert 10 < len(message) < 200 and "cat" not in message
    assert agent.get().json["count"] == 0


def test_half_a_character_is_refused(agent: Agent) -> None:
    data = b'{"prompt": "a \\ud800 cat"}'
    answer = agent.client.post("/rnp/v1/jobs", data=data, content_type="application/json", headers=agent.head)
    assert answer.status_code == 400, answer.json


def test_a_prompt_of_the_longest_kind_reaches_its_node_letter_by_letter(agent: Agent, market: Market) -> None:
    node, text = maker(market, "images"), "\u5bff\U0001f680" + "x" * 7993 + "\r\n\ttab"
    job = ordered(agent, "1", prompt=f"  {text}\n")
    told = node.post("claims", capabilities=["inference"], limit=1).json["jobs"][job["id"]]
    assert told["settings"]["prompt"] == job["prompt"] == text.replace("\r", "")


def test_nobody_reads_anothers_prompt(agent: Agent, market: Market, client: FlaskClient, hub: Hub) -> None:
    maker(market, "images")
    job, other = ordered(agent, "1"), Agent(client, hub)
    refused(other.get(f"/{job['id']}"), 404, "JOB_NOT_FOUND")
    assert other.get().json["jobs"] == []
