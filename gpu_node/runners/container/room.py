"""What of this host is promised to containers that run and to images that are pulled, so that nothing is promised twice."""

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
STORE_RESERVE_BYTES = 1024**3
LEAST_IMAGE_BYTES = 256 * 1024**2
DISK_IMAGE = "image"


class HostBusy(NodeError):
    """Containers that run here have what this one asks for; once they have ended, or on another host, it fits."""


class Room:
    """One host's. Thread-safe. `folder` has the containers' disks, `store` the engine's images: often one file system."""

    def __init__(self, engine: Engine, folder: Path, store: Path) -> None:
        self._engine, self._folder, self._store = engine, folder, store
        self._lock = threading.Lock()
        self._promised: list[Order] = []
        self._images: list[int] = []

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

    @contextmanager
    def for_image(self, max_bytes: int) -> Iterator[int]:
        """How many bytes an image may take that is pulled now, up to `max_bytes`. Raises what `short` gives."""
        with self._lock:
            allowed = min(max_bytes, self._free_for_images() - sum(self._images))
            if allowed < min(max_bytes, LEAST_IMAGE_BYTES):
                raise _short(has_others=len(self._promised) > 1 or bool(self._images))
            self._images.append(allowed)
        try:
            yield allowed
        finally:
            with self._lock:
                self._images.remove(allowed)

    def free_for_images(self) -> int:
        """Bytes, without those that containers were promised on the same file system. Below 0: a pull has to end."""
        with self._lock:
            return self._free_for_images()

    def has_others(self) -> bool:
        """Whether more is promised here than to one container and its image."""
        return len(self._promised) > 1 or len(self._images) > 1

    def short(self) -> Exception:
        """What it means that an image has no room: it fits here later, or never."""
        return _short(self.has_others())

    def _check(self, order: Order) -> None:
        free_bytes = shutil.disk_usage(self._folder).free - RESERVE_BYTES
        has = (self._engine.cpu_count, self._engine.memory_bytes, free_bytes)
        alone = _amounts([order])
        if any(asked > there for asked, there in zip(alone, has, strict=True)):
            said = "{:g} cores, {} bytes of memory and {} of disk"
            raise WorkFailed(FailureCode.ENGINE_UNSUPPORTED,
                             f"{said.format(*alone)} were asked for; this host has {said.format(*has)}")
        left = (has[0], has[1], has[2] - (sum(self._images) if self._is_one() else 0))
        if any(asked > there for asked, there in zip(_amounts([*self._promised, order]), left, strict=True)):
            raise HostBusy(f"{len(self._promised)} containers run here, and leave too little for this one")

    def _free_for_images(self) -> int:
        free = shutil.disk_usage(self._store).free - STORE_RESERVE_BYTES
        return free - max(0, _amounts(self._promised)[2] - self._written()) if self._is_one() else free

    def _is_one(self) -> bool:
        return self._folder.stat().st_dev == self._store.stat().st_dev

    def _written(self) -> int:
        """What containers have taken of the disks they were promised; none is known of one that the kernel does not bound."""
        written = 0
        for image in self._folder.glob(f"*/{DISK_IMAGE}"):
            try:
                written += image.stat().st_blocks * 512
            except FileNotFoundError:
                continue  # its container has just ended
        return written


def _short(has_others: bool) -> Exception:
    if has_others:
        return HostBusy("what else runs here leaves too little room for this image")
    return WorkFailed(FailureCode.IMAGE_TOO_LARGE, "this host has not as much room as the image and its container take")


def _amounts(orders: list[Order]) -> tuple[float, int, int]:
    return (sum(order.cpu_cores for order in orders), sum(order.memory_bytes for order in orders),
            sum(order.storage_bytes for order in orders))
