"""Scenes and children that take more than they may: each is ended from outside, and the host goes on."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from gpu_node.failures import FailureCode, WorkFailed
from gpu_node.runners.blender.runner import BlenderRunner
from gpu_node.sandbox import Box
from gpu_node.session import Limits, Session
from gpu_node.usage import ProcessTree, count_files, descendants
from tests.gpu_node.conftest import SMALL, with_settings
from tests.gpu_node.test_render import scene_of

GREEDY = """
import os, sys, bpy
folder = sys.argv[1]

def fresh():
    bpy.ops.wm.read_factory_settings(use_empty=True)
    bpy.ops.mesh.primitive_cube_add()
    scene = bpy.context.scene
    scene.render.engine = "CYCLES"
    scene.collection.objects.link(bpy.data.objects.new("Eye", bpy.data.cameras.new("Eye")))
    scene.camera = bpy.data.objects["Eye"]
    return scene, bpy.data.objects["Cube"]

def save(name):
    bpy.ops.wm.save_as_mainfile(filepath=os.path.join(folder, name + ".blend"))

def grid(points, noises):
    tree = bpy.data.node_groups.new("Greedy", "GeometryNodeTree")
    tree.interface.new_socket("Geometry", in_out="OUTPUT", socket_type="NodeSocketGeometry")
    mesh = tree.nodes.new("GeometryNodeMeshGrid")
    mesh.inputs["Vertices X"].default_value = mesh.inputs["Vertices Y"].default_value = points
    last = mesh.outputs["Mesh"]
    for _ in range(noises):
        place, noise = tree.nodes.new("GeometryNodeSetPosition"), tree.nodes.new("ShaderNodeTexNoise")
        noise.inputs["Detail"].default_value = 15
        tree.links.new(noise.outputs["Color"], place.inputs["Offset"])
        tree.links.new(last, place.inputs["Geometry"])
        last = place.outputs["Geometry"]
    tree.links.new(last, tree.nodes.new("NodeGroupOutput").inputs[0])
    return tree

# Days of noise, in the render only.
scene, cube = fresh()
cube.modifiers.new("Greedy", "NODES").show_viewport = False
cube.modifiers[0].node_group = grid(1500, 400)
save("endless_frame")

# The same as soon as the file is open: its library was a harmless one when the file was saved.
bpy.data.libraries.write(os.path.join(folder, "days.blend"), {bpy.data.node_groups["Greedy"]}, fake_user=True)
fresh()
bpy.data.libraries.write(os.path.join(folder, "library.blend"), {grid(3, 1)}, fake_user=True)
scene, cube = fresh()
with bpy.data.libraries.load(os.path.join(folder, "library.blend"), link=True, relative=True) as (source, target):
    target.node_groups = ["Greedy"]
cube.modifiers.new("Greedy", "NODES").node_group = target.node_groups[0]
save("endless_load")
os.replace(os.path.join(folder, "days.blend"), os.path.join(folder, "library.blend"))

# A grid of a hundred million points.
scene, cube = fresh()
cube.modifiers.new("Greedy", "NODES").show_viewport = False
cube.modifiers[0].node_group = grid(12000, 0)
save("vast")

# Forty nodes that each write a file beside the picture.
scene, cube = fresh()
scene.use_nodes = True
group = bpy.data.node_groups.new("Hidden", "CompositorNodeTree")
for tree in (scene.node_tree, group):
    for number in range(20):
        node = tree.nodes.new("CompositorNodeOutputFile")
        node.base_path = "/out/"
        node.file_slots[0].path = "extra%d_" % number
scene.node_tree.nodes.new("CompositorNodeGroup").node_tree = group
for node in list(scene.node_tree.nodes):
    if node.bl_idname == "CompositorNodeOutputFile":
        layers = next(each for each in scene.node_tree.nodes if each.type == "R_LAYERS")
        scene.node_tree.links.new(layers.outputs["Image"], node.inputs[0])
