"""The whole marketplace as its operator starts it: `lightyard up` with real processes, and Blender for the nodes."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from app.stack.postgres import free_port

ROOT = Path(__file__).parent.parent.parent
NODE_PYTHON = ROOT / ".venv-node" / "bin" / "python"
CUBE = "import bpy, sys; bpy.ops.wm.save_as_mainfile(filepath=sys.argv[-1])"


def _port() -> int:
    """A port whose neighbours, the local chains', exist too."""
    while True:
        port = free_port(899, 900, 902)
        if port < 60_000:
            return port


@contextmanager
def running_stack(home: Path, **settings: str) -> Iterator[dict[str, str]]:
    """`lightyard up` in `home`; yields its endpoints. It must end by SIGTERM and leave no process."""
    environment = {**os.environ, "LIGHTYARD_HOME": str(home), "PORT": str(_port()), "RATE_LIMITS": "off", **settings}
    command = [sys.executable, "-m", "app.cli", "up"]
    with (home / "up.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=log, text=True)
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        assert line.startswith("lightyard ready"), (home / "up.log").read_text()[-2000:]
        yield {**json.loads((home / "endpoints.json").read_text()), "home": str(home)}
    finally:
        children = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
        process.send_signal(signal.SIGTERM)
        code = process.wait(60)
        process.stdout.close()
        _, alive = psutil.wait_procs(children, timeout=10)
    assert (code, alive) == (0, [])


@pytest.fixture(scope="session")
def cube(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Blender's own start scene, saved by Blender."""
    path = tmp_path_factory.mktemp("scene") / "scene.blend"
    subprocess.run([NODE_PYTHON, "-c", CUBE, str(path)], check=True, stdout=subprocess.DEVNULL)
    return path.read_bytes()
