"""A Cocoon worker as its watchers are told of it, live: the same words from whoever polled it and from the database."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

NANO = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Said:
    """What is known of a worker after a poll. `latency_seconds` is the mean of all its requests; None is what it does not say."""

    at: datetime | None
    status: str | None
    reasons: Sequence[str]
    requests: int | None
    failed: int | None
    latency_seconds: float | None
    revenue_nano: int | None
    gpus: Sequence[dict[str, float | None]] | None


def report(worker_id: int, worker_name: str, participant_id: int, is_active: bool, said: Said) -> dict[str, Any]:
    """One worker in a message of /ws/metrics."""
    return {
        "worker_id": worker_id,
        "worker_name": worker_name,
        "participant_id": participant_id,
        "is_active": is_active,
        "timestamp": None if said.at is None else said.at.isoformat(),
        "status": said.status,
        "reasons": list(said.reasons),
        "gpu_utilization": mean(said.gpus, "utilization"),
        "gpu_memory_used_gb": total(said.gpus, "memory_used_gb"),
        "gpu_temperature_celsius": most(said.gpus, "celsius"),
        "gpus": said.gpus,
        "inference_requests_total": said.requests,
        "inference_requests_failed_total": said.failed,
        "avg_inference_latency_ms": None if said.latency_seconds is None else round(said.latency_seconds * 1000, 3),
        "revenue_ton": None if said.revenue_nano is None else said.revenue_nano / NANO,
    }


Gpus = Sequence[dict[str, float | None]] | None


def _known(gpus: Gpus, name: str) -> list[float]:
    return [value for gpu in gpus or () if (value := gpu.get(name)) is not None]


def mean(gpus: Gpus, name: str) -> float | None:
    """Over the GPUs that say; None where none does."""
    known = _known(gpus, name)
    return sum(known) / len(known) if known else None


def total(gpus: Gpus, name: str) -> float | None:
    """Over the GPUs that say; None where none does."""
    known = _known(gpus, name)
    return round(sum(known), 3) if known else None


def most(gpus: Gpus, name: str) -> float | None:
    """Of the GPUs that say; None where none does."""
    return max(_known(gpus, name), default=None)
