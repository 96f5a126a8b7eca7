"""`http_requests_total` and `http_request_duration_seconds`: the exporter's histogram told again, under the names of RenderTrust.

Both are made at a scrape of what is counted anyway: a request pays nothing for them, and they can't disagree with the exporter's.
"""

from collections.abc import Iterable

from flask import Flask, request
from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

SOURCE = "lightyard_http_request_duration_seconds"
REQUESTS, DURATION = "http_requests", "http_request_duration_seconds"
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"})
OTHER_METHOD, UNMATCHED = "OTHER", "unmatched"


def bound_methods(app: Flask) -> None:
    """A client can make up methods, each of which would be series that stay: all of them are one."""

    @app.before_request
    def bound() -> None:
        if request.method not in METHODS:
            request.method = OTHER_METHOD


class RequestFamilies:
    """A registry's families, and the two that are told again; for `generate_latest`."""

    def __init__(self, source: Collector) -> None:
        self._source = source

    def collect(self) -> Iterable[Metric]:
        for family in self._source.collect():
            yield family
            if family.name == SOURCE:
                yield requests_of(family)
                yield duration_of(family)


def _endpoint(labels: dict[str, str]) -> str:
    """The URL's rule; every address that has none is one value."""
    return UNMATCHED if labels["url_rule"] == "None" else labels["url_rule"]


def requests_of(durations: Metric) -> Metric:
    """How many requests there were: the histogram's own counts."""
    family = CounterMetricFamily(REQUESTS, "Requests answered", labels=("method", "endpoint", "status_code"))
    for sample in durations.samples:
        if sample.name == f"{SOURCE}_count":
            family.add_metric((sample.labels["method"], _endpoint(sample.labels), sample.labels["status"]), sample.value)
    return family


def duration_of(durations: Metric) -> Metric:
    """The histogram without the status: its buckets, counts and sums added up, in the order in which they came."""
    sums: dict[tuple[str, str, str, str], float] = {}
    for sample in durations.samples:
        part = sample.name.removeprefix(SOURCE)
        if part not in ("_bucket", "_count", "_sum"):
            continue
        key = (sample.labels["method"], _endpoint(sample.labels), part, sample.labels.get("le", ""))
        sums[key] = sums.get(key, 0.0) + sample.value
    family = Metric(DURATION, "How long requests took, from the first handler to the answer", "histogram")
    for (method, endpoint, part, le), value in sorted(sums.items(), key=lambda item: item[0][:2]):
        labels = {"method": method, "endpoint": endpoint}
        family.add_sample(DURATION + part, labels | {"le": le} if le else labels, value)
    return family
