"""What a GPU owner wants to know before joining: does this host have all it needs, and what mends it."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import httpx

from gpu_node.config import NodeSettings
from gpu_node.host import find_host
from gpu_node.machine import has_egl, read_gpus
from gpu_node.offer import COMPUTE, check_disk
from gpu_node.runners.container.engine import EngineMissing, advice, find_engine, mending
from gpu_node.sandbox import SandboxMissing, bubblewrap_works

LIBRARIES = {
    "libX11.so.6": "libx11-6", "libXrender.so.1": "libxrender1", "libXfixes.so.3": "libxfixes3", "libXi.so.6": "libxi6",
    "libxkbcommon.so.0": "libxkbcommon0", "libSM.so.6": "libsm6", "libICE.so.6": "libice6", "libXext.so.6": "libxext6",
    "libGL.so.1": "libgl1",
}
OK, WARN, BAD = "OK", "WARN", "BAD"


@dataclass(frozen=True)
class Finding:
    mark: str
    name: str
    text: str
    advice: str = ""


def examine(settings: NodeSettings) -> list[Finding]:
    """Everything looked at, good or bad; BAD means that this host can't work."""
    return [_libraries(), _bpy(settings), _sandbox(settings), *_devices(settings), _eevee(), *containers(settings),
            _disk(settings), _hub(settings)]


def missing_packages() -> list[str]:
    """Debian packages that Blender and the sandbox need and that are not here."""
    wanted = [package for library, package in LIBRARIES.items() if not _loads(library)]
    return wanted if shutil.which("bwrap") else [*wanted, "bubblewrap"]


def _libraries() -> Finding:
    missing = [package for library, package in LIBRARIES.items() if not _loads(library)]
    if not missing:
        return Finding(OK, "libraries", "all that Blender needs are here")
    return Finding(BAD, "libraries", f"{len(missing)} missing",
                   "apt-get install --no-install-recommends " + " ".join(missing))


def _loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def _bpy(settings: NodeSettings) -> Finding:
    try:
        asked = subprocess.run([settings.blender_python, "-c", "import bpy; print(bpy.app.version_string)"],
                               capture_output=True, text=True, timeout=120, check=False)
    except OSError as error:
        return Finding(BAD, "blender", f"BLENDER_PYTHON does not start: {error}", "set BLENDER_PYTHON to a Python 3.11")
    if asked.returncode:
        reason = (asked.stderr.strip().splitlines() or ["no message"])[-1]
        return Finding(BAD, "blender", reason, f"{settings.blender_python} -m pip install bpy==4.5.15")
    return Finding(OK, "blender", f"bpy {asked.stdout.strip()}")


def _sandbox(settings: NodeSettings) -> Finding:
    if bubblewrap_works():
        return Finding(OK, "sandbox", "bubblewrap")
    return Finding(BAD if settings.production else WARN, "sandbox", "bubblewrap does not work here",
                   "apt-get install bubblewrap, and allow unprivileged user namespaces")


def _devices(settings: NodeSettings) -> list[Finding]:
    gpus = read_gpus()
    names = ", ".join(str(gpu["name"]) for gpu in gpus)
    findings = [Finding(OK, "gpu", names) if gpus else
                Finding(WARN, "gpu", "NVML shows none: frames render on the CPU", "install the GPU's driver, if there is one")]
    try:
        host, version = find_host(settings)
    except SandboxMissing as error:
        return [*findings, Finding(BAD, "cycles", str(error))]
    if version is None:
        return [*findings, Finding(BAD, "cycles", "Blender does not start in the sandbox")]
    return [*findings, Finding(OK, "cycles", ", ".join(host.devices) or "CPU")]


def _eevee() -> Finding:
    if has_egl():
        return Finding(OK, "egl", "libEGL is here")
    return Finding(WARN, "egl", "no libEGL: Eevee jobs go to other nodes", "apt-get install libegl1")


def containers(settings: NodeSettings) -> list[Finding]:
    """Only where compute tasks are to be offered."""
    if COMPUTE not in settings.capabilities:
        return []
    try:
        engine = find_engine(settings.container_engine, settings.production)
        check_disk(settings)
    except EngineMissing as missing:
        return [Finding(WARN, "containers", "compute tasks are not offered: echo and cpu_benchmark alone are left", str(missing))]
    name = f"{engine.name} {engine.version} at {engine.address}"
    findings = [Finding(OK, "containers", f"{name}, {engine.cpu_count} cores, {engine.memory_bytes / 1e9:.0f} GB")]
    if not engine.has_user_namespace:
        findings.append(Finding(WARN, "containers", "root in a container is root of this host", advice(engine.name)))
    if engine.ignores:
        said = f"{engine.name} takes no notice of {', '.join(engine.ignores)}"
        findings.append(Finding(WARN, "containers", said, mending(engine)))
    if read_gpus() and not engine.gives_gpus:
        findings.append(Finding(WARN, "containers", f"{engine.name} gives containers no GPU: tasks that want one go elsewhere",
                                "use Docker with the NVIDIA container toolkit (nvidia-ctk runtime configure --runtime=docker)"))
    return findings


def _disk(settings: NodeSettings) -> Finding:
    folder = settings.home if settings.home.exists() else Path.home()
    free = shutil.disk_usage(folder).free
    mark = OK if free > settings.cache_bytes else WARN
    return Finding(mark, "disk", f"{free / 1e9:.0f} GB free below {folder}",
                   "" if mark == OK else "lower NODE_CACHE_BYTES or make room")


def _hub(settings: NodeSettings) -> Finding:
    try:
        answer = httpx.get(f"{settings.hub_url}/health", timeout=5.0)
    except httpx.TransportError as error:
        return Finding(WARN, "hub", f"{settings.hub_url} does not answer: {error}", "set HUB_URL")
    return Finding(OK if answer.is_success else WARN, "hub", f"{settings.hub_url} answers {answer.status_code}")
