"""What a scene lacks is told before anybody pays for a picture of it; nothing in the file is run for that."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from gpu_node.agent import Agent
from gpu_node.failures import FailureCode, WorkFailed
from gpu_node.runners.blender.runner import BlenderRunner
from tests.gpu_node.conftest import SMALL, with_settings
from tests.gpu_node.fake_hub import FakeHub
from tests.gpu_node.test_agent import all_in
from tests.gpu_node.test_render import scene_of

FIELDS = {"cameras", "active_camera", "frame_start", "frame_end", "fps", "engine", "width", "height", "samples",
          "output_format", "missing_files", "libraries", "scripts", "drivers", "output_nodes", "blender_version", "objects",
          "estimated_memory_bytes", "whole_picture_steps", "adaptive_from_samples", "color_mode", "color_depth", "warnings"}

AWKWARD = """
import os, sys, bpy
folder = sys.argv[1]

def fresh():
    bpy.ops.wm.read_factory_settings(use_empty=True)
    bpy.ops.mesh.primitive_cube_add()
    return bpy.context.scene

def save(name):
    bpy.ops.wm.save_as_mainfile(filepath=os.path.join(folder, name + ".blend"))

# A collection linked from a library, which is left behind.
fresh()
bpy.context.object.name = "Chair"
save("library")
scene = fresh()
with bpy.data.libraries.load(os.path.join(folder, "library.blend"), link=True, relative=True) as (source, target):
    target.objects = ["Chair"]
scene.collection.objects.link(target.objects[0])
save("linked")
os.remove(os.path.join(folder, "library.blend"))

# Two cameras, drivers on an object and inside a material.
scene = fresh()
cube = bpy.context.object
for name in ("Left", "Right"):
    scene.collection.objects.link(bpy.data.objects.new(name, bpy.data.cameras.new(name)))
scene.camera = bpy.data.objects["Right"]
cube.driver_add("location", 0).driver.expression = "sin(frame)"
cloth = bpy.data.materials.new("Cloth")
cloth.use_nodes = True
cloth.node_tree.nodes["Principled BSDF"].inputs["Roughness"].driver_add("default_value").driver.expression = "0.5"
cube.data.materials.append(cloth)
scene.render.engine, scene.render.resolution_x, scene.render.resolution_y = "BLENDER_WORKBENCH", 400, 300
scene.render.resolution_percentage = 50
scene.render.fps, scene.frame_start, scene.frame_end = 30, 5, 9
scene.render.image_settings.file_format = "OPEN_EXR"
save("busy")

# An import whose texture is left behind.
fresh()
cloth = bpy.data.materials.new("Cloth")
cloth.use_nodes = True
picture = cloth.node_tree.nodes.new("ShaderNodeTexImage")
picture.image = bpy.data.images.new("oak", 4, 4)
picture.image.filepath_raw = os.path.join(folder, "oak.png")
picture.image.save()
cloth.node_tree.links.new(picture.outputs[0], cloth.node_tree.nodes["Principled BSDF"].inputs[0])
bpy.context.object.data.materials.append(cloth)
bpy.ops.export_scene.fbx(filepath=os.path.join(folder, "bare.fbx"), path_mode="STRIP")
os.remove(os.path.join(folder, "oak.png"))

# Nothing is to be rendered at all.
scene = fresh()
scene.view_layers[0].use = False
save("dark")

# A script that would run as soon as the file is opened.
scene = fresh()
text = bpy.data.texts.new("hook")
text.write("import bpy, sys\\ndef register(): open(" + repr(os.path.join(folder, "PWNED")) + ", 'w').write('x')\\nregister()\\n")
text.use_module = True
for number in range(150):
    bpy.data.texts.new("s%03d" % number + "x" * 50 + ".py")
