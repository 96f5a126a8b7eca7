"""Tiles and films out of real Blender: every pixel as the whole picture has it, every frame in the film."""

from __future__ import annotations

import io
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pytest
from PIL import Image

from app.formats import film, stitching
from app.formats.film import FilmFacts
from app.formats.image import decode
from app.formats.stitching import Part
from app.values import tiles
from gpu_node.agent import Agent
from gpu_node.failures import FailureCode, WorkFailed
from gpu_node.runners.blender.runner import BlenderRunner
from tests.gpu_node.conftest import SMALL, with_settings
from tests.gpu_node.fake_hub import FakeHub
from tests.gpu_node.test_render import scene_of

WIDTH, HEIGHT, COLUMNS, ROWS = 67, 45, 3, 2
# As Blender's own new file is, but for what looks beyond a pixel: dithered, noisy, with a sky that is seen through.
SCENE = """import bpy, sys, json
asked = json.loads(sys.argv[2])
scene = bpy.context.scene
scene.render.engine = "CYCLES"
scene.cycles.use_denoising, scene.cycles.samples = asked.get("denoise", False), 3
scene.render.film_transparent = asked.get("transparent", True)
scene.render.use_border, scene.render.border_max_x = True, 0.3
scene.camera.data.dof.use_dof = True
scene.render.image_settings.file_format = asked.get("format", "PNG")
scene.render.image_settings.color_mode = asked.get("mode", "RGBA")
scene.render.image_settings.color_depth = asked.get("depth", "8")
if asked.get("glare"):
    scene.use_nodes = True
    scene.node_tree.nodes.new("CompositorNodeGlare")
bpy.ops.wm.save_as_mainfile(filepath=sys.argv[1])"""


def save_scene(python: str, folder: Path, **asked: Any) -> Path:
    (folder / "in").mkdir(exist_ok=True)
    path = folder / "in" / f"{abs(hash(json.dumps(asked)))}.blend"
    subprocess.run([python, "-c", SCENE, str(path), json.dumps(asked)], check=True, stdout=subprocess.DEVNULL, timeout=120)
    return path


def in_tiles(runner: BlenderRunner, scene: Path, settings: dict[str, Any], target: Path) -> list[dict[str, Any]]:
    """The picture in tiles, stitched as the hub does it; what each tile was announced as."""
    parts, said = [], []
    for row in range(ROWS):
        for column in range(COLUMNS):
            tile = {"column": column, "row": row, "columns": COLUMNS, "rows": ROWS}
            made = runner.render(scene_of(scene), settings, SMALL, 1, tile=tile)
            parts.append(Part(made.path, tiles.box(tile, settings["width"], settings["height"])))
            said.append(made.settings)
    stitching.stitch(parts, settings["output_format"], target)
    return said


def pixels_of(path: Path, whole: Path) -> tuple[Any, Any]:
    """Both pictures' pixels, with all their bits."""
    if path.suffix == ".exr":
        box = tiles.Box(0, 0, WIDTH, HEIGHT)
        both = [stitching._read_exr(Part(item, box))[1] for item in (path, whole)]
        assert [list(item) for item in both] == [list(both[0])] * 2
        return tuple(numpy.stack(list(item.values())) for item in both)  # type: ignore[return-value]
    kinds = {stitching._png_kind(item) for item in (path, whole)}
    assert len(kinds) == 1
    box = tiles.Box(0, 0, WIDTH, HEIGHT)
    return tuple(stitching._read_png(Part(item, box), next(iter(kinds))) for item in (path, whole))  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("output_format", "depth", "mode"),
    [
        ("PNG", "8", "RGBA"),
        ("PNG", "8", "BW"),
        ("PNG", "16", "RGBA"),
        ("PNG", "16", "RGB"),
        ("EXR", "16", "RGBA"),
        ("EXR", "32", "RGB"),
    ],
)
def test_stitched_tiles_are_the_whole_picture(
    runner: BlenderRunner, blender_python: str, tmp_path: Path, output_format: str, depth: str, mode: str
) -> None:
    own_format = {"PNG": "PNG", "EXR": "OPEN_EXR"}[output_format]
    scene = save_scene(blender_python, tmp_path, format=own_format, depth=depth, mode=mode, transparent=mode == "RGBA")
    settings = with_settings(width=WIDTH, height=HEIGHT, samples=3, output_format=output_format)
    colors = tiles.colors(runner.inspect(scene_of(scene), SMALL), output_format)
    assert colors == {"color_mode": mode, "color_depth": int(depth)}
    stitched = tmp_path / f"stitched.{output_format.lower()}"
    said = in_tiles(runner, scene, settings | colors, stitched)
    assert decode(stitched, output_format).colors == tiles.colors_text(mode, int(depth))  # type: ignore[arg-type]
    assert {(item["width"], item["height"]) for item in said} == {(22, 22), (23, 22), (22, 23), (23, 23)}
    whole = runner.render(scene_of(scene), settings, SMALL, 1)
    assert runner.loads == 2 and (whole.settings["width"], whole.settings["height"]) == (WIDTH, HEIGHT)
    ours, theirs = pixels_of(stitched, whole.path)
    assert ours.dtype == theirs.dtype and ours.shape == theirs.shape
    assert (ours == theirs).all(), f"{(ours != theirs).sum()} values differ"
    assert ours.std() > 0, "there is something to see"
    if mode == "BW":
        tile = {"column": 0, "row": 0, "columns": 2, "rows": 2}
        other = runner.render(scene_of(scene), settings | {"color_mode": "RGBA", "color_depth": 16}, SMALL, 1, tile=tile)
        assert decode(other.path, "PNG").colors == "RGBA of 16 bits", "the settings decide, not the scene"


