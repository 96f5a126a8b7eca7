"""Pictures and videos of text prompts, from servers of this host that speak OpenAI's images/generations and videos.

A prompt is its client's secret: what such a server answers is never repeated, for it may repeat the prompt.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from gpu_node.failures import FailureCode, WorkFailed, WorkStopped
from gpu_node.pictures import PictureBroken, measure
from gpu_node.runners.model_server import Answer, Call, Exchange, ModelServer, read_object
from gpu_node.runners.outputs import write_output
from gpu_node.session import Limits

IMAGES, VIDEO = "images", "video"
PNG_TYPE, MP4_TYPE = "image/png", "video/mp4"
SEEDS = 2**31
SPARE_BYTES = 1 << 20
MOST_BYTES_A_PIXEL = 8  # four channels of 16 bits, not packed at all
STATUS_BYTES = 1 << 20
POLL_SECONDS = 1.0
# What a server may not know, by what it is for; it is left out when the server says so.
OPTIONAL = ("seed", "response_format", "quality", "num_frames", "fps", "width", "height")
PROMPTS_FAULT = (400, 413, 422)
_WORD = re.compile(r"[A-Za-z0-9_.-]{1,64}\Z")
_ID = re.compile(r"[A-Za-z0-9_.-]{1,200}\Z")


@dataclass(frozen=True)
class Wanted:
    """What is to be made: settings as PROTOCOL.md section 8 has them. `frames` and `fps` are of a video."""

    prompt: str
    width: int
    height: int
    seed: int
    quality: str | None
    frames: int
    fps: float

    @property
    def size(self) -> str:
        return f"{self.width}x{self.height}"


def read_wanted(settings: Mapping[str, Any], frame: int | None) -> Wanted:
    """Raises WorkFailed for settings that are no prompt's. Each frame has a seed of its own, the same whoever makes it."""
    video = settings.get("video") or {}
    try:
        seed = (int(settings.get("seed") or 0) + (frame or 0)) % SEEDS
        found = Wanted(settings["prompt"], int(settings["width"]), int(settings["height"]), seed, settings.get("quality"),
                       int(video.get("frames") or 1), float(video.get("fps") or 1))
    except (KeyError, TypeError, ValueError):
        raise WorkFailed(FailureCode.PAYLOAD_INVALID, "the settings name no prompt, width and height") from None
    if not isinstance(found.prompt, str) or not found.prompt or min(found.width, found.height, found.frames, found.fps) <= 0:
        raise WorkFailed(FailureCode.PAYLOAD_INVALID, "the settings name no prompt, width and height")
    return found


class ImageRunner:
    """A PNG of the size that was asked for, by `POST …/images/generations`."""

    content_type = PNG_TYPE

    def __init__(self, server: ModelServer, transport: httpx.BaseTransport | None = None) -> None:
        self._server, self._transport = server, transport

    def run(self, wanted: Wanted, limits: Limits, folder: Path, stopped: Callable[[], bool]) -> Path:
        """Raises WorkFailed or WorkStopped, and leaves no file then."""
        if wanted.width * wanted.height > limits.max_pixels:
            raise WorkFailed(FailureCode.PICTURE_LIMIT, f"{wanted.size} is more than the {limits.max_pixels} pixels allowed")
        call = Call(Exchange(self._server, limits, self._transport), lambda exchange: _make_picture(exchange, wanted))
        path = write_output(folder, call.wait(stopped), limits.max_output_bytes)
        try:
            width, height = measure(path, "PNG")
            if (width, height) != (wanted.width, wanted.height):
                raise PictureBroken(f"the picture is {width}x{height} pixels, {wanted.size} were asked for")
        except PictureBroken as broken:
            path.unlink()
            raise WorkFailed(FailureCode.INFERENCE_GARBLED, f"the images' server made no such picture: {broken}") from broken
        return path


def _make_picture(exchange: Exchange, wanted: Wanted) -> bytes:
    request = {"prompt": wanted.prompt, "n": 1, "size": wanted.size, "response_format": "b64_json", "seed": wanted.seed,
               "model": exchange.server.model, "quality": wanted.quality}
    most = min(exchange.max_bytes, wanted.width * wanted.height * MOST_BYTES_A_PIXEL + SPARE_BYTES)
    answer = _ask(exchange, "/images/generations", request, math.ceil(most / 3) * 4 + SPARE_BYTES,
                  lambda fields: {"json": fields})
    data = read_object(answer.body).get("data")
    first = data[0] if isinstance(data, list) and data and isinstance(data[0], dict) else {}
    text = first.get("b64_json")
    if not isinstance(text, str) or not text:
        raise WorkFailed(FailureCode.INFERENCE_GARBLED, "the images' server answered without a picture in b64_json")
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise WorkFailed(FailureCode.INFERENCE_GARBLED, "the images' server answered a b64_json that is no base64") from None


