"""Pictures and videos of prompts on a node, against a stand-in for the servers of models."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gpu_node import offer
from gpu_node.agent import Agent
from gpu_node.config import SettingError, read_settings
from gpu_node.failures import FailureCode, WorkFailed, WorkStopped
from gpu_node.runners.blender.runner import Host
from gpu_node.runners.model_server import ModelServer as Server
from gpu_node.runners.prompts import ImageRunner, VideoRunner, read_wanted
from gpu_node.session import Limits
from tests.factories.model_server import ModelServer, film, model_server, picture
from tests.gpu_node.fake_hub import LIMITS as HUB_LIMITS
from tests.gpu_node.fake_hub import FakeHub, Unit

PROMPT = "a lighthouse that nobody may know of"
LIMITS = Limits(max_seconds=30, max_memory_bytes=1 << 30, max_output_bytes=1 << 20, max_pixels=1 << 20)
PICTURE = {"prompt": PROMPT, "width": 64, "height": 48, "seed": 7, "output_format": "PNG"}
VIDEO = {**PICTURE, "output_format": "MP4", "video": {"format": "MP4", "fps": 24, "frames": 49}}


@pytest.fixture
def model() -> Iterator[ModelServer]:
    with model_server() as server:
        yield server


def wanted() -> bool:
    return False


def draw(
    served: ModelServer, folder: Path, frame: int = 1, limits: Limits = LIMITS, stopped: Callable[[], bool] = wanted, **more: Any
) -> bytes:
    server = Server(**{"base_url": served.url, "model": "tiny", **more})
    return ImageRunner(server).run(read_wanted(PICTURE, frame), limits, folder, stopped).read_bytes()


def shoot(served: ModelServer, folder: Path, stopped: Callable[[], bool] = wanted, **more: Any) -> bytes:
    runner = VideoRunner(Server(**{"base_url": served.url, **more}), poll_seconds=0.01)
    return runner.run(read_wanted(VIDEO, None), LIMITS, folder, stopped).read_bytes()


def test_each_frame_is_a_picture_with_a_seed_of_its_own(model: ModelServer, tmp_path: Path) -> None:
    made = [draw(model, tmp_path, frame) for frame in (1, 2, 1)]
    assert made == [picture(PROMPT, seed, 64, 48) for seed in (8, 9, 8)]
    assert model.requests[0] == {
        "path": "/v1/images/generations", "prompt": PROMPT, "n": 1, "size": "64x48", "response_format": "b64_json", "seed": 8,
        "model": "tiny",
    }


def test_what_a_server_does_not_know_is_left_out(model: ModelServer, tmp_path: Path) -> None:
    model.behaviour = "seedless"
    assert draw(model, tmp_path) == picture(PROMPT, None, 64, 48)
    assert [("seed" in request, "response_format" in request) for request in model.requests] == [
        (True, True), (False, True), (False, False)
    ]


@pytest.mark.parametrize(
    ("behaviour", "code", "said"),
    [("busy", "INFERENCE_FAILED", "503"), ("unlocked", "INFERENCE_FAILED", "401"), ("redirect", "INFERENCE_FAILED", "307"),
     ("refuse", "INFERENCE_REFUSED", "400"), ("policy", "INFERENCE_REFUSED", "400: content_policy_violation"),
     ("garbage", "INFERENCE_GARBLED", "b64_json"), ("empty", "INFERENCE_GARBLED", "b64_json"),
     ("linked", "INFERENCE_GARBLED", "b64_json"), ("small", "INFERENCE_GARBLED", "32x24 pixels, 64x48"),
     ("cut", "INFERENCE_GARBLED", "ends too early"), ("endless", "OUTPUT_LIMIT", "bytes allowed"),
     ("silent", "TIME_LIMIT", "1 s"), ("drip", "TIME_LIMIT", "1 s")],
)
def test_each_trouble_with_a_picture_has_its_code_and_tells_no_prompt(
    model: ModelServer, tmp_path: Path, behaviour: str, code: str, said: str
) -> None:
    model.behaviour = behaviour
    with pytest.raises(WorkFailed) as failed:
        draw(model, tmp_path, max_seconds=1.0 if code == "TIME_LIMIT" else 20.0)
    assert failed.value.code == code and said in failed.value.message
    assert "lighthouse" not in str(failed.value) + failed.value.log_tail
    assert list(tmp_path.iterdir()) == []
    assert behaviour != "drip" or not [thread for thread in threading.enumerate() if thread.name == "inference"]


def test_limits_hold_before_and_after_a_picture_is_made(model: ModelServer, tmp_path: Path) -> None:
    small, short = replace(LIMITS, max_pixels=100), replace(LIMITS, max_output_bytes=60)
    for limits, code in ((small, "PICTURE_LIMIT"), (short, "OUTPUT_LIMIT")):
        with pytest.raises(WorkFailed) as failed:
            draw(model, tmp_path, limits=limits)
        assert failed.value.code == code
    with pytest.raises(WorkFailed) as failed:
        draw(model, tmp_path, base_url="http://127.0.0.1:1/v1")
    assert failed.value.code == FailureCode.INFERENCE_AWAY
    assert list(tmp_path.iterdir()) == []


NO_PROMPTS = [{"prompt": None}, {"prompt": ""}, {"prompt": 7}, {"width": 0}, {"height": None}, {"seed": "x"}]


@pytest.mark.parametrize("change", NO_PROMPTS)
def test_settings_that_are_no_prompts_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(WorkFailed) as failed:
        read_wanted({**PICTURE, **change}, 1)
    assert failed.value.code == FailureCode.PAYLOAD_INVALID


def test_a_video_is_ordered_followed_fetched_and_put_away(model: ModelServer, tmp_path: Path) -> None:
    model.looks = 3
    assert shoot(model, tmp_path, model="film") == film(PROMPT)
    order, *looks, content, gone = model.requests
    assert order == {
        "path": "/v1/videos", "prompt": PROMPT, "model": "film", "size": "64x48", "seconds": "3", "width": "64", "height": "48",
        "num_frames": "49", "fps": "24", "seed": "7",
    }
    assert [look["path"] for look in looks] == ["/v1/videos/video-1"] * 3
    assert (content["path"], gone["method"], model.videos) == ("/v1/videos/video-1/content", "DELETE", {})


@pytest.mark.parametrize(
    ("behaviour", "code", "said"),
    [("busy", "INFERENCE_FAILED", "503"), ("refuse", "INFERENCE_REFUSED", "400"), ("empty", "INFERENCE_GARBLED", "no id"),
     ("unnamed", "INFERENCE_GARBLED", "no id"), ("garbage", "INFERENCE_GARBLED", "no MP4"),
     ("failing", "INFERENCE_FAILED", "(failed): out_of_tricks"), ("silent", "TIME_LIMIT", "1 s")],
)
def test_each_trouble_with_a_video_has_its_code_and_nothing_is_left_at_the_server(
    model: ModelServer, tmp_path: Path, behaviour: str, code: str, said: str
) -> None:
    model.behaviour = behaviour
    with pytest.raises(WorkFailed) as failed:
        shoot(model, tmp_path, max_seconds=1.0 if code == "TIME_LIMIT" else 20.0)
    assert failed.value.code == code and said in failed.value.message and "lighthouse" not in str(failed.value)
    assert (list(tmp_path.iterdir()), model.videos) == ([], {})


def test_work_that_is_not_wanted_any_more_is_left_at_once(model: ModelServer, tmp_path: Path) -> None:
    model.behaviour = "silent"
    for make in (draw, shoot):
        model.asked.clear()
        with pytest.raises(WorkStopped):
            make(model, tmp_path, stopped=model.asked.is_set)


def test_a_host_offers_what_its_owner_has_a_server_for() -> None:
    with pytest.raises(SettingError, match="NODE_IMAGES_URL"):
        read_settings({"NODE_CAPABILITIES": "inference"})
    with pytest.raises(SettingError, match="NODE_VIDEO_URL"):
        read_settings({"NODE_CAPABILITIES": "inference", "NODE_VIDEO_URL": "127.0.0.1:80"})
    found = read_settings({"NODE_CAPABILITIES": "inference", "NODE_IMAGES_URL": "http://a/v1/", "NODE_VIDEO_URL": "http://b/v1"})
    assert (found.images_url, offer.of_models(found)) == ("http://a/v1", ["images", "video"])
    assert offer.of_models(replace(found, inference_url="http://c/v1", video_url=None)) == ["chat", "images"]
    assert offer.of_models(replace(found, capabilities=("render",))) == []


def add_prompt(hub: FakeHub, kind: str, settings: dict[str, Any], units: list[tuple[str, int | None]]) -> str:
    """A job of a prompt, as the hub hands it out."""
    job_id = f"{kind}-job"
    hub.jobs[job_id] = {"job_id": job_id, "kind": kind, "settings": settings, "inputs": [], "limits": HUB_LIMITS}
    with hub.lock:
        hub.units += [Unit(f"{job_id}-{number}", job_id, name, frame) for number, (name, frame) in enumerate(units)]
    return job_id


def test_a_node_makes_pictures_and_a_video_and_logs_no_prompt(
    hub: FakeHub, start_agent: Callable[..., Agent], model: ModelServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    pictures = add_prompt(hub, "images", PICTURE, [("frame", 1), ("frame", 2)])
    video = add_prompt(hub, "video", VIDEO, [("video", None)])
    agent = start_agent(host=Host(python="/no/blender", sandbox="none"), NODE_CAPABILITIES="inference", NODE_SPARE_CHILD="off",
                        NODE_IMAGES_URL=model.url, NODE_VIDEO_URL=model.url)
    agent.ring()
    hub.wait(lambda: all(unit.state == "completed" for unit in hub.units))
    made = [hub.files[f"/files/result/{unit.attempt_id}"] for unit in (*hub.of(pictures), *hub.of(video))]
    assert made == [picture(PROMPT, 8, 64, 48), picture(PROMPT, 9, 64, 48), film(PROMPT)]
    said = next(body for path, body in hub.calls if path == "/node/v1/nodes")
    assert (said["capabilities"], said["machine"]["offers"]) == (["inference"], ["images", "video"])
    model.behaviour = "policy"
    refused = add_prompt(hub, "images", {**PICTURE, "prompt": PROMPT + "!"}, [("frame", 1)])
    hub.wait(lambda: any(unit.failures for unit in hub.of(refused)))
    told = [str(record.__dict__) + record.getMessage() for record in caplog.records] + [str(hub.of(refused)[-1].failures)]
    assert len(told) > 5 and not [line for line in told if "lighthouse" in line]
    assert not any((agent.settings.home / "work" / "runs").iterdir()), "nothing is left behind"
