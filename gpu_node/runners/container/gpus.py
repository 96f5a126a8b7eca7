"""Which GPUs a container gets. An engine may take the wish and give none, so what it can do is known before it is asked."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from gpu_node.failures import FailureCode, WorkFailed
from gpu_node.machine import read_gpus
from gpu_node.runners.container.order import Order
from gpu_node.runners.container.room import HostBusy

_taken: set[str] = set()
_lock = threading.Lock()


@contextmanager
def lent(order: Order, engine_gives: bool) -> Iterator[tuple[str, ...]]:
    """The UUIDs of as many GPUs as the order asks for, nobody else's meanwhile. Before anything is started, it
    raises WorkFailed for GPUs that this host has not, HostBusy for those that are lent to another container now."""
    if not order.gpu_count:
        yield ()
        return
    if not engine_gives:
        raise _unavailable("this host's container engine gives no GPU to a container")
    chosen = _take(order)
    try:
        yield chosen
    finally:
        with _lock:
            _taken.difference_update(chosen)


def _take(order: Order) -> tuple[str, ...]:
    with _lock:
        there = [gpu for gpu in read_gpus() if _fits(gpu, order)]
        if len(there) < order.gpu_count:
            memory = f" with {order.gpu_memory_bytes} bytes" if order.gpu_memory_bytes else ""
            raise _unavailable(f"{order.gpu_count} GPUs{memory} were asked for; this host has {len(there)}")
        fitting = [gpu for gpu in there if gpu["uuid"] not in _taken]
        if len(fitting) < order.gpu_count:
            raise HostBusy(f"{len(there) - len(fitting)} of this host's GPUs are lent, and leave too few for this container")
        fitting.sort(key=lambda gpu: (gpu["memory_total_bytes"] or 0, gpu["index"]))
        chosen = tuple(str(gpu["uuid"]) for gpu in fitting[:order.gpu_count])
        _taken.update(chosen)
        return chosen


def _fits(gpu: dict[str, Any], order: Order) -> bool:
    total = gpu["memory_total_bytes"]
    is_large = order.gpu_memory_bytes == 0 or (total is not None and total >= order.gpu_memory_bytes)
    return gpu["uuid"] is not None and is_large


def check_given(uuids: tuple[str, ...], created: dict[str, Any]) -> None:
    """That a container that was made, and not yet started, really has its GPUs. Raises WorkFailed."""
    requests = (created.get("HostConfig") or {}).get("DeviceRequests") or []
    given = {uuid for request in requests for uuid in request.get("DeviceIDs") or []}
    if not set(uuids) <= given:
        raise _unavailable("the container engine passed over the wish for a GPU")


def _unavailable(said: str) -> WorkFailed:
    return WorkFailed(FailureCode.GPU_UNAVAILABLE, said)
