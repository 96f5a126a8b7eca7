"""Cocoon workers in Prometheus' text format, made of plain rows in one pass: ten thousand of them are ninety thousand samples,
which are written once per scrape interval by whoever polls, and served as bytes by every process."""

import json
from collections.abc import Iterable, Sequence
from typing import Any

from app.values.worker_health import DEGRADED, DOWN, HEALTHY, WARNING

STATUS = {HEALTHY: "1", WARNING: "0.7", DEGRADED: "0.5", DOWN: "0"}
FAMILIES = {
    "cocoon_worker_status": ("gauge", "Worker health status: 1 healthy, 0.7 warning, 0.5 degraded, 0 down"),
    "cocoon_gpu_utilization": ("gauge", "GPU utilization percentage"),
    "cocoon_gpu_memory_used_gb": ("gauge", "GPU memory in use, in GiB"),
    "cocoon_gpu_temperature_celsius": ("gauge", "GPU temperature in degrees Celsius"),
    "cocoon_revenue_ton": ("gauge", "Revenue in TON: tokens committed to the chain, at the fee of their time"),
    "cocoon_inference_requests_total": ("counter", "Inference requests, added up over the worker's restarts"),
    "cocoon_inference_requests_failed_total": ("counter", "Inference requests that failed"),
    "cocoon_inference_latency_seconds": ("gauge", "Mean time of the requests that ended since the worker began"),
    "cocoon_worker_errors_total": ("counter", "Polls and changes that went wrong, by what was wrong"),
}
_GPU = (
    ("cocoon_gpu_utilization", "utilization"),
    ("cocoon_gpu_memory_used_gb", "memory_used_gb"),
    ("cocoon_gpu_temperature_celsius", "celsius"),
)
_ESCAPED = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})
NONE_YET = {"unreachable": 0}  # so that the first error of a worker is seen as a rise


def build(rows: Iterable[Sequence[Any]]) -> bytes:
    """The whole exposition. Each row, as `core.cocoon_workers.overview` has it: id, name, participant, instance, requests,
    success, failed, revenue in nanoTON, mean latency, status, moment of the poll, GPUs and errors as JSON text. What is None
    has no sample."""
    lines = {name: [f"# HELP {name} {text}", f"# TYPE {name} {kind}"] for name, (kind, text) in FAMILIES.items()}
    status_of, revenue_of = lines["cocoon_worker_status"].append, lines["cocoon_revenue_ton"].append
    asked, failures = lines["cocoon_inference_requests_total"].append, lines["cocoon_inference_requests_failed_total"].append
    latency_of, error_of = lines["cocoon_inference_latency_seconds"].append, lines["cocoon_worker_errors_total"].append
    gpu_of = [(lines[family].append, family, figure) for family, figure in _GPU]
    found = list(rows)
    all_gpus = json.loads(f"[{','.join(row[-2] or 'null' for row in found)}]")  # once for all of them: a call each costs more
    for row, gpus in zip(found, all_gpus, strict=True):
        number, name, participant, instance, requests, _, failed, revenue, latency, status, _, _, errors = row
        who = f'worker_id="{number}",worker_name="{name.translate(_ESCAPED)}"'
        if status is not None:
            level = STATUS.get(status, "0")
            status_of(f'cocoon_worker_status{{{who},participant_id="{participant}",instance="{instance}"}} {level}')
        if revenue is not None:
            revenue_of(f'cocoon_revenue_ton{{{who},participant_id="{participant}"}} {revenue / 1e9!r}')
        if requests is not None:
            asked(f"cocoon_inference_requests_total{{{who}}} {requests}")
        if failed is not None:
            failures(f"cocoon_inference_requests_failed_total{{{who}}} {failed}")
        if latency is not None:
            latency_of(f"cocoon_inference_latency_seconds{{{who}}} {latency!r}")
        for kind, count in (NONE_YET if errors == "{}" else {**NONE_YET, **json.loads(errors)}).items():
            error_of(f'cocoon_worker_errors_total{{{who},error_type="{kind}"}} {count}')
        for gpu in gpus or ():
            which = f'{{{who},gpu_id="{gpu["gpu_id"]}"}}'
            for add, family, figure in gpu_of:
                if gpu.get(figure) is not None:
                    add(f"{family}{which} {gpu[figure]!r}")
    return "".join("\n".join(family) + "\n" for family in lines.values()).encode("utf-8", "replace")
