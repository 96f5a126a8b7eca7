"""What many panels ask in the same way.

The marketplace's own figures are read from PostgreSQL by every process that is scraped, and are alike: the greatest counts, never
the sum. Requests, sockets and messages are each process's own: the sum counts.
"""

WINDOW = "$__rate_interval"
LASTING = "5m"  # for figures that should not jump: as the alerts look at them
COUNTED = 'endpoint!~"/metrics|/ws.*|/files/.*"'  # sockets last, and files are as slow as they are large


def alike(series: str, *labels: str) -> str:
    """A figure that every process tells: `series` with its selector, by its labels."""
    by = f" by ({', '.join(labels)})" if labels else ""
    return f"max{by} ({series})"


def or_zero(expression: str) -> str:
    """Where nothing is to be told, Prometheus answers nothing: then it is 0."""
    return f"{expression} or on() vector(0)"


def ended(selector: str = "", window: str = LASTING) -> str:
    """Dispatched jobs that ended, each second, by type and status; totals in PostgreSQL, so alike."""
    return f"max by (job_type, status) (rate(jobs_completed_total{{{selector}}}[{window}]))"


def requests(selector: str, window: str = WINDOW) -> str:
    """Requests each second."""
    return f"rate(http_requests_total{{{selector}}}[{window}])"


def ratio(part: str, whole: str) -> str:
    """`part` of `whole`, 0 while there is nothing at all."""
    return f"(({part}) or on() vector(0)) / (({whole}) > 0) or on() vector(0)"


def quantile(rank: float, family: str, selector: str, *labels: str, window: str = WINDOW) -> str:
    """Of a histogram, over the summed buckets of all processes."""
    return f"histogram_quantile({rank}, sum by ({', '.join(('le', *labels))}) (rate({family}_bucket{{{selector}}}[{window}])))"
