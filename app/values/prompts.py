"""Text prompts: what one may be, and how what is made of it is set."""

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from app.errors import InvalidInput
from app.values.capabilities import IMAGES, VIDEO
from app.values.render_settings import DEFAULT_FPS, PICTURES, SIDE_MOST_PIXELS
from app.values.render_settings import VIDEO as MP4

PNG = PICTURES[0]
DEFAULT_SIZES = {IMAGES: (1024, 1024), VIDEO: (1280, 720)}
OF_SCENES = ("samples", "engine", "camera")
LAYOUT = "\n\t"


@dataclass(frozen=True, slots=True)
class Limits:
    """The longest prompt, the largest picture, and the longest video that are made of one."""

    most_chars: int
    max_pixels: int
    video_seconds: int


def read(text: str, most_chars: int) -> str:
    """A prompt as it is kept: its ends trimmed, its lines ended in one way.

    InvalidInput PROMPT_EMPTY, PROMPT_TOO_LONG, or PROMPT_INVALID where a control character or half a character stands in it; none
    of them repeats what it says.
    """
    found = text.replace("\r\n", "\n").replace("\r", "\n").strip()
    if not found:
        raise InvalidInput("prompt: is empty; say what is to be made", code="PROMPT_EMPTY")
    if len(found) > most_chars:
        message = f"prompt: has {len(found)} characters; {most_chars} are allowed"
        raise InvalidInput(message, code="PROMPT_TOO_LONG", details={"characters": len(found), "allowed": most_chars})
    for place, sign in enumerate(found, 1):
        if unicodedata.category(sign) in ("Cc", "Cs") and sign not in LAYOUT:
            message = f"prompt: character {place} is U+{ord(sign):04X}, which is no text; leave it out"
            raise InvalidInput(message, code="PROMPT_INVALID", details={"place": place})
    return found


def kind_of(given: Mapping[str, Any]) -> str:
    """The kind of work that these settings of a prompt ask for. InvalidInput SETTINGS_INVALID for a format that is not made."""
    wanted = given.get("output_format") or PNG
    if wanted not in (PNG, MP4):
        raise _refuse(f"output_format: of a prompt {PNG} pictures or an {MP4} are made, no {wanted}")
    return VIDEO if wanted == MP4 else IMAGES


def settle(given: Mapping[str, Any], frames: int, limits: Limits) -> dict[str, Any]:
    """The settings of a job as nodes get them, beside the prompt and the seed. Of `frames` pictures each is made by itself; those
    of a video are one piece of work.

    InvalidInput SETTINGS_INVALID says which member cannot be.
    """
    kind = kind_of(given)
    for name in OF_SCENES:
        if given.get(name) is not None:
            raise _refuse(f"{name}: is of a scene; leave it out for a prompt")
    width, height = _size(given, DEFAULT_SIZES[kind], limits.max_pixels)
    found = {"width": width, "height": height, "output_format": MP4 if kind == VIDEO else PNG}
    if given.get("quality"):
        found["quality"] = given["quality"]
    if kind == VIDEO:
        return found | {"video": _video(given, width, height, frames, limits.video_seconds)}
    if given.get("fps") is not None:
        raise _refuse(f"fps is of a video: set output_format to {MP4}, or leave fps out")
    return found


def _size(given: Mapping[str, Any], default: tuple[int, int], max_pixels: int) -> tuple[int, int]:
    """Of one side alone the other one follows, in the default's proportions."""
    width, height = given.get("width"), given.get("height")
    if width and not height:
        height = max(1, round(width * default[1] / default[0]))
    if height and not width:
        width = max(1, round(height * default[0] / default[1]))
    size = (width or default[0], height or default[1])
    if max(size) > SIDE_MOST_PIXELS or size[0] * size[1] > max_pixels:
        raise _refuse(f"width x height: {size[0]}x{size[1]} is more than {max_pixels} pixels")
    return size


def _video(given: Mapping[str, Any], width: int, height: int, frames: int, most_seconds: int) -> dict[str, Any]:
    if frames < 2:
        raise _refuse(f"output_format: an {MP4} needs two frames at least; ask for {PNG}, or for more frames")
    if width % 2 or height % 2:
        raise _refuse(f"width and height: an {MP4} needs even ones, not {width}x{height}")
    fps = given.get("fps") or DEFAULT_FPS
    if frames > fps * most_seconds:
        raise _refuse(f"fps: {frames} frames at {fps} a second are more than the {most_seconds} s of a video that are made here")
    return {"format": MP4, "fps": fps, "frames": frames}


def _refuse(message: str) -> InvalidInput:
    return InvalidInput(f"settings.{message}", code="SETTINGS_INVALID")
