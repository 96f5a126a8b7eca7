"""Nodes and their GPUs in Prometheus' text format: written now and then by a sweep, and served as bytes by every process."""

from collections.abc import Iterable, Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from app.core.watched import SeenNode

NODE = {
    "lightyard_node_info": ("A node's id and name", ("node", "name")),
    "lightyard_node_up": ("1 if the node is healthy", ("node",)),
    "lightyard_node_heartbeat_age_seconds": ("Time since its last heartbeat", ("node",)),
    "lightyard_node_load": ("The load that it reports, 0 to 1", ("node",)),
    "lightyard_node_slots": ("Attempts that it holds, and what is left of the slots that it reports", ("node", "state")),
}
GPU = {
    "utilization_percent": "What NVML says of the GPU's use",
    "memory_used_bytes": "GPU memory in use",
    "memory_total_bytes": "GPU memory",
    "temperature_celsius": "The GPU's temperature",
    "power_watts": "The GPU's power",
}
NAME_CHARACTERS = 64


def build(nodes: Iterable[SeenNode]) -> bytes:
    """The whole exposition; what a node did not report has no sample."""
    registry = CollectorRegistry()
    registry.register(_Nodes(list(nodes)))
    return generate_latest(registry)


class _Nodes(Collector):
    def __init__(self, nodes: list[SeenNode]) -> None:
        self._nodes = nodes

    def collect(self) -> Iterator[Metric]:
        info, up, age, load, slots = (GaugeMetricFamily(name, text, labels=labels) for name, (text, labels) in NODE.items())
        gpus = {name: GaugeMetricFamily(f"lightyard_gpu_{name}", text, labels=("node", "gpu")) for name, text in GPU.items()}
        for node in self._nodes:
            key = str(node.id)
            info.add_metric((key, node.name[:NAME_CHARACTERS]), 1)
            up.add_metric((key,), float(node.is_well))
            age.add_metric((key,), node.age_seconds)
            load.add_metric((key,), node.load)
            slots.add_metric((key, "busy"), node.busy)
            if node.slots is not None:
                slots.add_metric((key, "idle"), max(0, node.slots - node.busy))
            for gpu in node.gpus:
                for name, family in gpus.items():
                    value = gpu[name]
                    if value is not None:
                        family.add_metric((key, str(gpu["gpu"])), value)
        yield from (info, up, age, load, slots, *gpus.values())
