"""What of this host is promised to containers that run, so that two never share what both have bought."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gpu_node.failures import FailureCode, NodeError, WorkFailed
from gpu_node.runners.container.engine import Engine
from gpu_node.runners.container.order import Order

RESERVE_BYTES = 256 * 1024**2


class HostBusy(NodeError):
    """Containers that run here have what this one asks for; once they have ended, or on another host, it fits."""


class Room:
    """One host's. Thread-safe."""

    def __init__(self, engine: Engine, folder: Path) -> None:
        self._engine, self._folder = engine, folder
        self._lock = threading.Lock()
        self._promised: list[Order] = []

    @contextmanager
    def promised(self, order: Order) -> Iterator[None]:
        """Raises WorkFailed for what this host never has, HostBusy for what it has not now."""
        with self._lock:
            self._check(order)
            self._promised.append(order)
        try:
            yield
        finally:
            with self._lock:
                self._promised.remove(order)

    def _check(self, order: Order) -> None:
        free_bytes = shutil.disk_usage(self._folder).free - RESERVE_BYTES
        has = (self._engine.cpu_count, self._engine.memory_bytes, free_bytes)
        alone = _amounts([order])
        if any(asked > there for asked, there in zip(alone, has, strict=True)):
            said = "{:g} cores, {} bytes of memory and {} of disk"
            raise WorkFailed(FailureCode.ENGINE_UNSUPPORTED,
                             f"{said.format(*alone)} were asked for; this host has {said.format(*has)}")
        if any(asked > there for asked, there in zip(_amounts([*self._promised, order]), has, strict=True)):
            raise HostBusy(f"{len(self._promised)} containers run here, and leave too little for this one")


def _amounts(orders: list[Order]) -> tuple[float, int, int]:
    return (sum(order.cpu_cores for order in orders), sum(order.memory_bytes for order in orders),
            sum(order.storage_bytes for order in orders))