save("hooked")
sys.stdout.flush()
os._exit(0)
"""


@pytest.fixture(scope="module")
def awkward(blender_python: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("awkward")
    made = subprocess.run([blender_python, "-c", AWKWARD, str(folder)], capture_output=True, text=True, timeout=120)
    assert made.returncode == 0, made.stderr[-2000:]
    return folder


@pytest.mark.parametrize("name", ["turntable", "no_camera", "scripted"])
def test_a_report_has_every_field_of_the_protocol(runner: BlenderRunner, scenes: dict[str, Path], name: str) -> None:
    assert set(runner.inspect(scene_of(scenes[name]), SMALL)) == FIELDS


def test_a_library_that_is_absent_is_named(runner: BlenderRunner, awkward: Path) -> None:
    report = runner.inspect(scene_of(awkward / "linked.blend"), SMALL)
    assert report["libraries"] == report["missing_files"] == ["//library.blend"]
    assert "missing file: //library.blend" in report["warnings"]
    assert report["warnings"][0].startswith("the scene has no active camera"), "the most important first"
    assert report["active_camera"] is None and report["cameras"] == []


def test_an_imports_missing_texture_is_named_as_the_file_names_it(runner: BlenderRunner, awkward: Path) -> None:
    assert runner.inspect(scene_of(awkward / "bare.fbx"), SMALL)["missing_files"] == ["oak.png"]


def test_view_layers_that_are_all_off_are_told(runner: BlenderRunner, awkward: Path) -> None:
    report = runner.inspect(scene_of(awkward / "dark.blend"), SMALL)
    assert any("every view layer is switched off" in text for text in report["warnings"])


def test_cameras_frames_size_engine_and_drivers_are_read(runner: BlenderRunner, awkward: Path) -> None:
    report = runner.inspect(scene_of(awkward / "busy.blend"), SMALL)
    assert (report["cameras"], report["active_camera"]) == (["Left", "Right"], "Right")
    assert (report["frame_start"], report["frame_end"], report["fps"]) == (5, 9, 30.0)
    assert (report["width"], report["height"], report["output_format"]) == (200, 150, "EXR")
    assert report["engine"] == "blender_workbench"
    assert (report["color_mode"], report["color_depth"]) == ("RGBA", {"PNG": 8, "EXR": 32})
    assert any("BLENDER_WORKBENCH is not offered" in warning for warning in report["warnings"])
    assert report["drivers"] == 2
    assert report["estimated_memory_bytes"] > 1 << 20


def test_a_script_is_named_and_never_run_and_a_report_stays_small(runner: BlenderRunner, awkward: Path) -> None:
    report = runner.inspect(scene_of(awkward / "hooked.blend"), SMALL)
    assert "hook" in report["scripts"] and len(report["scripts"]) == 100
    assert not (awkward / "PWNED").exists()
    assert len(json.dumps(report)) < 256 * 1024
    assert max(len(warning) for warning in report["warnings"]) <= 300


@pytest.mark.parametrize("suffix", [".obj", ".gltf"])
def test_an_import_says_what_was_added_to_it(runner: BlenderRunner, mesh_files: dict[str, Path], suffix: str) -> None:
    report = runner.inspect(scene_of(mesh_files[suffix]), SMALL)
    assert report["active_camera"] == "Lightyard camera" and report["blender_version"] is None
    assert sum("was added" in warning for warning in report["warnings"]) == 2


def test_a_scene_that_cannot_be_opened_is_the_scenes_fault(runner: BlenderRunner, tmp_path: Path) -> None:
    (tmp_path / "scene.blend").write_bytes(b"BLENDER-v405" + b"\0" * 500)
    with pytest.raises(WorkFailed) as failed:
        runner.inspect(scene_of(tmp_path / "scene.blend"), SMALL)
    assert failed.value.code == FailureCode.SCENE_UNREADABLE


def test_an_inspection_leaves_the_loaded_scene_alone_and_takes_the_spare_child(
    runner: BlenderRunner, scenes: dict[str, Path]
) -> None:
    runner.render(scene_of(scenes["turntable"], "loaded"), with_settings(), SMALL, 1)
    runner.prepare_spare()
    spare = runner._spare
    assert spare is not None
    own = scenes["textured_missing"].parent.parent / "own"
    own.mkdir()
    shutil.copy(scenes["textured_missing"], own / "scene.blend")
    report = runner.inspect(replace(scene_of(own / "scene.blend"), is_cached=True), SMALL)
    assert report["missing_files"] == ["//textures/wood.png"]
    assert not spare.alive and runner._spare is None, "a child that saw a stranger's scene serves nobody else"
    assert (own / "scene.blend").stat().st_nlink == 1, "what the child saw is gone with it"
    assert runner.job_id == "loaded"
    runner.render(scene_of(scenes["turntable"], "loaded"), with_settings(), SMALL, 2)
    assert runner.loads == 1


def test_an_idle_node_keeps_a_child_ready_and_uses_it(
    hub: FakeHub, start_agent: Callable[..., Agent], scenes: dict[str, Path]
) -> None:
    agent = start_agent(NODE_POLL_SECONDS="3600")
    agent.ring().done.wait(30)
    hub.wait(lambda: agent.slots[0].runner._spare is not None)
    spare = agent.slots[0].runner._spare
    job_id = hub.add_job(scenes["no_camera"], None)
    agent.ring().done.wait(30)
    hub.wait(all_in(hub, job_id, "completed"))
    assert spare is not None and not spare.alive
    result = hub.of(job_id)[0].result
    assert result is not None and result["seconds"] > 0
    assert result["report"]["warnings"][0].startswith("the scene has no active camera")


def test_a_failed_inspection_says_nothing_of_the_jobs_frames(
    hub: FakeHub, start_agent: Callable[..., Agent], scenes: dict[str, Path], tmp_path: Path
) -> None:
    (tmp_path / "cut.blend").write_bytes(b"BLENDER-v405" + b"\0" * 500)
    cut = hub.add_job(tmp_path / "cut.blend", None)
    good = hub.add_job(scenes["turntable"], [1])
    start_agent()
    hub.wait(lambda: all_in(hub, cut, "failed")() and all_in(hub, good, "completed")())
    assert hub.of(cut)[0].failures[0]["code"] == "SCENE_UNREADABLE"