save("writers")
sys.stdout.flush()
os._exit(0)
"""


@pytest.fixture(scope="module")
def greedy(blender_python: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("greedy")
    made = subprocess.run([blender_python, "-c", GREEDY, str(folder)], capture_output=True, text=True, timeout=120)
    assert made.returncode == 0, made.stderr[-2000:]
    return folder


@pytest.mark.parametrize("name", ["endless_load", "endless_frame"])
def test_a_scene_that_never_gets_ready_is_stopped(runner: BlenderRunner, greedy: Path, name: str) -> None:
    limits = Limits(max_seconds=4, max_memory_bytes=2 << 30)
    with pytest.raises(WorkFailed) as failed:
        runner.render(scene_of(greedy / f"{name}.blend"), with_settings(), limits, 1)
    assert failed.value.code == FailureCode.TIME_LIMIT
    assert runner.job_id is None and not list(runner._work_folder.glob("child-*"))


def test_an_inspection_that_never_ends_is_stopped(runner: BlenderRunner, greedy: Path) -> None:
    with pytest.raises(WorkFailed) as failed:
        runner.inspect(scene_of(greedy / "endless_load.blend"), Limits(max_seconds=3))
    assert failed.value.code == FailureCode.TIME_LIMIT


def test_a_scene_that_wants_all_the_memory_is_stopped(runner: BlenderRunner, greedy: Path) -> None:
    with pytest.raises(WorkFailed) as failed:
        runner.render(scene_of(greedy / "vast.blend"), with_settings(), Limits(max_memory_bytes=600 << 20), 1)
    assert failed.value.code == FailureCode.OUT_OF_MEMORY


def test_nodes_that_write_files_write_none(runner: BlenderRunner, greedy: Path) -> None:
    picture = runner.render(scene_of(greedy / "writers.blend"), with_settings(), SMALL, 1)
    assert any("40 file output node(s) were removed" in warning for warning in picture.warnings)
    assert [path for path in runner._work_folder.rglob("*") if path.suffix in (".png", ".exr")] == [picture.path]


CHILDREN = {
    "many_files": "for n in range(500): open(f'{out}/f{n}', 'w').close()\n",
    "many_folders": "for n in range(500): os.makedirs(f'{out}/d{n}/e')\n",
    "many_bytes": "for n in range(8):\n with open(f'{out}/f{n}', 'wb') as f: f.write(os.urandom(8 << 20))\n",
    "many_processes": "for n in range(100):\n if os.fork() == 0: os.setsid(); time.sleep(600)\n",
    "spike": "kept = b'x' * (400 << 20); del kept\n",
}
EXPECTED = {"many_files": FailureCode.OUTPUT_LIMIT, "many_folders": FailureCode.OUTPUT_LIMIT,
            "many_bytes": FailureCode.OUTPUT_LIMIT, "many_processes": FailureCode.CRASHED, "spike": FailureCode.OUT_OF_MEMORY}


@pytest.mark.parametrize("kind", CHILDREN)
def test_a_child_that_takes_too_much_is_ended_with_all_it_started(tmp_path: Path, kind: str) -> None:
    for name in ("runner", "in", "out"):
        (tmp_path / name).mkdir()
    (tmp_path / "runner" / "child.py").write_text(
        "import json, os, sys, time\n" f"out = {str(tmp_path / 'out')!r}\n"
        "print(json.dumps({'event': 'ready'}), flush=True)\nsys.stdin.readline()\n" + CHILDREN[kind] + "time.sleep(600)\n")
    box = Box("none", tmp_path / "in", tmp_path / "out", tmp_path / "runner", None)
    limits = Limits(max_memory_bytes=(4 << 30) if kind == "many_processes" else (300 << 20), max_output_bytes=1 << 20)
    session = Session(box, sys.executable, limits, tmp_path / "log", limit_address_space=False)
    session.wait_ready(20)
    with pytest.raises(WorkFailed) as failed:
        session.ask("render", "frame", 60)
    assert failed.value.code == EXPECTED[kind]
    left = [each for each in psutil.process_iter(["cmdline", "status"]) if str(tmp_path) in " ".join(each.info["cmdline"] or ())]
    _, alive = psutil.wait_procs(left, timeout=10)
    assert alive == []


def test_descendants_of_descendants_are_counted() -> None:
    code = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'input()'])"
    process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE)
    try:
        deadline = time.monotonic() + 20
        while len(found := descendants(process.pid)) < 2 and time.monotonic() < deadline:
            time.sleep(0.01)  # a process that starts tells nobody
        assert len(found) == 2 and found[0] == process.pid
        reading = ProcessTree(process.pid).read()
        assert reading.processes == 2 and reading.peak_bytes >= reading.resident_bytes > 1 << 20
    finally:
        process.communicate(b"\n")
    assert ProcessTree(process.pid).read().resident_bytes == 0


def test_files_are_counted_without_following_links(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "file").write_bytes(b"x" * 10_000)
    (tmp_path / "link").symlink_to("/usr")
    assert count_files(tmp_path)[0] == 3
    assert 10_000 <= count_files(tmp_path)[1] < 100_000
