"""A heavy still in parts: where each tile lies, how many there may be, and which scenes can't be rendered so.

A tile is exactly what the whole picture has there. A scene whose picture is made by looking beyond a pixel is refused.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from app.errors import InvalidInput

KIND, STITCH_KIND = "tile", "stitch"
AUTO = "auto"
MOST = 64
SIDE_LEAST_PIXELS = 8
AUTO_LEAST_SECONDS = 60.0  # so long a tile is to take at least, or opening the scene so often is a waste
# Of a picture in tiles its settings say what it is in, for every node: tiles of several kinds can't be laid side by side.
COLOR_MODES, DEFAULT_MODE = ("BW", "RGB", "RGBA"), "RGBA"
COLOR_DEPTHS = {"PNG": (8, 16), "EXR": (16, 32)}  # bits, the first unless the scene has the other
SETTINGS = ("tiles", "color_mode", "color_depth")
_TEXT = re.compile(r"([1-9][0-9]?)\s*[xX×]\s*([1-9][0-9]?)")

# As a node names what a scene does (gpu_node/PROTOCOL.md 7), and what an agent can do about it.
_STEPS = {
    "engine": "Eevee looks at the whole picture; use the engine cycles",
    "denoise": "the scene is denoised, which looks at the whole picture; set settings.denoise to false",
    "adaptive": "noise in one pixel decides about its neighbours' samples; set settings.adaptive_sampling to false",
    "compositing": "the scene's compositor works on the whole picture",
    "freestyle": "Freestyle draws its lines over the whole picture",
    "guiding": "path guiding learns from the whole picture",
    "experimental": "Cycles' experimental features look at the whole picture",
}


@dataclass(frozen=True, slots=True)
class Box:
    """A tile's pixels: from the upper left corner on, `right` and `bottom` are not within."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def width(self) -> int:
        return self.right - self.left

    @property
    def height(self) -> int:
        return self.bottom - self.top


def box(tile: Mapping[str, Any], width: int, height: int) -> Box:
    """Where a tile {column, row, columns, rows} lies in a picture: columns from the left, rows from the top."""
    column, row, columns, rows = tile["column"], tile["row"], tile["columns"], tile["rows"]
    across = (width * column // columns, width * (column + 1) // columns)
    down = (height * row // rows, height * (row + 1) // rows)
    return Box(across[0], down[0], across[1], down[1])


def parse(text: str) -> dict[str, int] | str:
    """`2x3` (columns by rows) as {columns, rows}, or `auto`; InvalidInput for anything else."""
    if text.strip().lower() == AUTO:
        return AUTO
    found = _TEXT.fullmatch(text.strip())
    if found is None:
        raise _refuse(f"{text[:40]!r} is none; write columns by rows, such as 2x2, or {AUTO}")
    columns, rows = int(found[1]), int(found[2])
    if columns * rows > MOST:
        raise _refuse(f"{columns}x{rows} are {columns * rows}; {MOST} are allowed")
    return {"columns": columns, "rows": rows}


def settle(
    given: Mapping[str, Any], report: Mapping[str, Any], settings: Mapping[str, Any], frames: int
) -> dict[str, int] | str | None:
    """The tiles that are asked for in `given`, as they can be; `auto` where that is for `choose` to say. None: no tiles.

    InvalidInput SETTINGS_INVALID names each reason against tiles that were asked for by number.
    """
    if not given.get("tiles"):
        return None
    wanted = parse(given["tiles"])
    reasons = _obstacles(report, settings, frames)
    if isinstance(wanted, str):
        return None if reasons else AUTO
    if wanted == {"columns": 1, "rows": 1}:
        return None
    if reasons:
        raise _refuse("; ".join(reasons))
    if settings["width"] < SIDE_LEAST_PIXELS * wanted["columns"] or settings["height"] < SIDE_LEAST_PIXELS * wanted["rows"]:
        raise _refuse(f"a tile has {SIDE_LEAST_PIXELS} pixels a side at least; ask for fewer")
    return wanted


def colors(report: Mapping[str, Any], output_format: str) -> dict[str, str | int]:
    """{color_mode, color_depth} of a picture in tiles: the scene's own, as a node saw it, or what Blender's new files have.

    They are settled with the order, so no node that renders decides about them. One that has told untruth of the scene has the
    picture come out in another kind, but whole.
    """
    mode, depths = report.get("color_mode"), report.get("color_depth")
    depth = depths.get(output_format) if isinstance(depths, Mapping) else None
    known = COLOR_DEPTHS[output_format]
    return {
        "color_mode": mode if mode in COLOR_MODES else DEFAULT_MODE,
        "color_depth": depth if type(depth) is int and depth in known else known[0],
    }


def colors_text(mode: str, depth: int) -> str:
    """As `formats.image` reads them from a picture."""
    return f"{mode} of {depth} bits"


def without(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of the same picture in one piece."""
    return {name: value for name, value in settings.items() if name not in SETTINGS}


def _obstacles(report: Mapping[str, Any], settings: Mapping[str, Any], frames: int) -> list[str]:
    found = []
    if frames != 1:
        found.append("they are for a single frame; many frames are spread over the nodes by themselves")
    if settings["output_format"] not in ("PNG", "EXR") or settings.get("video"):
        found.append("only PNG and EXR can be stitched without loss")
    steps = report.get("whole_picture_steps")
    named = [step for step in _STEPS if isinstance(steps, list) and step in steps]
    least = report.get("adaptive_from_samples")
    is_harmless = {
        "engine": settings["engine"] == "cycles",
        "denoise": settings.get("denoise") is False,
        "adaptive": settings.get("adaptive_sampling") is False or (type(least) is int and settings["samples"] <= least),
    }
    if settings["engine"] != "cycles":
        named = list(dict.fromkeys(["engine", *named]))
    for step, is_asked in (("denoise", settings.get("denoise")), ("adaptive", settings.get("adaptive_sampling"))):
        if is_asked and step not in named:
            named.append(step)
    return found + [_STEPS[step] for step in named if not is_harmless.get(step, False)]


def choose(frame_seconds: float, free_nodes: int, width: int, height: int) -> dict[str, int] | None:
    """How many tiles a frame is best cut into, that would take one node so long, with so many that have nothing to do."""
    most = min(MOST, free_nodes, int(frame_seconds // AUTO_LEAST_SECONDS))
    grids = [
        (columns, rows)
        for columns in range(1, most + 1)
        for rows in range(1, most // columns + 1)
        if width >= SIDE_LEAST_PIXELS * columns and height >= SIDE_LEAST_PIXELS * rows
    ]
    if most < 2 or not grids:
        return None

    def squareness(grid: tuple[int, int]) -> float:
        across, down = width / grid[0], height / grid[1]
        return max(across / down, down / across)

    columns, rows = min(grids, key=lambda grid: (-grid[0] * grid[1], squareness(grid), grid))
    return {"columns": columns, "rows": rows} if columns * rows > 1 else None


def count(settings: Mapping[str, Any]) -> int:
    """How many tiles a job's frame is rendered in; 1 for one that is not."""
    found = settings.get("tiles")
    return int(found["columns"] * found["rows"]) if found else 1


def _refuse(message: str) -> InvalidInput:
    return InvalidInput(f"settings.tiles: {message}", code="SETTINGS_INVALID")
