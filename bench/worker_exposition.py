"""(j) The exposition of ten thousand Cocoon workers."""

import json
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import httpx
from prometheus_client import generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from app.adapters.exposition_shelf import ExpositionShelf
from app.observability import worker_exposition
from bench.report import Part, Series, Verdict, ratio_of_medians
from bench.rounds import Options, take_turns
from bench.stack import BenchError, BenchStack

WORKERS = 10_000
REQUESTS, SCRAPES, PAUSE_SECONDS = 2000, 20, 1.0
MOST_OF_CLIENT = 0.2
MOST_P99_RATIO = 1.5
HOW = (
    "Nine families, nine samples a worker, one GPU each. Ours: from plain rows, as the database gives them, to the bytes; "
    "`prometheus_client`: the same samples from ready-made families to bytes (`generate_latest`), and with the families made "
    "from the rows first, as its collectors do at each scrape. Processor time. Then whole scrapes of gunicorn with two workers "
    "that serves these bytes, and other requests (`/api/v1/health`, one client) beside a scrape every second."
)


def measure(options: Options) -> Part:
    part = Part("j", "The exposition of ten thousand Cocoon workers", HOW)
    count = options.size(WORKERS, 300)
    rows = [row(number) for number in range(count)]
    families = ready_made(rows)
    sides: dict[str, Callable[[], float]] = {
        "ours, from rows": lambda: _cpu(lambda: worker_exposition.build(rows)),
        "prometheus_client, from ready-made families": lambda: _cpu(lambda: generate_latest(_Ready(families))),
        "prometheus_client, from rows": lambda: _cpu(lambda: generate_latest(_Ready(ready_made(rows)))),
    }
    body = worker_exposition.build(rows)
    if _lines(body) != _lines(generate_latest(_Ready(families))):
        raise BenchError("the two sides do not say the same")
    found = take_turns("(j) builds", max(3, options.rounds), sides)
    part.series = [Series(name, "ms", tuple(value * 1000 for value in values), 1) for name, values in found.items()]
    ours, ready, from_rows = part.series
    part.verdicts = [
        Verdict("ours ÷ prometheus_client's, from ready-made families", ratio_of_medians(ours, ready), "≤", MOST_OF_CLIENT),
        Verdict("ours ÷ prometheus_client's, from rows", ratio_of_medians(ours, from_rows), "≤", MOST_OF_CLIENT),
    ]
    part.notes = [f"{len(body):,} bytes for {count:,} workers, made once per scrape interval by the poller, however many scrape."]
    _serve(part, body, options)
    return part


def row(number: int) -> tuple[Any, ...]:
    """A worker as `core.cocoon_workers.overview` gives it."""
    gpus = json.dumps([{"gpu_id": 0, "utilization": 50 + number % 50, "memory_used_gb": 20.125, "celsius": 60}])
    figures = (1000 + number, 990 + number, 10, 123_456_789 + number, 2 + number / 1000)
    return (number, f"Worker-{number}", number % 100, number % 8, *figures, "healthy", None, gpus, "{}")


