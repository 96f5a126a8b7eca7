"""Files that are not what they say: each gets a clear error, and the node goes on."""

from __future__ import annotations

import gzip
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from gpu_node.failures import FailureCode, WorkFailed
from gpu_node.runners.blender.runner import BlenderRunner
from gpu_node.runners.blender.scene_file import check_scene, check_version, unpack_zip
from tests.gpu_node.conftest import SMALL, with_settings
from tests.gpu_node.test_render import scene_of

BLEND = b"BLENDER-v405" + b"\0" * 100
LIMIT = 8 << 20


def zstd_bomb() -> bytes:
    return zstandard.ZstdCompressor().compress(BLEND + b"\0" * (64 << 20))


BAD = {
    "nothing": (b"", "0 bytes"),
    "text": (b"hello, I am no scene at all\n" * 50, "does not begin as a .blend"),
    "pointer": (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n", "git-LFS pointer"),
    "zstd_bomb": (zstd_bomb(), "unpacks to more"),
    "gzip_bomb": (gzip.compress(BLEND + b"\0" * (64 << 20)), "unpacks to more"),
    "zstd_broken": (zstandard.ZstdCompressor().compress(bytes(range(256)) * 900)[:-20] + b"x" * 20, "broken|does not begin"),
    "gzip_cut": (gzip.compress(bytes(range(256)) * 900)[:-20], "broken"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_file_that_is_no_scene_is_refused_before_blender_sees_it(tmp_path: Path, name: str) -> None:
    path = tmp_path / "scene.blend"
    path.write_bytes(BAD[name][0])
    with pytest.raises(WorkFailed, match=BAD[name][1]) as failed:
        check_scene(path, LIMIT)
    assert failed.value.code == FailureCode.SCENE_UNREADABLE


@pytest.mark.parametrize("head", [b"BLENDER-v500", b"BLENDER17-01v0500", b"BLENDER_v406"])
def test_a_newer_blender_is_named(head: bytes) -> None:
    with pytest.raises(WorkFailed, match=r"saved by Blender \d\.\d") as failed:
        check_version(head + b"REND")
    assert failed.value.code == FailureCode.SCENE_TOO_NEW


@pytest.mark.parametrize(("head", "version"), [
    (b"BLENDER-v405", (4, 5)), (b"BLENDER_v278", (2, 78)), (b"BLENDER-v306", (3, 6)),
])
def test_versions_this_node_reads(head: bytes, version: tuple[int, int]) -> None:
    assert check_version(head) == version


def test_a_truncated_scene_is_refused_by_blender_and_the_node_goes_on(
    runner: BlenderRunner, scenes: dict[str, Path], tmp_path: Path
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    plain = zstandard.ZstdDecompressor().stream_reader(scenes["turntable"].read_bytes(), read_across_frames=True).readall()
    (folder / "cut.blend").write_bytes(plain[: len(plain) // 2])
    with pytest.raises(WorkFailed) as failed:
        runner.render(scene_of(folder / "cut.blend"), with_settings(), SMALL, 1)
    assert failed.value.code == FailureCode.SCENE_UNREADABLE
    assert runner.render(scene_of(scenes["turntable"], "next"), with_settings(), SMALL, 1).path.exists()


@pytest.mark.parametrize("suffix", [".obj", ".glb", ".stl", ".fbx"])
def test_a_mesh_file_of_rubbish_is_refused(runner: BlenderRunner, tmp_path: Path, suffix: str) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / f"scene{suffix}").write_bytes(b"rubbish \x00\x01\x02" * 40)
    with pytest.raises(WorkFailed) as failed:
        runner.render(scene_of(folder / f"scene{suffix}"), with_settings(), SMALL, 1)
    assert failed.value.code == FailureCode.SCENE_UNREADABLE


def zip_with(write: Callable[[zipfile.ZipFile], None], path: Path) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        write(archive)
    return path


def write_link(archive: zipfile.ZipFile) -> None:
    entry = zipfile.ZipInfo("scene.blend")
    entry.external_attr = (stat.S_IFLNK | 0o777) << 16
    archive.writestr(entry, "/etc/passwd")


@pytest.mark.parametrize(("write", "said"), [
    (lambda archive: archive.writestr("../../scene.blend", BLEND), "points outside"),
    (lambda archive: archive.writestr("/scene.blend", BLEND), "points outside"),
    (write_link, "points outside"),
    (lambda archive: archive.writestr("scene.blend", b"\0" * (64 << 20)), "more than is allowed"),
    (lambda archive: archive.writestr("d" * 300 + "/scene.blend", BLEND), "longer than 255 bytes"),
    (lambda archive: archive.writestr("readme.txt", b"hello"), "holds no scene"),
    (lambda archive: [archive.writestr(f"{name}.blend", BLEND) for name in "ab"], "more than one scene"),
])
def test_zip_tricks_are_refused(tmp_path: Path, write: Callable[[zipfile.ZipFile], None], said: str) -> None:
    path = zip_with(write, tmp_path / "scene.zip")
    with pytest.raises(WorkFailed, match=said) as failed:
        unpack_zip(path, tmp_path / "out", LIMIT)
    assert failed.value.code == FailureCode.SCENE_UNREADABLE
    assert not list(tmp_path.glob("*.blend"))


def test_a_zip_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "scene.zip").write_bytes(b"PK\x03\x04 not really")
    with pytest.raises(WorkFailed, match="can't be read"):
        unpack_zip(tmp_path / "scene.zip", tmp_path / "out", LIMIT)


def test_a_mesh_with_its_materials_comes_out_of_a_zip(runner: BlenderRunner, mesh_files: dict[str, Path], tmp_path: Path) -> None:
    folder = mesh_files[".gltf"].parent

    def write(archive: zipfile.ZipFile) -> None:
        for name in ("monkey.gltf", "monkey.bin"):
            archive.write(folder / name, f"model/{name}")

    scene = unpack_zip(zip_with(write, tmp_path / "scene.zip"), tmp_path / "files", LIMIT)
    assert scene.name == "monkey.gltf"
    picture = runner.render(scene_of(scene), with_settings(), SMALL, 1)
    assert picture.path.stat().st_size > 100


def test_an_extension_in_capitals_is_the_same_format(runner: BlenderRunner, scenes: dict[str, Path], tmp_path: Path) -> None:
    scene = unpack_zip(zip_with(lambda archive: archive.write(scenes["turntable"], "SCENE.BLEND"), tmp_path / "scene.zip"),
                       tmp_path / "files", LIMIT)
    assert runner.render(scene_of(scene), with_settings(), SMALL, 1).path.exists()
    assert runner.inspect(scene_of(scene), SMALL)["active_camera"] == "Camera"
    with pytest.raises(WorkFailed, match="does not begin as a .blend"):
        (tmp_path / "files" / "SCENE.BLEND").write_bytes(b"rubbish" * 20)
        runner.inspect(scene_of(scene), SMALL)
