"""Real frames out of real Blender: the scene loaded once, the sizes and formats as asked, imports lit and in view."""

from __future__ import annotations

import subprocess
import time
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from gpu_node.failures import FailureCode, WorkFailed, WorkStopped
from gpu_node.runners.blender.runner import BlenderRunner, Host, Scene
from gpu_node.sandbox import Box
from gpu_node.session import Limits, Session
from tests.gpu_node.conftest import SMALL, with_settings


def scene_of(path: Path, job_id: str = "job") -> Scene:
    return Scene(job_id, path, path.parent)


def test_a_scene_is_loaded_once_for_all_its_frames(runner: BlenderRunner, scenes: dict[str, Path]) -> None:
    pictures = [runner.render(scene_of(scenes["turntable"]), with_settings(), SMALL, frame) for frame in (1, 2, -3)]
    assert runner.loads == 1
    assert [picture.path.name.split(".")[0] for picture in pictures] == ["frame_0001", "frame_0002", "frame_-003"]
    assert len({picture.path.read_bytes() for picture in pictures}) == 3, "an animation's frames differ"
    assert pictures[0].device == "CPU" and not pictures[0].fell_back
    assert pictures[0].peak_memory_bytes and pictures[0].peak_memory_bytes > 50 << 20
    assert not list(runner._work_folder.rglob("*.part*"))


@pytest.mark.parametrize(("output_format", "suffix"), [("PNG", ".png"), ("JPEG", ".jpg"), ("EXR", ".exr")])
def test_format_and_size_are_those_asked_for(
    runner: BlenderRunner, scenes: dict[str, Path], output_format: str, suffix: str
) -> None:
    settings = with_settings(width=80, height=36, output_format=output_format)
    picture = runner.render(scene_of(scenes["turntable"]), settings, SMALL, 5)
    assert picture.path.suffix == suffix
    assert picture.settings == {"width": 80, "height": 36, "samples": 1, "engine": "cycles",
                                "output_format": output_format}
    if output_format == "EXR":
        assert picture.path.read_bytes()[:4] == b"\x76\x2f\x31\x01"
        return
    with Image.open(picture.path) as image:
        assert (image.size, image.format) == ((80, 36), output_format)


def test_a_frame_rendered_again_leaves_the_earlier_picture_alone(runner: BlenderRunner, scenes: dict[str, Path]) -> None:
    first, again = (runner.render(scene_of(scenes["turntable"]), with_settings(), SMALL, 1) for _ in range(2))
    assert first.path != again.path
    first.path.unlink()  # as the delivery of the earlier attempt does when it is through
    assert again.path.stat().st_size > 100


def test_what_is_not_asked_stays_as_the_scene_has_it(runner: BlenderRunner, scenes: dict[str, Path]) -> None:
    settings = dict.fromkeys(("width", "height", "samples", "engine", "output_format", "camera"))
    picture = runner.render(scene_of(scenes["textured_missing"]), settings, SMALL, 1)
    assert picture.settings == {"width": 64, "height": 48, "samples": 4, "engine": "cycles", "output_format": "PNG"}


def test_a_view_layers_own_samples_do_not_replace_those_asked_for(
    runner: BlenderRunner, blender_python: str, tmp_path: Path
) -> None:
    code = """import bpy, sys
scene = bpy.context.scene
scene.render.engine, scene.cycles.use_adaptive_sampling, scene.view_layers[0].samples = "CYCLES", False, 1
bpy.ops.wm.save_as_mainfile(filepath=sys.argv[1])"""
    (tmp_path / "in").mkdir()
    subprocess.run([blender_python, "-c", code, str(tmp_path / "in" / "layer.blend")], check=True, stdout=subprocess.DEVNULL)
    scene = tmp_path / "in" / "layer.blend"
    one, many = (runner.render(scene_of(scene, str(samples)), with_settings(samples=samples), SMALL, 1) for samples in (1, 64))
    with Image.open(one.path) as noisy, Image.open(many.path) as clean:
        assert noisy.tobytes() != clean.tobytes()


