"""What a stranger's container may do, as the engine is told it: one place, so that one look shows that nothing is missing."""

from __future__ import annotations

import resource
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from docker.types import DeviceRequest, LogConfig, Mount, Ulimit

from gpu_node.runners.container.order import Order

CPU_PERIOD_MICROSECONDS = 100_000
LEAST_QUOTA_MICROSECONDS = 1000
RUN_FOLDER_BYTES = 16 * 1024**2
LEAST_SHARED_BYTES = 64 * 1024**2
OPEN_FILES = 65_536
LABEL = "org.lightyard.node"
LAST_TO_LIVE = 1000
GPUS_SEEN = "NVIDIA_VISIBLE_DEVICES"


@dataclass(frozen=True)
class Place:
    """Where on this host a container runs: `folders` are its only writable ones, by their names inside."""

    node: str
    folders: Mapping[str, Path]
    network: str | None
    gpu_uuids: tuple[str, ...]
    user_namespace: str | None
    user: str | None
    max_processes: int


def confine(order: Order, place: Place) -> dict[str, Any]:
    """The arguments of the Docker API's create, for `APIClient.create_container`.

    No capability, no new privileges, a root that can only be read, the engine's own seccomp and AppArmor profiles, no network
    unless asked, and a limit on everything: processors, memory (swap counts), processes, open files, one file's size. When
    memory runs out on the host, the container goes first.
    """
    host: dict[str, Any] = {
        "NetworkMode": place.network if order.has_network and place.network else "none",
        "ReadonlyRootfs": True,
        "CapDrop": ["ALL"],
        "SecurityOpt": ["no-new-privileges"],
        "Privileged": False,
        "IpcMode": "private",
        "CpuPeriod": CPU_PERIOD_MICROSECONDS,
        "CpuQuota": max(LEAST_QUOTA_MICROSECONDS, round(order.cpu_cores * CPU_PERIOD_MICROSECONDS)),
        "Memory": order.memory_bytes,
        "MemorySwap": order.memory_bytes,
        "ShmSize": max(LEAST_SHARED_BYTES, order.memory_bytes // 2),
        "PidsLimit": place.max_processes,
        "OomScoreAdj": LAST_TO_LIVE,
        "Ulimits": _ulimits(order, place.max_processes),
        "Tmpfs": {"/run": f"rw,nosuid,nodev,size={RUN_FOLDER_BYTES}"},
        "Mounts": [Mount(inside, str(folder), type="bind", propagation="rprivate") for inside, folder in place.folders.items()],
        "LogConfig": LogConfig(type="none"),
        "RestartPolicy": {"Name": "no", "MaximumRetryCount": 0},
        "DeviceRequests": _gpus(place.gpu_uuids),
    }
    if place.user_namespace:
        host["UsernsMode"] = place.user_namespace
    return {
        "image": order.image,
        "command": list(order.command) or None,
        # The last word is the host's: where NVIDIA's runtime is the default, this variable alone would give GPUs.
        "environment": {"HOME": "/tmp", "TMPDIR": "/tmp", **order.environment, GPUS_SEEN: ",".join(place.gpu_uuids) or "void"},
        "hostname": "task",
        "user": place.user,
        "detach": False,
        "stdin_open": False,
        "tty": False,
        "labels": {LABEL: place.node},
        # An image's own check would be run again and again beside the program; podman wants a systemd for it.
        "healthcheck": {"test": ["NONE"]},
        "network_disabled": host["NetworkMode"] == "none",
        "host_config": host,
    }


def _ulimits(order: Order, max_processes: int) -> list[Ulimit]:
    """All of them named: an engine's own defaults may be more than this host's kernel grants it."""
    files = _grantable(resource.RLIMIT_NOFILE, OPEN_FILES)
    processes = _grantable(resource.RLIMIT_NPROC, max(max_processes, 4096))
    return [
        Ulimit(name="nofile", soft=files, hard=files),
        Ulimit(name="nproc", soft=processes, hard=processes),
        Ulimit(name="core", soft=0, hard=0),
        Ulimit(name="fsize", soft=order.storage_bytes, hard=order.storage_bytes),
    ]


def _grantable(limit: int, wanted: int) -> int:
    hard = resource.getrlimit(limit)[1]
    return wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)


def _gpus(uuids: tuple[str, ...]) -> list[DeviceRequest]:
    return [DeviceRequest(device_ids=list(uuids), capabilities=[["gpu", "compute", "utility"]])] if uuids else []
