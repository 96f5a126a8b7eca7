"""The project's own example scenes, made with Blender when they are asked for."""

import subprocess
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.report import ROOT
from bench.stack import BenchError

NODE_PYTHON = ROOT / ".venv-node" / "bin" / "python"


@cache
def _folder() -> TemporaryDirectory[str]:
    return TemporaryDirectory(prefix="lightyard-bench-scenes-")


def make_scenes(names: Sequence[str]) -> dict[str, Path]:
    """Where each scene lies; those that are not there yet are made. BenchError without Blender."""
    if not NODE_PYTHON.exists():
        raise BenchError(f"{NODE_PYTHON} is missing: run `make install` first")
    folder = Path(_folder().name)
    missing = [name for name in names if not (folder / f"{name}.blend").exists()]
    if missing:
        command = [str(NODE_PYTHON), str(ROOT / "gpu_node" / "examples" / "make_scenes.py"), str(folder), *missing]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return {name: folder / f"{name}.blend" for name in names}
