"""Previews that can't be had without their watermark: subtracted, divided out, averaged away, or pieced together."""

import io
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import OpenEXR
import pytest
from PIL import Image, ImageDraw

from app.errors import TooLarge
from app.formats import watermark
from app.formats.watermark import Mark

SECRET = b"a job's secret"
Pixels = np.ndarray


def scene(shift: int = 0) -> Image.Image:
    """Something with slopes, edges and a fine grain; `shift` moves one thing in it by so many pixels."""
    picture = Image.new("RGB", (960, 540))
    pen = ImageDraw.Draw(picture)
    for y in range(540):
        pen.line([(0, y), (960, y)], (40 + y * 150 // 540, 90 + y * 90 // 540, 200 - y * 120 // 540))
    pen.ellipse([300 + shift, 150, 600 + shift, 450], (220, 120, 40))
    pen.rectangle([650, 300, 800, 500], (40, 160, 80))
    grain = Image.frombytes("L", (240, 135), random.Random(1).randbytes(240 * 135)).resize(picture.size)
    return Image.blend(picture, Image.merge("RGB", (grain,) * 3), 0.35)


def flat(value: int) -> Image.Image:
    return Image.new("RGB", (960, 540), (value,) * 3)


def pixels(picture: Image.Image) -> Pixels:
    return np.asarray(picture, dtype=np.float64)


CLEAN = watermark.shrink(scene(), 512)
Draw = Callable[[Image.Image, int], Pixels]


def preview(picture: Image.Image, frame: int) -> Pixels:
    return pixels(watermark.apply(watermark.shrink(picture, 512), Mark(SECRET, frame)))


def plain_logo(picture: Image.Image, frame: int) -> Pixels:
    """How not to do it: half of a logo over half of the picture."""
    small = watermark.shrink(picture, 512)
    mask = watermark._letters(small.size, Mark(SECRET, 0).of_job()).point(lambda value: value // 2)
    return pixels(Image.composite(Image.new("RGB", small.size, (200, 30, 30)), small, mask))


def undo(draw: Draw) -> Pixels:
    """With the same mark over black and over white, what lies below follows by a division: all of it, if it was laid over."""
    black, white = draw(flat(0), 2), draw(flat(255), 3)
    through = (white - black) / 255
    clear = np.where(np.abs(through) > 0.05, (draw(scene(), 1) - black) / np.where(np.abs(through) > 0.05, through, 1), black)
    return np.clip(clear, 0, 255)


def subtract(draw: Draw) -> Pixels:
    """What the mark adds to a grey frame is taken off."""
    return np.clip(draw(scene(), 1) - (draw(flat(128), 2) - 128), 0, 255)


def difference_of_near_equal(draw: Draw) -> Pixels:
    """Two frames that hardly differ: their difference is the marks' alone, and is taken off in the strength that helps most."""
    one, two = draw(scene(0), 1), draw(scene(2), 2)
    tries = [np.clip(one + strength * (one - two), 0, 255) for strength in (-1, -0.5, 0.5, 1)]
    return max(tries, key=lambda found: likeness(found, COVERED))


def stack(fold: Callable[..., Pixels]) -> Callable[[Draw], Pixels]:
    """Eight frames of nearly one picture, folded into one."""
    return lambda draw: fold(np.stack([draw(scene(number % 3), number) for number in range(1, 9)]), axis=0)


COVERED = np.asarray(watermark._letters(CLEAN.size, Mark(SECRET, 1).of_job())) > 250


def detail(found: Pixels) -> Pixels:
    """What of a picture is finer than a few pixels."""
    grey = found.mean(axis=2)
    around = np.lib.stride_tricks.sliding_window_view(np.pad(grey, 4, "edge"), (9, 9))
    return grey - around.mean(axis=(2, 3))


def likeness(found: Pixels, where: Pixels) -> float:
    """How alike the details are to those of the clean small picture, at these pixels: 1 for the same, 0 for none of them."""
    return abs(float(np.corrcoef(detail(found)[where], detail(pixels(CLEAN))[where])[0, 1]))


ATTACKS = {
    "undo": undo, "subtract": subtract, "difference": difference_of_near_equal, "mean": stack(np.mean),
    "median": stack(np.median), "darkest": stack(np.min), "lightest": stack(np.max),
}  # fmt: skip


@pytest.mark.parametrize("name", ATTACKS)
def test_nothing_that_is_known_of_the_mark_brings_back_what_is_below(name: str) -> None:
    assert 0.25 < COVERED.mean() < 0.6
    found = ATTACKS[name](preview)
    assert likeness(found, COVERED) < 0.2
    assert name != "mean" or likeness(found, ~COVERED) > 0.5, "between the marks it is the picture"


def test_the_attacks_are_real_ones() -> None:
    """They take a mark that is laid over off to the last shade, and many frames tell of what is below one that wanders."""
    assert likeness(undo(plain_logo), COVERED) > 0.95 < likeness(subtract(plain_logo), COVERED)
    wandering = np.median(np.stack([pixels(watermark.apply(CLEAN, Mark(bytes([number]), 1))) for number in range(1, 9)]), axis=0)
    assert likeness(wandering, COVERED) > 0.6


def test_a_frame_has_one_preview_for_ever_and_every_frame_and_job_its_own() -> None:
    first = preview(scene(), 1)
    assert (preview(scene(), 1) == first).all()
    others = [preview(scene(), 2), pixels(watermark.apply(CLEAN, Mark(b"another job's", 1)))]
    for other in others:
        assert (np.abs(other - first).mean(axis=2) > 8).mean() > 0.3
    core = [np.asarray(watermark._letters(CLEAN.size, Mark(SECRET, frame).of_job())) for frame in (1, 2)]
    assert (core[0] == core[1]).all(), "a point that does not move is below the marks in every frame"


MODES = [("RGB", (64, 48)), ("RGBA", (1, 1)), ("I;16", (40, 30)), ("L", (3000, 2)), ("P", (9, 700))]


@pytest.mark.parametrize(("mode", "size"), MODES)
def test_every_picture_that_is_accepted_has_a_preview(tmp_path: Path, mode: str, size: tuple[int, int]) -> None:
    path = tmp_path / "frame.png"
    Image.new(mode, size).save(path)
    with Image.open(io.BytesIO(watermark.draw(path, "PNG", Mark(SECRET, -3), 512, 10**6))) as made:
        made.load()
        assert made.format == "JPEG" and max(made.size) <= min(512, max(16, max(size) // 2))


def test_a_float_picture_is_shown_as_a_screen_would(tmp_path: Path) -> None:
    path = tmp_path / "frame.exr"
    light = np.full((40, 60, 4), 0.5, dtype=np.float32)
    light[:5], light[5:10] = np.nan, np.inf
    with OpenEXR.File({"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}, {"RGBA": light}) as made:
        made.write(str(path))
    shown = np.asarray(watermark.read(path, "EXR", 10**6))
    assert shown.shape == (40, 60, 3) and (shown[20, 20] == 186).all() and (shown[0] == 0).all() and (shown[7] == 255).all()
    assert watermark.draw(path, "EXR", Mark(SECRET, 1), 512, 10**6)[:2] == b"\xff\xd8"


def test_of_many_layers_the_finished_picture_is_shown(tmp_path: Path) -> None:
    path = tmp_path / "layers.exr"
    plain = np.zeros((8, 8), dtype=np.float32)
    channels = {f"{layer}.{name}": plain + light for layer, names, light in (
        ("View.Depth", "Z", 9), ("View.Combined", "RGB", 1), ("View.DiffCol", "RGB", 0)) for name in names}  # fmt: skip
    with OpenEXR.File({"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}, channels) as made:
        made.write(str(path))
    assert (np.asarray(watermark.read(path, "EXR", 10**6)) == 255).all()


def test_a_picture_that_is_too_large_is_not_decoded(tmp_path: Path) -> None:
    path = tmp_path / "frame.png"
    Image.new("1", (4000, 4000)).save(path)
    with pytest.raises(TooLarge):
        watermark.draw(path, "PNG", Mark(SECRET, 1), 512, 10**6)
