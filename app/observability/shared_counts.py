"""What all processes of the hub have reported, as families: the sums of their counts, and how those are that live."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric

from app.core.figures import Figure
from app.counts import FAMILIES, Family
from app.observability.reporter import ALIVE_SECONDS, ROLES

Series = dict[tuple[str, ...], dict[str, float]]


def families(found: Mapping[str, str], prefix: str) -> Iterable[Metric]:
    """The hash of counts as metrics; a family that nobody has counted yet has no samples."""
    series: dict[str, Series] = defaultdict(dict)
    for key, value in found.items():
        name, part, *labels = key.split("|")
        series[name].setdefault(tuple(labels), {})[part] = float(value)
    for name, family in FAMILIES.items():
        yield (_histogram if family.buckets else _counter)(prefix + name, family, series[name])


def _counter(name: str, family: Family, series: Series) -> Metric:
    metric = CounterMetricFamily(name, family.text, labels=family.labels)
    for labels, parts in sorted(series.items()):
        metric.add_metric(labels, max(0.0, parts.get("", 0.0)))
    return metric


def _histogram(name: str, family: Family, series: Series) -> Metric:
    metric = HistogramMetricFamily(name, family.text, labels=family.labels)
    edges = [*(repr(edge) for edge in family.buckets), "+Inf"]
    for labels, parts in sorted(series.items()):
        total, buckets = 0.0, list[tuple[str, float]]()
        for place, edge in enumerate(edges):
            total += parts.get(str(place), 0.0)
            buckets.append((edge, total))
        metric.add_metric(labels, buckets, parts.get("sum", 0.0))
    return metric


def living(found: Mapping[str, str], now: float) -> Iterator[Figure]:
    """Of the processes that were heard of lately: how many there are, and their gauges, those of the same labels added up."""
    alive = [kept for kept in map(json.loads, found.values()) if now - kept["at"] <= ALIVE_SECONDS]
    counted = Counter(kept["role"] for kept in alive)
    for role in ROLES:
        yield Figure("processes", counted[role], {"role": role})
    sums: dict[tuple[str, tuple[tuple[str, str], ...]], float] = defaultdict(float)
    for kept in alive:
        for name, labels, value in kept["gauges"]:
            sums[name, tuple(sorted(labels.items()))] += value
    for (name, pairs), value in sorted(sums.items()):
        yield Figure(name, value, dict(pairs))


def forgotten(found: Mapping[str, str], now: float, after_seconds: float) -> list[str]:
    """Processes that were not heard of for long."""
    return [name for name, kept in found.items() if now - json.loads(kept)["at"] > after_seconds]
