"""How frames are rendered: what an agent asks for, filled up from its scene, each value checked."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from app.errors import InvalidInput
from app.values import tiles
from app.values.frame_times import DEFAULT_ENGINE, DEFAULT_HEIGHT, DEFAULT_SAMPLES, DEFAULT_WIDTH, QUALITY_SAMPLES

ENGINES = ("cycles", "eevee")
VIDEO = "MP4"
PICTURES = ("PNG", "JPEG", "EXR")
FORMATS = (*PICTURES, VIDEO)
FPS_MOST, DEFAULT_FPS = 240, 24
SIDE_LEAST_PIXELS, SIDE_MOST_PIXELS = 4, 65_536  # as Blender has it
JPEG_MOST_PIXELS = 65_500  # a side, as the library that writes them has it
VIDEO_LEAST_PIXELS, VIDEO_MOST_PIXELS = 16, 16_384  # as Blender and x264 have it
OPTIONAL = ("quality", "denoise", "adaptive_sampling")


@dataclass(frozen=True, slots=True)
class Limits:
    """The largest picture, and the most samples, that this hub renders."""

    max_pixels: int
    max_samples: int


def settle(given: Mapping[str, Any], report: Mapping[str, Any] | None, frames: int, limits: Limits) -> dict[str, Any]:
    """The settings of a job as nodes get them. `given` has the members of the dialect's `settings`, those left out missing or
    None; `report` is what a node saw in the scene. A video's frames are rendered as PNG; `video` says how they are joined.
    `tiles` are {columns, rows}, or `auto`, which is for the caller to decide; with them come `color_mode` and `color_depth`.

    InvalidInput SETTINGS_INVALID says which member cannot be.
    """
    seen = report or {}
    width, height = _size(given, seen)
    if width * height > limits.max_pixels:
        raise _refuse(f"width x height: {width}x{height} is more than {limits.max_pixels} pixels")
    found: dict[str, Any] = {
        "width": width,
        "height": height,
        "samples": _samples(given, seen, limits.max_samples),
        "engine": given.get("engine") or _known_engine(seen),
        "output_format": given.get("output_format") or PICTURES[0],
        "camera": given.get("camera"),
    }
    found |= {name: given[name] for name in OPTIONAL if given.get(name) is not None}
    if found["output_format"] == "JPEG":
        _assert_sides((width, height), SIDE_LEAST_PIXELS, JPEG_MOST_PIXELS, " of a JPEG")
    if found["output_format"] == VIDEO:
        found |= {"output_format": PICTURES[0], "video": _video(given, seen, width, height, frames)}
    elif given.get("fps") is not None:
        raise _refuse(f"fps is of a video: set output_format to {VIDEO}, or leave fps out")
    parts = tiles.settle(given, seen, found, frames)
    return found if parts is None else found | {"tiles": parts} | tiles.colors(seen, found["output_format"])


def delivery_format(settings: Mapping[str, Any]) -> str | None:
    """What its client gets of a job: its video's format, else its frames'."""
    return (settings.get("video") or {}).get("format") or settings.get("output_format")


def _size(given: Mapping[str, Any], seen: Mapping[str, Any]) -> tuple[int, int]:
    """Of one side alone the other one follows, so that the scene's proportions are kept."""
    own = _whole(seen.get("width")) or DEFAULT_WIDTH, _whole(seen.get("height")) or DEFAULT_HEIGHT
    width, height = given.get("width"), given.get("height")
    if width and not height:
        height = max(1, round(width * own[1] / own[0]))
    if height and not width:
        width = max(1, round(height * own[0] / own[1]))
    size = (width or own[0], height or own[1])
    _assert_sides(size, SIDE_LEAST_PIXELS, SIDE_MOST_PIXELS)
    return size


def _assert_sides(size: tuple[int, int], least: int, most: int, what: str = "") -> None:
    if min(size) < least or max(size) > most:
        raise _refuse(f"width and height: {size[0]}x{size[1]}, but a side{what} has at least {least} and at most {most} pixels")


def _samples(given: Mapping[str, Any], seen: Mapping[str, Any], most: int) -> int:
    wanted = given.get("samples") or QUALITY_SAMPLES.get(str(given.get("quality")))
    found: int = wanted or min(_whole(seen.get("samples")) or DEFAULT_SAMPLES, most)
    if found > most:
        raise _refuse(f"samples: {found} is more than the {most} that this hub renders")
    return found


def _known_engine(seen: Mapping[str, Any]) -> str:
    engine = seen.get("engine")
    return engine if engine in ENGINES else DEFAULT_ENGINE


def _video(given: Mapping[str, Any], seen: Mapping[str, Any], width: int, height: int, frames: int) -> dict[str, Any]:
    if frames < 2:
        raise _refuse(f"output_format: an {VIDEO} needs two frames at least; ask for {PICTURES[0]}, or for more frames")
    _assert_sides((width, height), VIDEO_LEAST_PIXELS, VIDEO_MOST_PIXELS, f" of an {VIDEO}")
    if width % 2 or height % 2:
        raise _refuse(f"width and height: an {VIDEO} needs even ones, not {width}x{height}")
    return {"format": VIDEO, "fps": given.get("fps") or _fps(seen.get("fps")), "frames": frames}


def _fps(seen: Any) -> float | int:
    is_number = isinstance(seen, int | float) and not isinstance(seen, bool)
    return seen if is_number and 0 < seen <= FPS_MOST else DEFAULT_FPS


def _whole(value: Any) -> int | None:
    """A node may say anything of a scene."""
    return value if type(value) is int and 0 < value < 2**31 else None


def _refuse(message: str) -> InvalidInput:
    return InvalidInput(f"settings.{message}", code="SETTINGS_INVALID")
