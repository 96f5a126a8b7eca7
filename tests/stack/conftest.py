"""Homes, and a scene that renders at once."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.stack.stack import NODE_PYTHON
from tests.factories.stacks import fresh_home

CUBE = "import bpy, sys; bpy.ops.wm.save_as_mainfile(filepath=sys.argv[-1])"


@pytest.fixture
def home() -> Iterator[Path]:
    with fresh_home() as folder:
        yield folder


@pytest.fixture(scope="session")
def cube(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Blender's own start scene, saved by Blender."""
    path = tmp_path_factory.mktemp("scene") / "scene.blend"
    subprocess.run([NODE_PYTHON, "-c", CUBE, str(path)], check=True, stdout=subprocess.DEVNULL)
    return path.read_bytes()