class VideoRunner:
    """An MP4, by `POST …/videos`, looks at `…/videos/{id}`, and `…/videos/{id}/content`."""

    content_type = MP4_TYPE

    def __init__(self, server: ModelServer, transport: httpx.BaseTransport | None = None,
                 poll_seconds: float = POLL_SECONDS) -> None:
        self._server, self._transport, self._poll_seconds = server, transport, poll_seconds

    def run(self, wanted: Wanted, limits: Limits, folder: Path, stopped: Callable[[], bool]) -> Path:
        """Raises WorkFailed or WorkStopped, and leaves no file then."""
        exchange = Exchange(self._server, limits, self._transport)
        data = Call(exchange, lambda exchange: _make_video(exchange, wanted, self._poll_seconds)).wait(stopped)
        if data[4:8] != b"ftyp":
            raise WorkFailed(FailureCode.INFERENCE_GARBLED, "the videos' server gave what is no MP4")
        return write_output(folder, data, limits.max_output_bytes)


def _make_video(exchange: Exchange, wanted: Wanted, poll_seconds: float) -> bytes:
    request = {"prompt": wanted.prompt, "model": exchange.server.model, "size": wanted.size,
               "seconds": math.ceil(wanted.frames / wanted.fps), "width": wanted.width, "height": wanted.height,
               "num_frames": wanted.frames, "fps": wanted.fps, "seed": wanted.seed}
    answer = _ask(exchange, "/videos", request, STATUS_BYTES, _as_form)
    video_id = read_object(answer.body).get("id")
    if not isinstance(video_id, str) or not _ID.match(video_id):
        raise WorkFailed(FailureCode.INFERENCE_GARBLED, "the videos' server began no video: its answer has no id")
    try:
        _wait_for(exchange, video_id, answer, poll_seconds)
        return _expect_ok(exchange.ask("GET", f"/videos/{video_id}/content")).body
    finally:
        # What is made, or not wanted any more, need not be kept there; a server that knows no DELETE keeps it.
        with contextlib.suppress(httpx.HTTPError, WorkFailed, WorkStopped):
            exchange.ask("DELETE", f"/videos/{video_id}", STATUS_BYTES, timeout=5.0)


def _wait_for(exchange: Exchange, video_id: str, answer: Answer, poll_seconds: float) -> None:
    while (status := read_object(answer.body).get("status")) != "completed":
        if status not in ("queued", "in_progress"):
            said = f" ({status})" if isinstance(status, str) and _WORD.match(status) else ""
            raise WorkFailed(FailureCode.INFERENCE_FAILED, f"the videos' server did not make it{said}{_code_in(answer)}")
        exchange.pause(poll_seconds)
        answer = _expect_ok(exchange.ask("GET", f"/videos/{video_id}", STATUS_BYTES))


def _as_form(fields: Mapping[str, Any]) -> dict[str, Any]:
    """As multipart/form-data, which is what the API takes."""
    return {"files": {name: (None, f"{value:g}" if isinstance(value, float) else str(value)) for name, value in fields.items()}}


def _ask(exchange: Exchange, path: str, fields: Mapping[str, Any], max_bytes: int,
         written: Callable[[Mapping[str, Any]], dict[str, Any]]) -> Answer:
    """One request; again without what the server says that it does not know."""
    left = {name: value for name, value in fields.items() if value is not None}
    while True:
        answer = exchange.ask("POST", path, max_bytes, **written(left))
        unknown = [name for name in OPTIONAL if name in left and name.encode() in answer.body]
        if answer.status not in (400, 422) or not unknown:
            return _expect_ok(answer)
        left = {name: value for name, value in left.items() if name not in unknown}


def _expect_ok(answer: Answer) -> Answer:
    """Raises WorkFailed for an error: the prompt's, or the server's own."""
    if 200 <= answer.status < 300:
        return answer
    code = FailureCode.INFERENCE_REFUSED if answer.status in PROMPTS_FAULT else FailureCode.INFERENCE_FAILED
    raise WorkFailed(code, f"the server answered {answer.status}{_code_in(answer)}")


def _code_in(answer: Answer) -> str:
    """The one word of an error that is no prose: `content_policy_violation` and the like."""
    error = read_object(answer.body).get("error")
    code = error.get("code") if isinstance(error, dict) else None
    return f": {code}" if isinstance(code, str) and _WORD.match(code) else ""
