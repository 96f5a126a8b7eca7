"""Real Blender for the node's tests, in the sandbox where this machine has one."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gpu_node.agent import Agent
from gpu_node.config import read_settings
from gpu_node.runners.blender.runner import BlenderRunner, Host
from gpu_node.sandbox import bubblewrap_works
from gpu_node.session import Limits
from tests.factories.scenes import OTHERS, ROOT, find_blender_python, make_scenes
from tests.gpu_node.fake_hub import SETTINGS, FakeHub

SMALL = Limits(max_seconds=60, max_memory_bytes=2 << 30, max_output_bytes=1 << 26, max_pixels=1 << 24)


def pytest_report_header() -> str:
    return f"gpu_node: sandbox {'bubblewrap' if bubblewrap_works() else 'none (bubblewrap does not work here)'}"


@pytest.fixture(scope="session")
def blender_python() -> str:
    python = find_blender_python()
    if python is None:
        said = "no .venv-node and no BLENDER_PYTHON: there is no Blender to test with (make .venv-node/.stamp)"
        if os.environ.get("CI"):
            pytest.fail(said)
        pytest.skip(said)
    return python


@pytest.fixture(scope="session")
def scenes(blender_python: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return make_scenes(blender_python, tmp_path_factory.mktemp("scenes"))


@pytest.fixture(scope="session")
def other_scenes() -> Path:
    if not OTHERS.is_dir():
        pytest.skip("no scenes made by others beside this checkout")
    return OTHERS


@pytest.fixture(scope="session")
def host(blender_python: str) -> Host:
    return Host(python=blender_python, sandbox="bubblewrap" if bubblewrap_works() else "none")


@pytest.fixture
def runner(host: Host, tmp_path: Path) -> Iterator[BlenderRunner]:
    made = BlenderRunner(host, tmp_path, max_scene_bytes=64 << 20, max_memory_bytes=4 << 30)
    yield made
    made.close_all()


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    with FakeHub() as served:
        yield served


@pytest.fixture
def start_agent(hub: FakeHub, host: Host, tmp_path: Path) -> Iterator[Callable[..., Agent]]:
    """Starts agents against `hub`; keyword arguments are environment settings. All are closed afterwards."""
    agents: list[Agent] = []

    own = host

    def start(host: Host = own, **settings: Any) -> Agent:
        name = f"node-{len(agents)}"
        environment = {"HUB_URL": hub.url, "NODE_HOME": str(tmp_path / name), "NODE_NAME": name,
                       "NODE_POLL_SECONDS": "0.2", "NODE_PROGRESS_SECONDS": "0.1", "NODE_DRAIN_SECONDS": "20"}
        agent = Agent(read_settings({**environment, **settings}), host, "4.5.15")
        agents.append(agent)
        agent.join()
        agent.start()
        return agent

    yield start
    for agent in agents:
        agent.close()


@pytest.fixture
def node_environment(hub: FakeHub, blender_python: str, tmp_path: Path) -> dict[str, str]:
    """The environment of a node run as a process of its own."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("NODE_", "ENROL_", "LIGHTYARD_"))}
    return {**kept, "PYTHONPATH": str(ROOT), "HUB_URL": hub.url, "NODE_HOME": str(tmp_path / "home"),
            "NODE_NAME": "process", "BLENDER_PYTHON": blender_python, "NODE_PROGRESS_SECONDS": "0.1",
            "NODE_POLL_SECONDS": "0.2"}


@pytest.fixture
def spawn() -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Starts processes that are ended after the test, whatever happened."""
    processes: list[subprocess.Popen[bytes]] = []

    def start(*arguments: str, environment: dict[str, str]) -> subprocess.Popen[bytes]:
        process = subprocess.Popen([sys.executable, *arguments], env=environment, cwd=ROOT)
        processes.append(process)
        return process

    yield start
    for process in processes:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
        process.wait()


def with_settings(**changes: Any) -> dict[str, Any]:
    return {**SETTINGS, **changes}


EXPORT = """
import sys, os, bpy
bpy.ops.wm.read_factory_settings(use_empty=True)
bpy.ops.mesh.primitive_monkey_add()
folder = sys.argv[1]
bpy.ops.wm.stl_export(filepath=folder + "/monkey.stl")
bpy.ops.wm.obj_export(filepath=folder + "/monkey.obj")
bpy.ops.export_scene.gltf(filepath=folder + "/monkey.gltf", export_format="GLTF_SEPARATE")
bpy.ops.export_scene.fbx(filepath=folder + "/monkey.fbx")
sys.stdout.flush()
os._exit(0)
"""


@pytest.fixture(scope="session")
def mesh_files(blender_python: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One mesh in every format that a node imports, by extension."""
    folder = tmp_path_factory.mktemp("meshes")
    made = subprocess.run([blender_python, "-c", EXPORT, str(folder)], capture_output=True, text=True, timeout=120)
    assert made.returncode == 0, made.stderr[-2000:]
    return {path.suffix: path for path in folder.glob("monkey.*")}