@pytest.mark.parametrize(
    ("asked", "settings", "word"),
    [
        ({"denoise": True}, {}, "denoise"),
        ({"glare": True}, {}, "compositing"),
        ({}, {"samples": 96}, "adaptive"),
        ({}, {"output_format": "JPEG"}, "JPEG"),
    ],
)
def test_what_would_differ_from_the_whole_is_refused(
    runner: BlenderRunner, blender_python: str, tmp_path: Path, asked: dict[str, Any], settings: dict[str, Any], word: str
) -> None:
    scene = save_scene(blender_python, tmp_path, **asked)
    tile = {"column": 0, "row": 0, "columns": 2, "rows": 2}
    with pytest.raises(WorkFailed, match=word) as failed:
        runner.render(scene_of(scene), with_settings(**settings), SMALL, 1, tile=tile)
    assert failed.value.code == FailureCode.TILES_UNSUPPORTED
    report = runner.inspect(scene_of(scene), SMALL)
    assert report["adaptive_from_samples"] == 64
    assert word in (*report["whole_picture_steps"], "JPEG")
    asked_off = with_settings(**{"denoise": False, "adaptive_sampling": False, **settings})
    if word in ("denoise", "adaptive"):
        assert runner.render(scene_of(scene), asked_off, SMALL, 1, tile=tile).path.exists()


@pytest.mark.parametrize("fps", [24, 12.5, 29.97])
def test_a_film_has_every_frame_at_its_rate(
    runner: BlenderRunner, blender_python: str, tmp_path: Path, fps: float
) -> None:
    folder = tmp_path / "frames"
    folder.mkdir()
    for number in range(1, 8):
        written = io.BytesIO()
        Image.new("RGB", (64, 48), (30 * number, 255 - 30 * number, 128)).save(written, "PNG")
        (folder / f"{number:06d}.png").write_bytes(written.getvalue())
    path = runner.join(folder, 7, {"width": 64, "height": 48, "fps": fps}, SMALL)
    found = film.read(path)
    assert (found.width, found.height, found.frames) == (64, 48, 7)
    assert found.fps == pytest.approx(fps)
    assert not list(runner._work_folder.glob("child-*")), "the child and its folder are gone"
    seen = json.loads(subprocess.run([blender_python, "-c", PLAY, str(path)], capture_output=True, check=True, text=True,
                                     timeout=120).stdout.splitlines()[-1])
    assert seen["frames"] == 7 and seen["fps"] == pytest.approx(fps, rel=1e-4)
    for number, (red, green, blue) in enumerate(seen["colours"], 1):
        assert abs(red - 30 * number) < 8 and abs(green - (255 - 30 * number)) < 8 and abs(blue - 128) < 8


def test_an_agent_renders_tiles_and_joins_films(
    hub: FakeHub, start_agent: Callable[..., Agent], scenes: dict[str, Path], tmp_path: Path
) -> None:
    still = hub.add_tiles(scenes["turntable"], 5, 2, 1, settings={"width": 33})
    frames = []
    for number in range(5):
        written = io.BytesIO()
        Image.new("RGB", (64, 48), (40 * number, 0, 0)).save(written, "PNG")
        frames.append(written.getvalue())
    video = {"format": "MP4", "fps": 10, "frames": 5}
    good, short = hub.add_film(frames, {"video": video}), hub.add_film(frames[:4], {"video": video})
    torn = hub.add_film(frames, {"video": video})
    hub.films[torn][3]["sha256"] = "0" * 64
    start_agent()
    hub.wait(lambda: all(unit.state in ("completed", "failed") for unit in hub.units), 120)
    sizes = [(unit.result["settings"]["width"], unit.result["settings"]["height"]) for unit in hub.of(still) if unit.result]
    assert sorted(sizes) == [(16, 48), (17, 48)]
    (joined,) = hub.of(good)
    assert joined.result is not None and joined.result["content_type"] == "video/mp4"
    path = tmp_path / "film.mp4"
    path.write_bytes(hub.files[f"/files/result/{joined.attempt_id}"])
    assert film.read(path) == FilmFacts(64, 48, 5, 10.0)
    assert [hub.of(job_id)[0].failures[0]["code"] for job_id in (short, torn)] == ["INPUT_UNAVAILABLE", "INPUT_CORRUPT"]
    left = [found for found in tmp_path.rglob("films/*") if "node-" in str(found)]
    assert left == [], "a film's frames go with it"


# The film played back frame by frame: what its middle shows.
PLAY = """import bpy, json, os, sys, tempfile
clip = bpy.data.movieclips.load(sys.argv[1])
bpy.ops.wm.read_factory_settings(use_empty=True)
clip = bpy.data.movieclips.load(sys.argv[1])
scene = bpy.context.scene
scene.render.resolution_x, scene.render.resolution_y, scene.render.resolution_percentage = clip.size[0], clip.size[1], 100
scene.view_settings.view_transform, scene.render.dither_intensity = "Standard", 0
scene.sequence_editor_create().strips.new_movie(name="film", filepath=sys.argv[1], channel=1, frame_start=1)
colours = []
for number in range(1, clip.frame_duration + 1):
    scene.frame_set(number)
    scene.render.filepath = os.path.join(tempfile.gettempdir(), "played.png")
    bpy.ops.render.render(write_still=True)
    image = bpy.data.images.load(scene.render.filepath, check_existing=False)
    middle = 4 * (image.size[0] * (image.size[1] // 2) + image.size[0] // 2)
    colours.append([round(value * 255) for value in image.pixels[middle:middle + 3]])
print()
print(json.dumps({"frames": clip.frame_duration, "fps": clip.fps, "colours": colours}))
sys.stdout.flush()
os._exit(0)"""
