"""Tiles become the picture that they were cut from, with all its bits, or are refused by name."""

from pathlib import Path
from typing import Any

import numpy
import OpenEXR
import pytest

from app.formats import stitching
from app.formats.image import decode
from app.formats.stitching import Part, StitchImpossible
from app.values import tiles
from app.values.tiles import Box

WIDTH, HEIGHT, COLUMNS, ROWS = 67, 45, 3, 4
KINDS = {(8, 0): 1, (8, 2): 3, (8, 4): 2, (8, 6): 4, (16, 0): 2, (16, 2): 6, (16, 6): 8}  # bytes a pixel
WHOLE = Box(0, 0, WIDTH, HEIGHT)
COLORS = {(bits, kind): tiles.colors_text(mode, bits) for bits in (8, 16) for kind, mode in ((0, "BW"), (2, "RGB"), (6, "RGBA"))}


def boxes() -> list[Box]:
    grid = [{"column": column, "row": row, "columns": COLUMNS, "rows": ROWS} for row in range(ROWS) for column in range(COLUMNS)]
    return [tiles.box(tile, WIDTH, HEIGHT) for tile in grid]


def noise(bytes_each: int) -> Any:
    return numpy.random.default_rng(7).integers(0, 256, (HEIGHT, WIDTH, bytes_each), dtype=numpy.uint8)


def write_png(path: Path, pixels: Any, kind: tuple[int, int]) -> Path:
    with stitching._PngWriter(path, pixels.shape[1], pixels.shape[0], kind) as written:
        written.add(numpy.ascontiguousarray(pixels).reshape(pixels.shape[0], -1))
    return path


def write_exr(path: Path, channels: dict[str, Any]) -> Path:
    head = {"compression": OpenEXR.PIZ_COMPRESSION, "type": OpenEXR.scanlineimage}
    OpenEXR.File(head, {name: numpy.ascontiguousarray(pixels) for name, pixels in channels.items()}).write(str(path))
    return path


@pytest.mark.parametrize("kind", KINDS)
def test_a_png_is_whole_again(tmp_path: Path, kind: tuple[int, int]) -> None:
    pixels = noise(KINDS[kind])
    parts = [
        Part(write_png(tmp_path / f"{number}.png", pixels[box.top : box.bottom, box.left : box.right], kind), box)
        for number, box in enumerate(boxes())
    ]
    stitched = tmp_path / "whole.png"
    stitching.stitch(parts[::-1], "PNG", stitched)
    facts = decode(stitched, "PNG")
    assert (facts.width, facts.height) == (WIDTH, HEIGHT)
    assert facts.colors == decode(parts[0].path, "PNG").colors == COLORS.get(kind, "colours that no plain render has")
    assert (stitching._read_png(Part(stitched, WHOLE), kind) == pixels).all()
    again = tmp_path / "again.png"
    stitching.stitch(parts, "PNG", again)
    assert again.read_bytes() == stitched.read_bytes()


@pytest.mark.parametrize("type", [numpy.float16, numpy.float32])
def test_an_exr_is_whole_again(tmp_path: Path, type: Any) -> None:
    made = numpy.random.default_rng(7)
    channels = {name: made.normal(size=(HEIGHT, WIDTH)).astype(type) for name in "ABGR"}
    parts = [
        Part(write_exr(tmp_path / f"{number}.exr", {n: p[b.top : b.bottom, b.left : b.right] for n, p in channels.items()}), b)
        for number, b in enumerate(boxes())
    ]
    stitched = tmp_path / "whole.exr"
    stitching.stitch(parts, "EXR", stitched)
    head, found = stitching._read_exr(Part(stitched, WHOLE))
    assert head["compression"] == OpenEXR.PIZ_COMPRESSION and decode(stitched, "EXR").width == WIDTH
    assert all((found[name] == channels[name]).all() and found[name].dtype == type for name in "ABGR")
    assert list(found) == list("ABGR")
    bits = numpy.dtype(type).itemsize * 8
    assert {decode(item, "EXR").colors for item in (stitched, parts[0].path)} == {tiles.colors_text("RGBA", bits)}
    for other, said in (
        ({"V": channels["R"]}, tiles.colors_text("BW", bits)),
        (dict.fromkeys("BGR", channels["R"]), tiles.colors_text("RGB", bits)),
        (dict.fromkeys("RGZ", channels["R"]), "colours that no plain render has"),
        (dict.fromkeys("BGR", channels["R"].astype(numpy.uint32)), "colours that no plain render has"),
    ):
        assert decode(write_exr(tmp_path / "other.exr", other), "EXR").colors == said


def test_what_cannot_be_stitched_without_loss_is_named(tmp_path: Path) -> None:
    left, right = Box(0, 0, 8, 8), Box(8, 0, 16, 8)
    grey = numpy.zeros((8, 8, 1), numpy.uint8)
    deep = numpy.zeros((8, 8, 6), numpy.uint8)
    first = Part(write_png(tmp_path / "grey.png", grey, (8, 0)), left)
    other = Part(write_png(tmp_path / "deep.png", deep, (16, 2)), right)
    small = Part(write_png(tmp_path / "small.png", grey[:, :7], (8, 0)), right)
    one = Part(write_exr(tmp_path / "one.exr", {"R": numpy.zeros((8, 8), numpy.float16)}), left)
    two = Part(write_exr(tmp_path / "two.exr", {"R": numpy.zeros((8, 8), numpy.float32)}), right)
    target = tmp_path / "whole"
    for parts, format, said in (
        ([first, other], "PNG", "differ in depth"),
        ([first, small], "PNG", "7x8 pixels, not 8x8"),
        ([one, two], "EXR", "differ in their channels"),
        ([first], "JPEG", "tiles of JPEG can't be stitched without loss"),
    ):
        with pytest.raises(StitchImpossible, match=said):
            stitching.stitch(parts, format, target)
