"""What a running container uses, sampled now and then. What nobody can say is None, never 0."""

from __future__ import annotations

import logging
import time
from typing import Any

import docker

from gpu_node.machine import read_gpus
from gpu_node.runners.container.disk import Disk
from gpu_node.runners.container.engine import TROUBLES
from gpu_node.runners.container.order import Order

log = logging.getLogger(__name__)

Measures = dict[str, float | None]


class Meter:
    """One container's. `cpu_usage_percent` is of the cores that it may use, since the sample before, or the start:
    make one just before it."""

    def __init__(self, client: docker.APIClient, container: str, order: Order, disk: Disk, gpu_uuids: tuple[str, ...]) -> None:
        self._client, self._container, self._order, self._disk, self._gpus = client, container, order, disk, gpu_uuids
        self._before = (time.monotonic(), 0)

    def sample(self) -> Measures | None:
        """None where the engine says nothing, as when the container has just ended."""
        try:
            told: dict[str, Any] = self._client.stats(self._container, stream=False, one_shot=True)  # type: ignore[assignment]
        except TROUBLES as trouble:
            log.debug("no figures of a container", extra={"reason": str(trouble)})
            return None
        used = (told.get("memory_stats") or {}).get("usage")
        total = ((told.get("cpu_stats") or {}).get("cpu_usage") or {}).get("total_usage")
        if used is None and not total:
            return None
        return {
            "cpu_usage_percent": self._cpu(total),
            "memory_used_bytes": used,
            "memory_usage_percent": None if used is None else round(min(100.0, 100 * int(used) / self._order.memory_bytes), 1),
            "storage_used_bytes": self._disk.used_bytes,
            **self._gpu(),
        }

    def _cpu(self, total: int | None) -> float | None:
        now, before = time.monotonic(), self._before
        if total is None or now <= before[0]:
            return None
        self._before = (now, int(total))
        share = (int(total) - before[1]) / 1e9 / (now - before[0]) / self._order.cpu_cores
        return round(min(100.0, max(0.0, 100 * share)), 1)

    def _gpu(self) -> Measures:
        """The mean of its GPUs; all None for a container without one."""
        mine = [gpu for gpu in read_gpus() if gpu["uuid"] in self._gpus] if self._gpus else []
        rates = [gpu["utilization_percent"] for gpu in mine if gpu["utilization_percent"] is not None]
        used = [gpu["memory_used_bytes"] for gpu in mine if gpu["memory_used_bytes"] is not None]
        return {"gpu_usage_percent": round(sum(rates) / len(rates), 1) if rates else None,
                "gpu_memory_used_bytes": sum(used) if used else None}
