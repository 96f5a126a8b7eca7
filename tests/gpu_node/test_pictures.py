"""Pictures told whole from broken by their structure, compared with libraries that decode them."""

from __future__ import annotations

import struct
import subprocess
from pathlib import Path

import OpenEXR
import pytest
from PIL import Image

from gpu_node.pictures import PictureBroken, measure
from gpu_node.runners.blender.runner import BlenderRunner
from tests.gpu_node.conftest import SMALL, with_settings
from tests.gpu_node.test_render import scene_of

ENDINGS = {"PNG": ".png", "JPEG": ".jpg", "EXR": ".exr"}


@pytest.fixture(scope="module")
def pictures(host: object, scenes: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One real frame in each format."""
    folder = tmp_path_factory.mktemp("pictures")
    runner = BlenderRunner(host, folder, 64 << 20, 4 << 30)  # type: ignore[arg-type]
    try:
        return {name: runner.render(scene_of(scenes["turntable"]), with_settings(width=90, height=70, output_format=name),
                                    SMALL, 1).path for name in ENDINGS}
    finally:
        runner.close_all()


@pytest.mark.parametrize("name", ENDINGS)
def test_a_whole_picture_is_measured(pictures: dict[str, Path], name: str) -> None:
    assert measure(pictures[name], name) == (90, 70)


@pytest.mark.parametrize("name", ENDINGS)
@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.9, 0.999])
def test_a_cut_picture_is_broken(pictures: dict[str, Path], tmp_path: Path, name: str, share: float) -> None:
    data = pictures[name].read_bytes()
    (tmp_path / "cut").write_bytes(data[: int(len(data) * share)])
    with pytest.raises(PictureBroken):
        measure(tmp_path / "cut", name)


@pytest.mark.parametrize("name", ENDINGS)
def test_another_format_is_broken(pictures: dict[str, Path], name: str) -> None:
    other = next(each for each in ENDINGS if each != name)
    with pytest.raises(PictureBroken, match=f"no {name}"):
        measure(pictures[other], name)


def test_an_exr_that_points_outside_itself_is_broken(pictures: dict[str, Path], tmp_path: Path) -> None:
    data = bytearray(pictures["EXR"].read_bytes())
    table = data.index(b"screenWindowWidth")
    table = data.index(b"\0", table + len("screenWindowWidth\0float\0") + 4 + 4 - 1) + 1
    for place in range(table, table + 64):
        struct.pack_into("<Q", data, place, 2**62)
    (tmp_path / "bent").write_bytes(data)
    with pytest.raises(PictureBroken):
        measure(tmp_path / "bent", "EXR")


def test_the_exr_decodes_and_holds_light(pictures: dict[str, Path]) -> None:
    with OpenEXR.File(str(pictures["EXR"])) as image:
        assert len(image.parts) == 1, "one picture, no layers"
        channels = image.channels()
        pixels = next(iter(channels.values())).pixels
    assert set(channels) <= {"RGB", "RGBA"}
    assert pixels.shape[:2] == (70, 90) and float(pixels[..., :3].max()) > 0.2


def test_the_jpeg_is_of_good_quality(pictures: dict[str, Path]) -> None:
    with Image.open(pictures["JPEG"]) as image:
        assert image.mode == "RGB"
        assert max(image.quantization[0]) < 40, "quantised as at a quality of 80 or more"


SAVED = """
import sys, os, bpy
folder = sys.argv[1]
bpy.ops.wm.open_mainfile(filepath=sys.argv[2])
image = bpy.context.scene.render.image_settings
bpy.context.scene.render.film_transparent = True
for name, fields in {
    "png16": {"file_format": "PNG", "color_mode": "RGBA", "color_depth": "16"},
    "grey": {"file_format": "PNG", "color_mode": "BW", "color_depth": "8"},
    "layers": {"file_format": "OPEN_EXR_MULTILAYER", "color_depth": "32"},
    "movie": {"file_format": "FFMPEG"},
    "stereo": {"file_format": "JPEG", "quality": 5},
}.items():
    for field, value in fields.items():
        setattr(image, field, value)
    bpy.context.scene.render.use_multiview = name == "stereo"
    bpy.context.scene.render.use_border = bpy.context.scene.render.use_crop_to_border = True
    bpy.context.scene.render.border_max_x = 0.5
    bpy.ops.wm.save_as_mainfile(filepath=os.path.join(folder, name + ".blend"))
sys.stdout.flush()
os._exit(0)
"""


@pytest.fixture(scope="module")
def saved(blender_python: str, scenes: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("saved")
    made = subprocess.run([blender_python, "-c", SAVED, str(folder), str(scenes["turntable"])], capture_output=True,
                          text=True, timeout=120)
    assert made.returncode == 0, made.stderr[-2000:]
    return folder


@pytest.mark.parametrize("name", ["png16", "grey", "layers", "movie", "stereo"])
@pytest.mark.parametrize("output_format", ["PNG", "JPEG", "EXR", None])
def test_the_scenes_own_picture_settings_break_nothing(
    runner: BlenderRunner, saved: Path, name: str, output_format: str | None
) -> None:
    settings = with_settings(output_format=output_format)
    picture = runner.render(scene_of(saved / f"{name}.blend"), settings, SMALL, 1)
    assert (picture.settings["width"], picture.settings["height"]) == (64, 48), "neither cropped nor doubled"
    assert picture.settings["output_format"] == output_format or output_format is None
    if picture.path.suffix != ".exr":
        with Image.open(picture.path) as image:
            image.load()
            assert image.size == (64, 48)


def test_sixteen_bits_are_kept_where_the_scene_has_them(runner: BlenderRunner, saved: Path) -> None:
    depths = {}
    for name in ("png16", "grey"):
        picture = runner.render(scene_of(saved / f"{name}.blend", name), with_settings(), SMALL, 1)
        depths[name] = picture.path.read_bytes()[24]
    assert depths == {"png16": 16, "grey": 8}
