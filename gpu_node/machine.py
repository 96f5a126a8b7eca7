"""What this host is: its GPUs as NVML tells them, its memory, its sandbox. What is not known is None, never 0."""

from __future__ import annotations

import ctypes
import ipaddress
import logging
import os
import platform
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pynvml

from gpu_node.runners.blender.runner import Host
from gpu_node.runners.blender.scene_file import FORMATS
from gpu_node.runners.container.engine import Engine

log = logging.getLogger(__name__)
FAMILIES = (socket.AF_INET, socket.AF_INET6)
MOST_ADDRESSES = 32


def read_gpus() -> list[dict[str, Any]]:
    """Figures of every NVIDIA GPU, `[]` where there is none or no driver."""
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        log.debug("NVML is not here", extra={"reason": str(error)})
        return []
    try:
        count = _figure(pynvml.nvmlDeviceGetCount) or 0
        return [_read_gpu(index) for index in range(count)]
    finally:
        pynvml.nvmlShutdown()


def _read_gpu(index: int) -> dict[str, Any]:
    handle = _figure(pynvml.nvmlDeviceGetHandleByIndex, index)
    memory = _figure(pynvml.nvmlDeviceGetMemoryInfo, handle)
    rates = _figure(pynvml.nvmlDeviceGetUtilizationRates, handle)
    milliwatts = _figure(pynvml.nvmlDeviceGetPowerUsage, handle)
    return {
        "index": index,
        "uuid": _figure(pynvml.nvmlDeviceGetUUID, handle),
        "name": _figure(pynvml.nvmlDeviceGetName, handle),
        "memory_total_bytes": memory.total if memory else None,
        "memory_used_bytes": memory.used if memory else None,
        "utilization_percent": rates.gpu if rates else None,
        "temperature_celsius": _figure(pynvml.nvmlDeviceGetTemperature, handle, pynvml.NVML_TEMPERATURE_GPU),
        "power_watts": milliwatts / 1000 if milliwatts is not None else None,
        "driver_version": _figure(pynvml.nvmlSystemGetDriverVersion),
    }


def _figure(ask: Callable[..., Any], *arguments: Any) -> Any:
    """One figure, or None where this driver does not give it."""
    try:
        return ask(*arguments)
    except pynvml.NVMLError as error:
        log.debug("NVML does not say", extra={"call": getattr(ask, "__name__", "?"), "reason": str(error)})
        return None


def has_gpu() -> bool:
    """Whether a GPU that can render is on this host, of any maker."""
    return bool(read_gpus()) or any(Path("/dev/dri").glob("renderD*")) or Path("/dev/kfd").exists()


def has_egl() -> bool:
    """Whether Eevee's off-screen library can be loaded; without it Blender ends the whole process."""
    try:
        ctypes.CDLL("libEGL.so.1")
    except OSError:
        return False
    return True


def read_addresses() -> list[str]:
    """This host's own IP addresses, by which others know what runs on it; not those that every host has."""
    found = [item.address for items in psutil.net_if_addrs().values() for item in items if item.family in FAMILIES]
    plain = [ipaddress.ip_address(address) for address in found if "%" not in address]
    return sorted(str(address) for address in plain if not address.is_loopback and not address.is_link_local)[:MOST_ADDRESSES]


def free_disk_bytes(folder: Path) -> int:
    """What may still be written below `folder`, which may not be there yet."""
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free


def describe_engine(engine: Engine | None, network: str | None) -> dict[str, Any] | None:
    """The `container_engine` of PROTOCOL.md section 6; None where none are run. `gpus`: how many it can give to one."""
    if engine is None:
        return None
    return {
        "name": engine.name,
        "version": engine.version,
        "cpu_count": engine.cpu_count,
        "memory_bytes": engine.memory_bytes,
        "gpus": len(read_gpus()) if engine.gives_gpus else 0,
        "network": network is not None,
        "user_namespace": engine.has_user_namespace,
    }


def load_average() -> float:
    """The share of this host's processors in use, 0..1."""
    return min(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))


def describe_machine(host: Host, blender_version: str | None) -> dict[str, Any]:
    """The machine of PROTOCOL.md section 6."""
    return {
        "hostname": socket.gethostname(),
        "addresses": read_addresses(),
        "cpu_count": os.cpu_count(),
        "memory_bytes": psutil.virtual_memory().total,
        "platform": platform.platform(),
        "blender_version": blender_version,
        "engines": ["cycles", "eevee"] if host.can_eevee else ["cycles"],
        "formats": list(FORMATS),
        "sandbox": host.sandbox,
        "devices": list(host.devices),
        "fell_back": host.has_gpu and not host.devices,
        "gpus": read_gpus(),
    }
