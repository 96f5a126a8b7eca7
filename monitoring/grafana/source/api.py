"""The APIs: how many requests, how fast, how many go wrong; and what they stand on."""

from grafana_foundation_sdk.models import units

from monitoring.grafana.source import variables
from monitoring.grafana.source.board import Board, Row
from monitoring.grafana.source.expressions import (
    LASTING,
    or_zero,
    own_quantile,
    own_rate,
    ratio,
    shared,
    shared_quantile,
    shared_rate,
)
from monitoring.grafana.source.limits import NEUTRAL, above, below, look_above
from monitoring.grafana.source.panels import Panel, figure, lines

CHOSEN = 'dialect=~"$dialect", instance=~"$instance"'
INSTANCE = 'instance=~"$instance"'
REQUESTS, SECONDS = f"lightyard_dialect_requests_total{{{CHOSEN}}}", f"lightyard_dialect_request_seconds{{{CHOSEN}}}"
FAILED = f'lightyard_dialect_requests_total{{{CHOSEN}, code="5xx"}}'
DATABASE_UP, CACHE_UP = f"min(lightyard_database_up{{{INSTANCE}}})", f"min(lightyard_cache_up{{{INSTANCE}}})"
LIMITS = above(2.5, look=1)


def board() -> Board:
    """Whether the five APIs answer, and answer soon."""
    about = (
        "Requests by API (rayment, rendertrust, rnp019, robocompute, cocoon, the nodes' own), without scrapes; "
        "then the hub's processes and PostgreSQL."
    )
    rows = (
        Row("Now", now()),
        Row("Requests", requests()),
        Row("Routes", routes()),
        Row("Processes", processes()),
        Row("PostgreSQL", database()),
    )
    return Board("api", "API", about, rows, (variables.dialect(), variables.instance()))


def now() -> list[Panel]:
    """Eight figures."""
    errors = ratio(own_rate(FAILED, window=LASTING), own_rate(REQUESTS, window=LASTING))
    return [
        figure(
            "Addresses that answer",
            'sum(up{job="lightyard"})',
            "Scrape targets of the hub that answered Prometheus.",
            unit=units.Short,
            limits=below(1),
            absent="none",
        ),
        figure(
            "Requests a second",
            own_rate(REQUESTS, window=LASTING),
            "Over five minutes.",
            unit=units.RequestsPerSecond,
            limits=NEUTRAL,
            decimals=1,
        ),
        figure(
            "Errors",
            errors,
            "Share of the requests that were answered with a 5xx.",
            unit=units.PercentUnit,
            limits=above(0.05, look=0.005),
            alerts=("HighErrorRate",),
            decimals=2,
        ),
        figure(
            "Half answered within",
            own_quantile(0.5, SECONDS, window=LASTING),
            "Over five minutes.",
            unit=units.Seconds,
            limits=LIMITS,
            absent="no requests",
        ),
        figure(
            "99 % answered within",
            own_quantile(0.99, SECONDS, window=LASTING),
            "Over five minutes.",
            unit=units.Seconds,
            limits=LIMITS,
            absent="no requests",
            alerts=("APILatencyHigh",),
        ),
        figure(
            "Error budget used",
            "max(job:lightyard_slo_burn:ratio1h)",
            "How many times faster than 99.5 % allow the budget of a month was used in the last hour; 1 uses it up exactly.",
            unit=units.Short,
            limits=above(6, look=1),
            absent="no requests",
            decimals=2,
        ),
        figure(
            "PostgreSQL",
            DATABASE_UP,
            "1 if every process reaches it.",
            unit=units.Short,
            limits=below(1),
            alerts=("DatabaseIsAway",),
        ),
        figure("Cache", CACHE_UP, "1 if every process reaches it.", unit=units.Short, limits=below(1), alerts=("CacheIsAway",)),
    ]


def requests() -> list[Panel]:
    """By API."""
    return [
        lines(
            "Requests",
            {"{{dialect}}": own_rate(REQUESTS, "dialect")},
            "A second, by API.",
            unit=units.RequestsPerSecond,
            stacked=True,
            width=6,
        ),
        lines(
            "Answers",
            {"{{code}}": own_rate(REQUESTS, "code")},
            "A second, by class of status.",
            unit=units.RequestsPerSecond,
            stacked=True,
            width=6,
            alerts=("HighErrorRate",),
        ),
        lines(
            "Errors",
            {"{{dialect}}": or_zero(f"{own_rate(FAILED, 'dialect')} / {own_rate(REQUESTS, 'dialect')}", "dialect")},
            "Share of an API's requests that were answered with a 5xx.",
            unit=units.PercentUnit,
            limits=above(0.05),
            width=6,
            alerts=("HighErrorRate",),
        ),
        lines(
            "99 % answered within",
            {"{{dialect}}": own_quantile(0.99, SECONDS, "dialect")},
            "By API.",
            unit=units.Seconds,
            limits=LIMITS,
            width=6,
            alerts=("APILatencyHigh",),
        ),
    ]


