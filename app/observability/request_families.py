"""`http_requests_total` and `http_request_duration_seconds`: the exporter's histogram told again, under the names of RenderTrust;
and by dialect, for what an operator promises of each.

All are made at a scrape of what is counted anyway: a request pays nothing for them, and they can't disagree with the exporter's.
"""

from collections.abc import Callable, Iterable, Sequence

from flask import Flask, request
from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

SOURCE = "lightyard_http_request_duration_seconds"
REQUESTS, DURATION = "http_requests", "http_request_duration_seconds"
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"})
BY_DIALECT, DIALECT_SECONDS = "lightyard_dialect_requests", "lightyard_dialect_request_seconds"
SCRAPES = "/metrics"
# Sockets and streams last as long as somebody listens, files as long as their bytes take.
ENDLESS = ("/ws", "/api/v1/relay", "/files/")
CODES = ("2xx", "3xx", "4xx", "5xx")
# Rayment's word for "no provider takes this": the market's no, which anybody may bring about, and no failure of ours.
MARKETS_NO = ("POST", "/render", "503")
OTHER_METHOD, UNMATCHED = "OTHER", "unmatched"


def bound_methods(app: Flask) -> None:
    """A client can make up methods, each of which would be series that stay: all of them are one."""

    @app.before_request
    def bound() -> None:
        if request.method not in METHODS:
            request.method = OTHER_METHOD


class RequestFamilies:
    """A registry's families, and those that are told again; for `generate_latest`. `dialect_of` says which of `dialects` a URL's
    rule belongs to."""

    def __init__(self, source: Collector, dialects: Sequence[str], dialect_of: Callable[[str], str]) -> None:
        self._source, self._dialects, self._dialect_of = source, dialects, dialect_of

    def collect(self) -> Iterable[Metric]:
        for family in self._source.collect():
            yield family
            if family.name == SOURCE:
                yield requests_of(family)
                yield duration_of(family)
                yield dialect_requests_of(family, self._dialects, self._dialect_of)
                yield dialect_duration_of(family, self._dialect_of)


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
    """The histogram without the status."""
    return _added_up(durations, DURATION, ("method", "endpoint"), lambda labels: (labels["method"], _endpoint(labels)))


def dialect_requests_of(durations: Metric, dialects: Sequence[str], dialect_of: Callable[[str], str]) -> Metric:
    """Requests by dialect and class of status, zeros too, so that the first of a class is seen as a rise."""
    found = {(name, code): 0.0 for name in dialects for code in CODES}
    for sample in durations.samples:
        if sample.name != f"{SOURCE}_count" or sample.labels["url_rule"] == SCRAPES:
            continue
        dialect = dialect_of(_endpoint(sample.labels))
        is_refused = tuple(sample.labels[name] for name in ("method", "url_rule", "status")) == MARKETS_NO
        code = "4xx" if is_refused else f"{sample.labels['status'][:1]}xx"
        if (dialect, code) in found:
            found[dialect, code] += sample.value
    family = CounterMetricFamily(BY_DIALECT, "Requests answered, by dialect; no scrapes", labels=("dialect", "code"))
    for key, value in sorted(found.items()):
        family.add_metric(key, value)
    return family


def dialect_duration_of(durations: Metric, dialect_of: Callable[[str], str]) -> Metric:
    """The histogram by dialect, without what may last."""

    def place(labels: dict[str, str]) -> tuple[str, ...] | None:
        rule = _endpoint(labels)
        is_endless = rule == SCRAPES or rule.startswith(ENDLESS) or rule.endswith("/events")
        return None if is_endless else (dialect_of(rule),)

    return _added_up(durations, DIALECT_SECONDS, ("dialect",), place)


def _added_up(
    durations: Metric, name: str, labels: tuple[str, ...], place: Callable[[dict[str, str]], tuple[str, ...] | None]
) -> Metric:
    """A histogram under other labels: its buckets, counts and sums added up, in the order in which they came."""
    sums: dict[tuple[tuple[str, ...], str, str], float] = {}
    for sample in durations.samples:
        part, where = sample.name.removeprefix(SOURCE), place(sample.labels)
        if where is None or part not in ("_bucket", "_count", "_sum"):
            continue
        key = (where, part, sample.labels.get("le", ""))
        sums[key] = sums.get(key, 0.0) + sample.value
    family = Metric(name, "How long requests took, from the first handler to the answer", "histogram")
    for (where, part, le), value in sorted(sums.items(), key=lambda item: item[0][0]):
        told = dict(zip(labels, where, strict=True))
        family.add_sample(name + part, told | {"le": le} if le else told, value)
    return family
