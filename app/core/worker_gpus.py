"""GPU figures of the hosts that Cocoon workers run on, where one of our nodes runs there too and tells what NVML says."""

import uuid
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.core.nodes import gpus_of
from app.models.nodes import Node
from app.values import clock

GIB, MOST_GPUS, MOST_ADDRESSES = 2**30, 64, 32
LOOPBACK = ("localhost", "127.0.0.1", "::1")

Gpu = dict[str, float | None]
"""gpu_id, utilization (%), memory_used_gb and memory_total_gb (GiB), celsius, watts; None is what the driver does not say."""


@dataclass(frozen=True, slots=True)
class _Host:
    account_id: uuid.UUID
    is_trusted: bool
    gpus: list[Gpu]


class Hosts:
    """The GPUs of hosts whose nodes were heard of lately."""

    def __init__(self, found: Iterable[tuple[str, _Host]], own_name: str) -> None:
        self._own_name = own_name.lower()
        self._hosts: dict[str, list[_Host]] = defaultdict(list)
        for name, host in found:
            self._hosts[name.lower()].append(host)

    def of(self, host: str, account_id: uuid.UUID) -> list[Gpu] | None:
        """The GPUs beside a worker of this account; None where nobody says. A node can claim any name, so only the operator's
        nodes and those of the worker's own account are believed."""
        name = self._own_name if host.lower() in LOOPBACK else host.lower()
        believed = [item for item in self._hosts.get(name, ()) if item.is_trusted or item.account_id == account_id]
        return believed[0].gpus if believed and believed[0].gpus else None


def read(session: Session, silence_seconds: int, own_name: str) -> Hosts:
    """The GPUs that nodes told of with their heartbeats, the operator's before others', the last heard of first."""
    parts = [Node.machine[name] for name in ("hostname", "addresses", "gpus")]
    query = select(Node.account_id, Node.is_trusted, *parts).where(
        Node.last_heartbeat_at > clock.now() - timedelta(seconds=silence_seconds),
        func.jsonb_typeof(Node.machine["gpus"]) == "array",
    )
    rows = session.execute(query.order_by(Node.is_trusted.desc(), Node.last_heartbeat_at.desc()))
    return Hosts((found for row in rows for found in _names(row)), own_name)


def _names(row: Any) -> Iterator[tuple[str, _Host]]:
    """A node's host, by its name and by each of its addresses."""
    host = _Host(row[0], row[1], _gpus(row[4]))
    addresses = row[3] if isinstance(row[3], list) else []
    for name in (row[2], *addresses[:MOST_ADDRESSES]):
        if isinstance(name, str) and name.lower() not in LOOPBACK:
            yield name, host


def _gpus(told: Any) -> list[Gpu]:
    return [_gpu(number, gpu) for number, gpu in enumerate(gpus_of({"gpus": told})[:MOST_GPUS])]


def _gpu(number: int, gpu: dict[str, Any]) -> Gpu:
    index = gpu.get("index")
    used, total = figure(gpu.get("memory_used_bytes"), 2**50), figure(gpu.get("memory_total_bytes"), 2**50)
    return {
        "gpu_id": index if type(index) is int and 0 <= index < MOST_GPUS else number,
        "utilization": figure(gpu.get("utilization_percent"), 100),
        "memory_used_gb": None if used is None else round(used / GIB, 3),
        "memory_total_gb": None if total is None else round(total / GIB, 3),
        "celsius": figure(gpu.get("temperature_celsius"), 200),
        "watts": figure(gpu.get("power_watts"), 10_000),
    }


def figure(value: Any, most: float) -> float | None:
    """A number that can be one; None for anything else: nodes may say anything."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= most:
        return None
    return value
