"""Makes a bare Debian host ready: the libraries that Blender needs, Blender itself, and this node's identity."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable

from gpu_node.config import NodeSettings
from gpu_node.doctor import missing_packages
from gpu_node.failures import NodeError
from gpu_node.keys import load_or_create_key, public_key_text

BLENDER = ("bpy==4.5.15", "numpy<2")
APT_SECONDS, PIP_SECONDS = 900, 1800


class SetupFailed(NodeError):
    """A step that needs a person; the message says what to do."""


def prepare(settings: NodeSettings, say: Callable[[str], None]) -> None:
    """Every step, each skipped where it is done already. Raises SetupFailed."""
    install_packages(missing_packages(), say)
    install_blender(settings, say)
    key = load_or_create_key(settings.home)
    say(f"identity: {settings.home / 'identity.key'} (public key {public_key_text(key)})")


def install_packages(packages: list[str], say: Callable[[str], None]) -> None:
    """System libraries and bubblewrap, by apt where this user may."""
    if not packages:
        return say("system packages: all here")
    command = ["apt-get", "install", "-y", "--no-install-recommends", *packages]
    if shutil.which("apt-get") is None or os.geteuid() != 0:
        raise SetupFailed("these system packages are missing; ask root to run:  " + " ".join(command))
    say(f"system packages: installing {' '.join(packages)} …")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for step in (["apt-get", "update", "-q"], command):
        done = subprocess.run(step, capture_output=True, text=True, timeout=APT_SECONDS, env=environment, check=False)
        if done.returncode:
            raise SetupFailed(f"{' '.join(step)} failed: {done.stderr.strip()[-500:]}")
    return None


def install_blender(settings: NodeSettings, say: Callable[[str], None]) -> None:
    """bpy into the Python that is to run Blender."""
    python = settings.blender_python
    found = subprocess.run([python, "-c", "import importlib.util as u, sys; sys.exit(u.find_spec('bpy') is None)"],
                           capture_output=True, text=True, timeout=60, check=False)
    if found.returncode == 0:
        return say("blender: bpy is installed")
    say("blender: installing bpy, about 370 MB …")
    done = subprocess.run([python, "-m", "pip", "install", *BLENDER], timeout=PIP_SECONDS, check=False)
    if done.returncode:
        raise SetupFailed(f"bpy could not be installed into {python}: it needs Python 3.11 exactly, on Linux with glibc 2.28, "
                          "macOS or Windows; set BLENDER_PYTHON to such a Python")
    return None