def test_missing_textures_are_named(runner: BlenderRunner, scenes: dict[str, Path]) -> None:
    picture = runner.render(scene_of(scenes["textured_missing"]), with_settings(), SMALL, 1)
    assert picture.warnings == ["missing file: //textures/wood.png"]


@pytest.mark.parametrize("name", ["suz.obj", "suz.glb"])
def test_imports_get_a_camera_that_sees_them_and_a_light(runner: BlenderRunner, other_scenes: Path, name: str) -> None:
    picture = runner.render(scene_of(other_scenes / name), with_settings(samples=4), SMALL, 1)
    with Image.open(picture.path) as image:
        darkest, brightest = image.convert("L").getextrema()
    assert brightest - darkest > 30, "something stands out from the sky"


@pytest.mark.parametrize("suffix", [".stl", ".obj", ".gltf", ".fbx"])
def test_every_mesh_format_is_read(runner: BlenderRunner, mesh_files: dict[str, Path], suffix: str) -> None:
    picture = runner.render(scene_of(mesh_files[suffix]), with_settings(), SMALL, 1)
    assert picture.path.stat().st_size > 100


def test_the_named_camera_is_used_and_an_unknown_one_is_refused(runner: BlenderRunner, scenes: dict[str, Path]) -> None:
    assert runner.render(scene_of(scenes["turntable"]), with_settings(camera="Camera"), SMALL, 1).path.exists()
    with pytest.raises(WorkFailed, match="no camera named 'Left'; its cameras: Camera") as failed:
        runner.render(scene_of(scenes["turntable"]), with_settings(camera="Left"), SMALL, 1)
    assert failed.value.code == FailureCode.NO_CAMERA


def test_a_scene_without_camera_is_refused(runner: BlenderRunner, scenes: dict[str, Path]) -> None:
    with pytest.raises(WorkFailed) as failed:
        runner.render(scene_of(scenes["no_camera"]), with_settings(), SMALL, 1)
    assert failed.value.code == FailureCode.NO_CAMERA


def test_eevee_is_refused_before_anything_starts(runner: BlenderRunner, scenes: dict[str, Path]) -> None:
    with pytest.raises(WorkFailed) as failed:
        runner.render(scene_of(scenes["turntable"]), with_settings(engine="eevee"), SMALL, 1)
    assert failed.value.code == FailureCode.ENGINE_UNSUPPORTED
    assert runner.job_id is None


def test_a_frame_out_of_range_is_refused_and_the_child_lives_on(runner: BlenderRunner, scenes: dict[str, Path]) -> None:
    with pytest.raises(WorkFailed) as failed:
        runner.render(scene_of(scenes["turntable"]), with_settings(), SMALL, 10**9)
    assert failed.value.code == FailureCode.NO_SUCH_FRAME
    runner.render(scene_of(scenes["turntable"]), with_settings(), SMALL, 1)
    assert runner.loads == 1


@pytest.mark.parametrize("sandbox", ["bubblewrap", "none"])
def test_nothing_a_hostile_scene_tries_reaches_the_host(
    host: Host, runner: BlenderRunner, scenes: dict[str, Path], sandbox: str
) -> None:
    if sandbox == "bubblewrap" and host.sandbox == "none":
        pytest.skip("bubblewrap does not work on this machine")
    runner._host = replace(host, sandbox=sandbox)
    picture = runner.render(scene_of(scenes["scripted"]), with_settings(), SMALL, 1)
    assert picture.path.exists()
    for folder in (scenes["scripted"].parent, scenes["scripted"].parent.parent, picture.path.parent.parent):
        assert not list(folder.glob("**/PWNED*"))
    said = " ".join(picture.warnings)
    assert "escape.py" in said and "driver" in said and "file output node" in said


