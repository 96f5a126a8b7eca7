"""Whether money and work are right, at a glance."""

from grafana_foundation_sdk.models import units
from grafana_foundation_sdk.models.dashboard import DynamicConfigValue

from monitoring.grafana.source.board import Board, Row
from monitoring.grafana.source.expressions import (
    LASTING,
    PROMETHEUS_ZERO,
    or_zero,
    own_quantile,
    own_rate,
    ratio,
    shared,
    shared_rate,
    total,
)
from monitoring.grafana.source.limits import NEUTRAL, above, below, look_above, thresholds
from monitoring.grafana.source.panels import Panel, figure, lines, listing

JOBS_A_MINUTE = f"60 * {total(shared_rate('jobs_completed_total', 'job_type', 'status', window=LASTING))}"
ERRORS = ratio(
    own_rate('lightyard_dialect_requests_total{code="5xx"}', window=LASTING),
    own_rate("lightyard_dialect_requests_total", window=LASTING),
)
FIRING = 'ALERTS{alertstate="firing", severity=~"page|warn"}'

HELD = DynamicConfigValue(id_val="thresholds", value=thresholds(look_above(1)).build())  # one held waits for somebody


def board() -> Board:
    """The page that stays open on the wall."""
    about = "Whether money and work are right. What is not green in the first row has a runbook and a dashboard of its own."
    return Board(
        "overview",
        "overview",
        about,
        (Row("At a glance", [*first(), *answered()]), Row("Work", work()), Row("Money", money()), Row("Answers", answers())),
    )


def first() -> list[Panel]:
    """Four of the eight figures that get somebody out of bed, or let them sleep."""
    return [
        figure(
            "Ledger imbalance",
            shared("lightyard_ledger_differences"),
            "Ways in which the books disagree with themselves. Anything but 0: stop payouts, and run `lightyard invariants`.",
            unit=units.Short,
            limits=above(1),
            absent="not audited",
            alerts=("LedgerDoesNotBalance", "LedgerIsNotAudited"),
            more="money",
        ),
        figure(
            "Jobs a minute",
            JOBS_A_MINUTE,
            "Jobs that ended in the last five minutes, however they ended.",
            unit=units.Short,
            limits=NEUTRAL,
            decimals=1,
            more="queues",
        ),
        figure(
            "Oldest waiting unit",
            or_zero(shared("lightyard_oldest_unit_age_seconds")),
            "How long the work unit that waits longest has waited for a node; 0 if none waits.",
            unit=units.Seconds,
            limits=above(900, look=300),
            alerts=("WorkWaits",),
            more="queues",
        ),
        figure(
            "Healthy nodes",
            shared('fleet_nodes_total{status="HEALTHY"}'),
            "GPU nodes that were heard of lately and do not fail. With one left, the next that falls out stops work.",
            unit=units.Short,
            limits=below(2, look=1),
            alerts=("NoHealthyNode", "FleetTooFewNodes"),
            more="nodes",
        ),
    ]


def answered() -> list[Panel]:
    """The other half of them."""
    return [
        figure(
            "Errors",
            ERRORS,
            "Share of requests that were answered with a 5xx, over five minutes, of all APIs.",
            unit=units.PercentUnit,
            limits=above(0.05, look=0.005),
            alerts=("HighErrorRate",),
            decimals=2,
            more="api",
        ),
        figure(
            "99 % answered within",
            own_quantile(0.99, "lightyard_dialect_request_seconds", window=LASTING),
            "One request in a hundred takes longer. Sockets, streams, files and scrapes are not counted.",
            unit=units.Seconds,
            limits=above(2.5, look=1),
            absent="no requests",
            alerts=("APILatencyHigh",),
            more="api",
        ),
        figure(
            "Payouts",
            {
                "in flight": or_zero(total(shared("lightyard_payouts", "chain", "state"))),
                "held": or_zero(total(shared("lightyard_payouts_held", "chain"))),
            },
            "Payouts that are not confirmed yet, and those of them that wait for an operator: `lightyard payouts list --held`.",
            unit=units.Short,
            limits=look_above(50),
            alerts=("PayoutsHeld", "PayoutsWait", "PayoutUndecided"),
            more="money",
        ).override_by_name("held", [HELD]),
        figure(
            "Alerts firing",
            or_zero(f"count({FIRING})", zero=PROMETHEUS_ZERO),
            "Alerts that page or warn and that fire now, listed below.",
            unit=units.Short,
            limits=above(1),
            more="runbook",
        ),
    ]


def work() -> list[Panel]:
    """What waits, what is done, who does it."""
    return [
        lines(
            "Work units",
            {"{{capability}} {{state}}": or_zero(shared("lightyard_units", "capability", "state"), "capability")},
            "Units that wait (queued) and that nodes hold.",
            unit=units.Short,
            stacked=True,
            alerts=("WorkWaits",),
            more="queues",
        ),
        lines(
            "Jobs that ended, a minute",
            {"{{status}}": f"60 * {total(shared_rate('jobs_completed_total', 'job_type', 'status'), 'status')}"},
            "Completed, failed and cancelled jobs of all APIs.",
            unit=units.Short,
            stacked=True,
            alerts=("HighJobFailureRate",),
            more="queues",
        ),
        lines(
            "Nodes",
            {"{{status}}": shared("lightyard_nodes", "status")},
            "Nodes by how they are.",
            unit=units.Short,
            stacked=True,
            alerts=("NoHealthyNode", "FleetTooFewNodes"),
            more="nodes",
        ),
    ]


def money() -> list[Panel]:
    """What is held and owed, what is on its way, what a chain has not decided."""
    return [
        lines(
            "Held for jobs",
            {"{{asset}}": shared('lightyard_ledger_balance{kind="held"}', "asset")},
            "Escrow: what clients have paid for work that is not done yet, in whole units of each asset.",
            unit=units.Short,
            more="money",
        ),
        lines(
            "Payouts on their way",
            {"{{chain}} {{state}}": or_zero(shared("lightyard_payouts", "chain", "state"), "chain")},
            "Payouts that are not confirmed yet, by chain and state.",
            unit=units.Short,
            stacked=True,
            alerts=("PayoutsWait", "PayoutUndecided"),
            more="money",
        ),
        lines(
            "Undecided for",
            {"{{chain}}": shared("lightyard_chain_unconfirmed_age_seconds", "chain")},
            "Age of the oldest transaction, in or out, that its chain has not decided.",
            unit=units.Seconds,
            limits=above(900, look=300),
            alerts=("PaymentUndecided", "PayoutUndecided"),
            more="chain",
        ),
    ]


def answers() -> list[Panel]:
    """The APIs, and which alerts fire."""
    return [
        lines(
            "Requests",
            {"{{dialect}}": own_rate("lightyard_dialect_requests_total", "dialect")},
            "Requests a second, by API.",
            unit=units.RequestsPerSecond,
            stacked=True,
            more="api",
        ),
        lines(
            "How long answers take",
            {
                "half": own_quantile(0.5, "lightyard_dialect_request_seconds"),
                "99 %": own_quantile(0.99, "lightyard_dialect_request_seconds"),
            },
            "Within which half, and all but one in a hundred, of the requests are answered.",
            unit=units.Seconds,
            limits=above(2.5, look=1),
            alerts=("APILatencyHigh",),
            more="api",
        ),
        listing(
            "Alerts",
            or_zero(f"count by (alertname, severity) ({FIRING})", "alertname", PROMETHEUS_ZERO),
            "What fires now; the dashboard Runbook says what to do.",
            unit=units.Short,
            value="firing",
            more="runbook",
        ),
    ]
