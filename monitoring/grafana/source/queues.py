"""Work that waits, and how fast it goes: queues, attempts, the hub's own tasks."""

from grafana_foundation_sdk.models import units

from monitoring.grafana.source import variables
from monitoring.grafana.source.board import Board, Row
from monitoring.grafana.source.expressions import LASTING, or_zero, ratio, shared, shared_quantile, shared_rate, total
from monitoring.grafana.source.limits import NEUTRAL, above, look_above
from monitoring.grafana.source.panels import Panel, figure, lines

CAPABILITY, QUEUE = 'capability=~"$capability"', 'queue=~"$queue"'


def board() -> Board:
    """Why work waits."""
    about = (
        "Work units, the attempts at them, the broker's queues and the hub's own tasks. "
        "The rows in PostgreSQL are the truth; messages are doorbells."
    )
    rows = (Row("Now", now()), Row("Work units", units_of_work()), Row("Jobs", jobs()), Row("The hub's tasks", tasks()))
    return Board("queues", "queues", about, rows, (variables.capability(), variables.queue()))


def now() -> list[Panel]:
    """Six figures."""
    failed = total(shared_rate('jobs_completed_total{status="failed"}', "job_type", "status", window=LASTING))
    done = total(shared_rate('jobs_completed_total{status=~"completed|failed"}', "job_type", "status", window=LASTING))
    return [
        figure(
            "Units waiting",
            or_zero(total(shared(f'lightyard_units{{state="queued", {CAPABILITY}}}', "capability"))),
            "Work units that no node has taken.",
            unit=units.Short,
            limits=NEUTRAL,
            width=4,
        ),
        figure(
            "Units in nodes' hands",
            or_zero(total(shared(f'lightyard_units{{state!="queued", {CAPABILITY}}}', "capability", "state"))),
            "Assigned, rendering, or uploaded and being checked.",
            unit=units.Short,
            limits=NEUTRAL,
            width=4,
        ),
        figure(
            "Oldest waiting unit",
            or_zero(shared(f"lightyard_oldest_unit_age_seconds{{{CAPABILITY}}}")),
            "How long the unit that waits longest has waited; 0 if none waits.",
            unit=units.Seconds,
            limits=above(900, look=300),
            width=4,
            alerts=("WorkWaits",),
        ),
        figure(
            "Failed jobs",
            ratio(failed, done),
            "Share of the jobs that ended in five minutes and failed; cancelled ones are not counted.",
            unit=units.PercentUnit,
            limits=above(0.2, look=0.05),
            width=4,
            alerts=("HighJobFailureRate",),
            decimals=1,
        ),
        figure(
            "Doorbells not carried away",
            shared("lightyard_outbox_messages"),
            "Messages in the outbox that no worker has taken to the broker yet.",
            unit=units.Short,
            limits=look_above(100),
            width=4,
            alerts=("OutboxIsStuck",),
        ),
        figure(
            "Oldest doorbell",
            shared("lightyard_outbox_age_seconds"),
            "Age of the oldest of them.",
            unit=units.Seconds,
            limits=above(60, look=15),
            width=4,
            alerts=("OutboxIsStuck",),
        ),
    ]


def units_of_work() -> list[Panel]:
    """Depth, age, the broker, and how attempts end."""
    return [
        lines(
            "Work units",
            {
                "{{capability}} {{state}}": or_zero(
                    shared(f"lightyard_units{{{CAPABILITY}}}", "capability", "state"), "capability"
                )
            },
            "By what they want of a node, and by state.",
            unit=units.Short,
            stacked=True,
            width=6,
        ),
        lines(
            "Oldest waiting unit",
            {"{{capability}}": or_zero(shared(f"lightyard_oldest_unit_age_seconds{{{CAPABILITY}}}", "capability"), "capability")},
            "How long it has waited.",
            unit=units.Seconds,
            limits=above(900, look=300),
            width=6,
            alerts=("WorkWaits",),
        ),
        lines(
            "Messages at the broker",
            {"{{queue}}": shared(f"lightyard_queue_depth{{{QUEUE}}}", "queue")},
            "Doorbells that nobody has heard yet, and the hub's own tasks. Many in `hub`: workers don't keep up.",
            unit=units.Short,
            width=6,
            alerts=(
                "HubQueueGrows",
                "BrokerIsBlocked",
            ),
        ),
        lines(
            "Attempts that ended, a minute",
            {"{{outcome}}": f"60 * {shared_rate('lightyard_attempts_total', 'outcome')}"},
            "A lost one's node fell silent; a released one was given back. Neither counts as a failure of the job.",
            unit=units.Short,
            stacked=True,
            width=6,
            alerts=("AttemptsAreLost",),
        ),
    ]


def jobs() -> list[Panel]:
    """Jobs in and out, by type."""
    failed = shared_rate('jobs_completed_total{status="failed"}', "job_type")
    return [
        lines(
            "Jobs dispatched, a minute",
            {"{{job_type}}": f"60 * {shared_rate('jobs_dispatched_total', 'job_type')}"},
            "Paid, or tried again, and given to nodes.",
            unit=units.Short,
            stacked=True,
        ),
        lines(
            "Jobs that ended, a minute",
            {"{{status}}": f"60 * {total(shared_rate('jobs_completed_total', 'job_type', 'status'), 'status')}"},
            "However they ended.",
            unit=units.Short,
            stacked=True,
            alerts=("HighJobFailureRate",),
        ),
        lines(
            "Jobs that failed, a minute",
            {"{{job_type}}": or_zero(f"60 * {failed}", "job_type")},
            "`lightyard dead-letters` says why.",
            unit=units.Short,
            stacked=True,
            alerts=("HighJobFailureRate",),
        ),
    ]


def tasks() -> list[Panel]:
    """Celery's tasks in the hub's workers."""
    return [
        lines(
            "Tasks, a minute",
            {"{{task}}": f"60 * {shared_rate('lightyard_task_seconds_count', 'task')}"},
            "How often each of the hub's tasks ran.",
            unit=units.Short,
            width=6,
            alerts=("SweepsStopped",),
        ),
        lines(
            "99 % of the runs took at most",
            {"{{task}}": shared_quantile(0.99, "lightyard_task_seconds", "task", window=LASTING)},
            "By task, failed runs too.",
            unit=units.Seconds,
            width=6,
        ),
        lines(
            "Tasks that ended in an exception, a minute",
            {"{{task}}": or_zero(f"60 * {shared_rate('lightyard_task_failures_total', 'task')}", "task")},
            "Their log lines carry the task's id.",
            unit=units.Short,
            width=6,
            alerts=("TasksFail",),
        ),
        lines(
            "Retried and expired, a minute",
            {
                "{{task}} retried": or_zero(f"60 * {shared_rate('lightyard_task_retries_total', 'task')}", "task"),
                "{{task}} expired": or_zero(f"60 * {shared_rate('lightyard_tasks_expired_total', 'task')}", "task"),
            },
            "Tasks that asked to be run again, and those that were too old when a thread was free: the worker does not keep up.",
            unit=units.Short,
            width=6,
            alerts=("TasksExpire",),
        ),
    ]