def test_an_inspection_reports_what_there_is(runner: BlenderRunner, scenes: dict[str, Path]) -> None:
    report = runner.inspect(scene_of(scenes["scripted"]), SMALL)
    assert (report["scripts"], report["drivers"], report["output_nodes"]) == (["escape.py"], 1, 1)
    assert report["active_camera"] == "Camera" and report["blender_version"].startswith("4.5")
    turntable = runner.inspect(scene_of(scenes["turntable"]), SMALL)
    assert (turntable["frame_start"], turntable["frame_end"], turntable["width"]) == (1, 120, 320)


def test_missing_libraries_are_reported(runner: BlenderRunner, other_scenes: Path) -> None:
    report = runner.inspect(scene_of(other_scenes / "02_suzanne.blend"), SMALL)
    assert len(report["libraries"]) == 1 and len(report["missing_files"]) == 5


def test_a_frame_over_its_time_is_stopped(runner: BlenderRunner, scenes: dict[str, Path]) -> None:
    limits = Limits(max_seconds=2.5)
    with pytest.raises(WorkFailed) as failed:
        runner.render(scene_of(scenes["studio"]), with_settings(samples=100_000, width=640, height=480), limits, 1)
    assert failed.value.code == FailureCode.TIME_LIMIT
    assert runner.job_id is None
    assert not list(runner._work_folder.rglob("*.part*"))


def test_a_picture_over_the_limit_is_refused(runner: BlenderRunner, scenes: dict[str, Path]) -> None:
    own_size = with_settings(width=None, height=None)
    for settings in (with_settings(width=100_000, height=100_000), own_size):
        with pytest.raises(WorkFailed) as failed:
            runner.render(scene_of(scenes["turntable"]), settings, Limits(max_pixels=320 * 180 - 1), 1)
        assert failed.value.code == FailureCode.PICTURE_LIMIT


def test_an_output_over_the_limit_is_not_delivered(runner: BlenderRunner, scenes: dict[str, Path]) -> None:
    with pytest.raises(WorkFailed) as failed:
        runner.render(scene_of(scenes["turntable"]), with_settings(), Limits(max_output_bytes=500), 1)
    assert failed.value.code == FailureCode.OUTPUT_LIMIT


def test_memory_over_the_limit_ends_the_child(runner: BlenderRunner, scenes: dict[str, Path]) -> None:
    with pytest.raises(WorkFailed) as failed:
        runner.render(scene_of(scenes["turntable"]), with_settings(), Limits(max_memory_bytes=150 << 20), 1)
    assert failed.value.code == FailureCode.OUT_OF_MEMORY


def test_work_that_is_not_wanted_any_more_stops(runner: BlenderRunner, scenes: dict[str, Path]) -> None:
    stop_at = time.monotonic() + 2
    with pytest.raises(WorkStopped):
        runner.render(scene_of(scenes["studio"]), with_settings(samples=100_000, width=640, height=480), SMALL, 1,
                      stopped=lambda: time.monotonic() > stop_at)
    assert runner.job_id is None


def test_the_sandbox_has_no_network_and_none_of_the_hosts_files(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ENROL_KEY", "secret")
    if host.sandbox == "none":
        pytest.skip("bubblewrap does not work on this machine")
    for name in ("runner", "in", "out"):
        (tmp_path / name).mkdir()
    (tmp_path / "runner" / "child.py").write_text(
        "import json, os, socket\n"
        f"tried = {{'passwd': os.path.exists('/etc/passwd'), 'home': os.path.exists({str(tmp_path)!r}),"
        " 'secret': 'ENROL_KEY' in os.environ, 'uid': os.getuid(), 'links': [n for _, n in socket.if_nameindex()]}\n"
        "print(json.dumps({'event': 'ready', **tried}), flush=True)\n")
    box = Box("bubblewrap", tmp_path / "in", tmp_path / "out", tmp_path / "runner", None)
    session = Session(box, host.python, SMALL, tmp_path / "log", limit_address_space=True)
    try:
        seen = session.wait_for("ready", 20)
    finally:
        session.close()
    assert (seen["passwd"], seen["home"], seen["secret"], seen["uid"]) == (False, False, False, 65534)
    assert seen["links"] == ["lo"]
