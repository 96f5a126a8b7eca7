"""Real scene files for tests, made by the project's own script with the node's Blender."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
SCRIPT = ROOT / "gpu_node" / "examples" / "make_scenes.py"
OTHERS = ROOT.parent / "shared" / "scenes"


def find_blender_python() -> str | None:
    """The Python that has bpy: BLENDER_PYTHON, else the node's own environment beside the checkout."""
    asked = os.environ.get("BLENDER_PYTHON")
    if asked:
        return asked
    own = ROOT / ".venv-node" / "bin" / "python"
    return str(own) if own.exists() else None


def make_scenes(python: str, folder: Path, *names: str) -> dict[str, Path]:
    """Makes the named example scenes (all when none is named) in `folder`; returns them by name."""
    made = subprocess.run([python, str(SCRIPT), str(folder), *names], capture_output=True, text=True, timeout=120,
                          check=False)
    assert made.returncode == 0, made.stderr[-2000:]
    return {path.stem: path for path in folder.glob("*.blend")}
