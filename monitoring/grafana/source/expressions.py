"""What many panels ask in the same way (docs/metrics.md says who counts each family).

Shared figures are the same at every API process that is scraped: the greatest counts, never the sum. Requests, sockets' messages
and the like are each process's own: the sum counts.
"""

WINDOW = "$__rate_interval"
HUB_S_ZERO = "0 * max(lightyard_build_info)"  # there only while a hub is scraped: where none answers, nothing is said to be 0
PROMETHEUS_ZERO = "vector(0)"  # for what Prometheus knows by itself
LASTING = "5m"  # for figures that are read as one number, which should not jump: the alerts' own window


def shared(series: str, *labels: str) -> str:
    """A figure that every process tells alike, by some of its labels."""
    return f"max{_by(labels)} ({series})"


def shared_rate(series: str, *labels: str, window: str = WINDOW) -> str:
    """How fast a shared counter grows, each second."""
    return f"max{_by(labels)} (rate({series}[{window}]))"


def own_rate(series: str, *labels: str, window: str = WINDOW) -> str:
    """How fast the processes' own counters grow together, each second."""
    return f"sum{_by(labels)} (rate({series}[{window}]))"


def shared_rise(series: str, *labels: str, window: str) -> str:
    """By how much a shared counter grew within a window: for what is rare."""
    return f"max{_by(labels)} (increase({series}[{window}]))"


def total(expression: str, *labels: str) -> str:
    """The sum over labels that the inner expression has kept."""
    return f"sum{_by(labels)} ({expression})"


def or_zero(expression: str, label: str = "", zero: str = HUB_S_ZERO) -> str:
    """Where there is nothing to tell Prometheus answers nothing: then 0, named `none` where a legend wants `label`."""
    return f"{expression} or on() " + (f'label_replace({zero}, "{label}", "none", "", "")' if label else zero)


def ratio(part: str, whole: str) -> str:
    """`part` of `whole`; 0 while there is nothing at all."""
    return or_zero(f"({or_zero(part)}) / ({whole} > 0)")


def own_quantile(rank: float, family: str, *labels: str, window: str = WINDOW) -> str:
    """Of a histogram that each process counts for itself, over the summed buckets; `family` may have a selector."""
    return f"histogram_quantile({rank}, sum{_by(('le', *labels))} (rate({_buckets(family)}[{window}])))"


def shared_quantile(rank: float, family: str, *labels: str, window: str = WINDOW) -> str:
    """Of a histogram that every process tells alike: summed over its other labels on each of them, and the greatest taken."""
    inner = f"sum{_by(('instance', 'le', *labels))} (rate({_buckets(family)}[{window}]))"
    return f"histogram_quantile({rank}, max{_by(('le', *labels))} ({inner}))"


def _by(labels: tuple[str, ...]) -> str:
    return f" by ({', '.join(labels)})" if labels else ""


def _buckets(family: str) -> str:
    name, brace, selector = family.partition("{")
    return f"{name}_bucket{brace}{selector}"