def routes() -> list[Panel]:
    """Which routes are asked, are slow, or fail."""
    asked = f'http_requests_total{{{INSTANCE}, endpoint!="/metrics"}}'
    failed = f'http_requests_total{{{INSTANCE}, endpoint!="/metrics", status_code=~"5.."}}'
    slow = own_quantile(
        0.95, f'http_request_duration_seconds{{{INSTANCE}, endpoint!~"/metrics|/ws.*|/files/.*"}}', "method", "endpoint"
    )
    return [
        lines(
            "Most asked",
            {"{{method}} {{endpoint}}": f"topk(8, {own_rate(asked, 'method', 'endpoint')})"},
            "Requests a second, by route.",
            unit=units.RequestsPerSecond,
        ),
        lines(
            "Slowest",
            {"{{method}} {{endpoint}}": f"topk(8, {slow})"},
            "Within which 19 of 20 requests of a route were answered.",
            unit=units.Seconds,
            limits=LIMITS,
            alerts=("APILatencyHigh",),
        ),
        lines(
            "Failing",
            {"{{method}} {{endpoint}} {{status_code}}": or_zero(own_rate(failed, "method", "endpoint", "status_code"), "method")},
            "Answers with a 5xx a second, by route.",
            unit=units.RequestsPerSecond,
            limits=look_above(0.01),
            alerts=("HighErrorRate",),
        ),
    ]


def processes() -> list[Panel]:
    """The hub's own processes, by their roles."""
    return [
        lines(
            "Processes",
            {"{{role}}": shared("lightyard_processes", "role")},
            "Heard of in the last 20 seconds, all hosts together.",
            unit=units.Short,
            width=6,
        ),
        lines(
            "Memory",
            {"{{role}}": shared("lightyard_process_resident_bytes", "role")},
            "Of a role's processes together.",
            unit=units.BytesIEC,
            width=6,
        ),
        lines(
            "Processor",
            {"{{role}}": shared_rate("lightyard_process_cpu_seconds_total", "role")},
            "Cores in use by a role's processes.",
            unit=units.Short,
            width=6,
        ),
        lines(
            "Sweeps were last done",
            {"{{sweep}}": shared("lightyard_sweep_age_seconds", "sweep")},
            "Time since a sweep left its figures; an old one means beat or the worker stands still.",
            unit=units.Seconds,
            limits=look_above(120),
            width=6,
        ),
    ]


def database() -> list[Panel]:
    """PostgreSQL, as the hub sees it."""
    held, most = shared("lightyard_database_connections", "state"), shared("lightyard_database_connections_limit")
    return [
        lines(
            "Connections at the server",
            {"{{state}}": held, "limit": most},
            "By what they do, and the server's limit.",
            unit=units.Short,
            width=6,
        ),
        lines(
            "Pools",
            {
                "{{role}} used": shared('lightyard_database_pool_connections{state="used"}', "role"),
                "{{role}} limit": shared("lightyard_database_pool_limit", "role"),
            },
            "Connections in use by each role's processes, and how many they may have.",
            unit=units.Short,
            width=6,
        ),
        lines(
            "99 % of the units of work took at most",
            {"{{role}}": shared_quantile(0.99, "lightyard_database_work_seconds", "role")},
            "From the first statement to the commit.",
            unit=units.Seconds,
            limits=look_above(1),
            width=6,
        ),
        lines(
            "Oldest open transaction",
            {"age": shared("lightyard_database_oldest_transaction_seconds")},
            "A long one holds locks and keeps old rows.",
            unit=units.Seconds,
            limits=look_above(60),
            width=6,
        ),
        lines(
            "Transactions",
            {"{{outcome}}": shared_rate("lightyard_database_transactions_total", "outcome")},
            "A second.",
            unit=units.OpsPerSecond,
            stacked=True,
        ),
        lines(
            "Deadlocks, an hour",
            {"deadlocks": f"3600 * {shared_rate('lightyard_database_deadlocks_total')}"},
            "Locks are taken in one order, so there should be none.",
            unit=units.Short,
            limits=look_above(1),
        ),
        lines("Size", {"database": shared("lightyard_database_size_bytes")}, "On disk.", unit=units.BytesIEC),
    ]
