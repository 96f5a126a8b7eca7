"""Mesh files have neither camera nor light of their own: what the node adds must show the whole of it, well lit."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
from PIL import Image, ImageChops

from gpu_node.failures import FailureCode, WorkFailed
from gpu_node.runners.blender.runner import BlenderRunner
from gpu_node.runners.blender.scene_file import unpack_zip
from tests.gpu_node.conftest import SMALL, with_settings
from tests.gpu_node.test_render import scene_of

CORNERS = [(x, y, z) for z in (0, 1) for x, y in ((0, 0), (1, 0), (1, 1), (0, 1))]
FACES = "f 1 4 3 2\nf 5 6 7 8\nf 1 2 6 5\nf 2 3 7 6\nf 3 4 8 7\nf 4 1 5 8\n"
VIEW = with_settings(width=96, height=64, samples=8)


def box(size: tuple[float, float, float], place: tuple[float, float, float] = (0, 0, 0), coloured: bool = False) -> str:
    """A box in .obj form; coloured: each corner red, green or blue by where it is."""
    lines = []
    for corner in CORNERS:
        point = [place[axis] + corner[axis] * size[axis] for axis in range(3)]
        lines.append("v " + " ".join(map(str, point)) + (" " + " ".join(map(str, corner)) if coloured else ""))
    return "\n".join(lines) + "\n" + FACES


def render(runner: BlenderRunner, path: Path) -> Image.Image:
    picture = runner.render(scene_of(path, path.name), VIEW, SMALL, 1)
    with Image.open(picture.path) as image:
        return image.convert("RGB")


def extent(image: Image.Image) -> tuple[float, float]:
    """The shares of the picture's width and height that differ from its top left corner's sky."""
    sky = Image.new("RGB", image.size, image.getpixel((0, 0)))
    seen = ImageChops.difference(image, sky).convert("L").point(lambda value: 255 if value > 16 else 0).getbbox()
    assert seen is not None, "nothing stands out from the sky"
    assert 0 < seen[0] and 0 < seen[1] and seen[2] < image.width and seen[3] < image.height, f"it is cut off: {seen}"
    return (seen[2] - seen[0]) / image.width, (seen[3] - seen[1]) / image.height


@pytest.mark.parametrize(("size", "place"), [
    ((1, 1, 1), (0, 0, 0)), ((1e6, 1e6, 1e6), (0, 0, 0)), ((0.001, 0.001, 0.001), (0, 0, 0)), ((2, 2, 2), (500, -300, 90)),
    ((0.2, 0.2, 9), (0, 0, 0)), ((9, 0.4, 0.4), (0, 0, 0)),
])
def test_the_camera_fits_whatever_the_size_and_place(
    runner: BlenderRunner, tmp_path: Path, size: tuple[float, float, float], place: tuple[float, float, float]
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "scene.obj").write_text(box(size, place))
    assert max(extent(render(runner, folder / "scene.obj"))) > 0.6


def test_vertex_colours_are_shown(runner: BlenderRunner, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "scene.obj").write_text(box((1, 1, 1), coloured=True))
    colours = [pixel for _, pixel in render(runner, folder / "scene.obj").getcolors(96 * 64) or []]
    assert max(max(pixel) - min(pixel) for pixel in colours) > 60, "something is coloured, not grey"


def test_a_texture_in_a_zip_with_chinese_names_is_found(runner: BlenderRunner, tmp_path: Path) -> None:
    Image.new("RGB", (8, 8), (220, 20, 20)).save(tmp_path / "red.png")
    with zipfile.ZipFile(tmp_path / "scene.zip", "w") as archive:
        archive.writestr("模型 🙂/立方体.obj", "mtllib 材质.mtl\nusemtl M\nvt 0.5 0.5\n" + box((1, 1, 1)).replace("f 1 4 3 2",
                         "f 1/1 4/1 3/1 2/1").replace("f 5 6 7 8", "f 5/1 6/1 7/1 8/1"))
        archive.writestr("模型 🙂/材质.mtl", "newmtl M\nKd 1 1 1\nmap_Kd 贴图.png\n")
        archive.write(tmp_path / "red.png", "模型 🙂/贴图.png")
    scene = unpack_zip(tmp_path / "scene.zip", tmp_path / "files", 1 << 20)
    colours = [pixel for _, pixel in render(runner, scene).getcolors(96 * 64) or []]
    assert any(red > 2 * max(green, blue) for red, green, blue in colours), "the texture's red is in the picture"


@pytest.mark.parametrize("text", ["# nothing\n", "v 0 0 0\nv 1 0 0\nv 0 1 0\n"])
def test_a_file_with_nothing_to_render_is_refused(runner: BlenderRunner, tmp_path: Path, text: str) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "scene.obj").write_text(text)
    with pytest.raises(WorkFailed, match="nothing to render") as failed:
        runner.render(scene_of(folder / "scene.obj"), VIEW, SMALL, 1)
    assert failed.value.code == FailureCode.SCENE_UNREADABLE
