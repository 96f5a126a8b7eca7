"""What this host can do, found out once at the start by asking a child in the sandbox."""

from __future__ import annotations

import logging
from dataclasses import replace

from gpu_node.config import NodeSettings
from gpu_node.failures import WorkFailed
from gpu_node.machine import has_egl, has_gpu
from gpu_node.runners.blender.runner import BlenderRunner, Host
from gpu_node.sandbox import choose_sandbox

log = logging.getLogger(__name__)


def find_host(settings: NodeSettings) -> tuple[Host, str | None]:
    """The host and its Blender's version, None where Blender does not start. Raises SandboxMissing."""
    gpu = has_gpu()
    cache = settings.home / "gpu-cache" if gpu else None
    if cache is not None:
        cache.mkdir(parents=True, exist_ok=True)
    host = Host(python=settings.blender_python, sandbox=choose_sandbox(settings.sandbox, settings.production),
                has_gpu=gpu, gpu_cache=cache)
    folder = settings.home / "work" / "probe"
    folder.mkdir(parents=True, exist_ok=True)
    try:
        found = BlenderRunner(host, folder, settings.max_scene_bytes, settings.max_memory_bytes).probe()
    except WorkFailed as failed:
        log.error("Blender does not start here: run `lightyard-node doctor`",
                  extra={"reason": failed.message, "log_tail": failed.log_tail[-500:]})
        return host, None
    devices = tuple(found["devices"])
    if gpu and not devices:
        log.warning("this host has a GPU but Cycles can't use it: rendering on the CPU")
    return (replace(host, devices=devices, can_eevee=bool(devices) and has_egl()),
            str(found["blender_version"]).split()[0])
