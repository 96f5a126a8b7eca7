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
        "Requests by API (rayment, rendertrust, rnp019, robocompute, cocoon, the nodes' own), without scrapes and files. "
        "What they stand on is on the dashboard platform."
    )
    rows = (Row("Now", now()), Row("Requests", requests()), Row("Routes", routes()), Row("Error budget", budget()))
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
            alerts=("TargetIsDown", "NothingIsScraped"),
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
            alerts=("HighErrorRate", "DialectFails"),
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
            or_zero("max(job:lightyard_slo_burn:ratio1h)"),
            "How many times faster than 99.5 % allow the budget of a month was used in the last hour; 1 uses it up exactly.",
            unit=units.Short,
            limits=above(14.4, look=1),
            alerts=("ErrorBudgetBurnsFast", "ErrorBudgetBurns"),
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
            alerts=("HighErrorRate", "DialectFails"),
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


def budget() -> list[Panel]:
    """How long the month's allowance of errors will last."""
    burn = {window: or_zero(f"max(job:lightyard_slo_burn:ratio{window})") for window in ("5m", "1h", "6h")}
    unexpected = f"lightyard_http_request_exceptions_total{{{INSTANCE}}}"
    return [
        lines(
            "How fast it is used",
            {f"over {window}": query for window, query in burn.items()},
            "1 uses up in a month what 99.5 % of good answers allow; 14.4 does in two days.",
            unit=units.Short,
            limits=above(14.4, look=1),
            width=12,
            alerts=("ErrorBudgetBurnsFast", "ErrorBudgetBurns"),
        ),
        lines(
            "Exceptions nobody expected",
            {"{{method}} {{status}}": or_zero(own_rate(unexpected, "method", "status"), "method")},
            "Requests a second that ended in one; the log has each with its request_id.",
            unit=units.RequestsPerSecond,
            limits=look_above(0.01),
            width=12,
            alerts=("HighErrorRate",),
        ),
    ]