def ready_made(rows: Iterable[Sequence[Any]]) -> list[Metric]:
    """The same samples as prometheus_client's own families."""
    who, of = ["worker_id", "worker_name"], ["worker_id", "worker_name", "participant_id"]
    status = GaugeMetricFamily("cocoon_worker_status", "x", labels=[*of, "instance"])
    gpu = {
        figure: GaugeMetricFamily(name, "x", labels=[*who, "gpu_id"])
        for name, figure in (
            ("cocoon_gpu_utilization", "utilization"),
            ("cocoon_gpu_memory_used_gb", "memory_used_gb"),
            ("cocoon_gpu_temperature_celsius", "celsius"),
        )
    }
    revenue = GaugeMetricFamily("cocoon_revenue_ton", "x", labels=of)
    asked = CounterMetricFamily("cocoon_inference_requests", "x", labels=who)
    failures = CounterMetricFamily("cocoon_inference_requests_failed", "x", labels=who)
    latency = GaugeMetricFamily("cocoon_inference_latency_seconds", "x", labels=who)
    errors = CounterMetricFamily("cocoon_worker_errors", "x", labels=[*who, "error_type"])
    for number, name, participant, instance, requests, _, failed, nano, seconds, _, _, gpus, _ in rows:
        own = [str(number), name]
        status.add_metric([*own, str(participant), str(instance)], 1)
        for item in json.loads(gpus):
            for figure, family in gpu.items():
                family.add_metric([*own, str(item["gpu_id"])], item[figure])
        revenue.add_metric([*own, str(participant)], nano / 1e9)
        asked.add_metric(own, requests)
        failures.add_metric(own, failed)
        latency.add_metric(own, seconds)
        errors.add_metric([*own, "unreachable"], 0)
    return [status, *gpu.values(), revenue, asked, failures, latency, errors]


class _Ready(Collector):
    def __init__(self, families: list[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families


def _lines(text: bytes) -> set[tuple[tuple[str, ...], float]]:
    """Samples by name and labels, in whatever order these are and however values are written; no label here has a comma in it."""
    lines = [line.rsplit(" ", 1) for line in text.decode().splitlines() if not line.startswith("#")]
    return {(tuple(sorted(name.replace("{", ",").rstrip("}").split(","))), float(value)) for name, value in lines}


def _cpu(build: Callable[[], bytes]) -> float:
    began = time.process_time()
    build()
    return time.process_time() - began


def _serve(part: Part, body: bytes, options: Options) -> None:
    requests, scrapes = options.size(REQUESTS, 100), options.size(SCRAPES, 3)
    with BenchStack(API_WORKERS="2", METRICS_SCRAPE_SECONDS="600") as stack:
        url = f"{stack.api_url}/api/v1/health"
        without = [_latencies(url, requests) for _ in range(3)]
        ExpositionShelf(stack.endpoints["redis_url"]).put(body, 600)
        seconds = [_scrape(stack.api_url, body) for _ in range(scrapes)]
        beside = [_beside(stack.api_url, url, requests, body) for _ in range(3)]
    scraped, alone, crowded = (tuple(value * 1000 for value in found) for found in (seconds, without, beside))
    quiet = Series("other requests, p99 without scrapes", "ms", alone, 2)
    busy = Series("other requests, p99 beside a scrape every second", "ms", crowded, 2)
    part.series += [Series("a scrape of all of it over HTTP", "ms", scraped, 1), quiet, busy]
    ratio = ratio_of_medians(busy, quiet)
    part.verdicts.append(Verdict("p99 of other requests beside the scrapes, to without them", ratio, "≤", MOST_P99_RATIO))


def _scrape(api_url: str, body: bytes) -> float:
    began = time.perf_counter()
    answer = httpx.get(f"{api_url}/metrics", timeout=30)
    if not answer.content.endswith(body):
        raise BenchError("a scrape did not bring the whole exposition")
    return time.perf_counter() - began


def _latencies(url: str, count: int) -> float:
    """The 99th percentile, in seconds."""
    found = []
    with httpx.Client(timeout=30) as client:
        for _ in range(count):
            began = time.perf_counter()
            client.get(url).raise_for_status()
            found.append(time.perf_counter() - began)
            time.sleep(0.002)
    return sorted(found)[int(len(found) * 0.99)]


def _beside(api_url: str, url: str, count: int, body: bytes) -> float:
    """The same while somebody else scrapes all the time."""
    stopping = threading.Event()

    def scrape() -> None:
        while not stopping.is_set():
            _scrape(api_url, body)
            stopping.wait(PAUSE_SECONDS)

    thread = threading.Thread(target=scrape)
    thread.start()
    try:
        return _latencies(url, count)
    finally:
        stopping.set()
        thread.join()
