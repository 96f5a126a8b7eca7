"""What this host offers to the hub: what its owner named, as far as the host can do it."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from gpu_node.config import NodeSettings
from gpu_node.runners.container.disk import can_bound
from gpu_node.runners.container.engine import Engine, EngineMissing, find_engine
from gpu_node.runners.container.images import ImageRules
from gpu_node.runners.container.registries import RegistryRules
from gpu_node.runners.container.runner import Rules
from gpu_node.runners.prompts import IMAGES, VIDEO

log = logging.getLogger(__name__)

COMPUTE, INFERENCE, BOUNDED = "compute", "inference", "bounded"
PROMPTED = (IMAGES, VIDEO)
WITHOUT_CONTAINERS = ("echo", "cpu_benchmark")


def look_for_engine(settings: NodeSettings) -> Engine | None:
    """The container engine, where this host is to run compute tasks and has one."""
    if COMPUTE not in settings.capabilities:
        return None
    try:
        engine = find_engine(settings.container_engine, settings.production)
        check_disk(settings)
        return engine
    except EngineMissing as missing:
        log.warning("compute tasks are not offered here", extra={"reason": str(missing)})
        return None


def check_disk(settings: NodeSettings) -> None:
    """Raises EngineMissing where a container's disk must be bounded by the kernel and can't be."""
    if settings.container_disk == BOUNDED and not can_bound(settings.home / "containers"):
        raise EngineMissing("this host can't keep a container's disk within its bounds: run the node as root on a host with loop "
                            "devices and mkfs.ext4, or, if you can bear that a stranger's program fills this file system, set "
                            "NODE_CONTAINER_DISK=measured")


def offered(names: Iterable[str], has_engine: bool) -> tuple[str, ...]:
    """`compute` means containers, and some small runs that need none: without an engine those alone are left of it."""
    found = [one for name in names for one in (WITHOUT_CONTAINERS if name == COMPUTE and not has_engine else (name,))]
    return tuple(dict.fromkeys(found))


def of_models(settings: NodeSettings) -> list[str]:
    """What the servers of models on this host do, as the machine's report says it."""
    servers = {"chat": settings.inference_url, IMAGES: settings.images_url, VIDEO: settings.video_url}
    return [word for word, url in servers.items() if url] if INFERENCE in settings.capabilities else []


def rules(settings: NodeSettings) -> Rules:
    """What the owner allows containers."""
    registries = RegistryRules(own=settings.container_registries, allowed=settings.container_allowed_registries,
                               is_strict=settings.production)
    return Rules(
        network=settings.container_network,
        images=ImageRules(may_pull=settings.container_pull, max_bytes=settings.container_image_bytes,
                          kept_bytes=settings.container_cache_bytes, kept_seconds=settings.container_cache_seconds,
                          silence_seconds=settings.container_silence_seconds, registries=registries),
        max_processes=settings.container_processes, grace_seconds=settings.container_grace_seconds,
        max_log_bytes=settings.container_log_bytes, must_bound_disk=settings.container_disk == BOUNDED,
    )
