"""What the hub stands on: its processes, PostgreSQL, Redis, RabbitMQ, the machines, backups."""

from grafana_foundation_sdk.models import units

from monitoring.grafana.source.board import Board, Row
from monitoring.grafana.source.expressions import (
    PROMETHEUS_ZERO,
    WINDOW,
    or_zero,
    shared,
    shared_quantile,
    shared_rate,
    shared_rise,
)
from monitoring.grafana.source.limits import above, below, look_above
from monitoring.grafana.source.panels import Panel, figure, lines, listing

DISKS = 'fstype!~"tmpfs|ramfs|overlay|squashfs"'
ROOM = f"min by (instance, mountpoint) (node_filesystem_avail_bytes{{{DISKS}}} / node_filesystem_size_bytes)"
MEMORY = "min by (instance) (node_memory_MemAvailable_bytes / node_memory_MemTotal_bytes)"


def board() -> Board:
    """Which part is away, full or slow."""
    about = (
        "The hub's processes and PostgreSQL as the hub tells them; Redis, RabbitMQ and the machines by their exporters. "
        "A part that is away is away in the first row."
    )
    rows = (
        Row("Now", now()),
        Row("Processes", processes()),
        Row("PostgreSQL", [*database(), *transactions()]),
        Row("Redis and machines", [*redis(), *machines()]),
        Row("RabbitMQ", rabbitmq()),
        Row("Who watches", watchers()),
    )
    return Board("platform", "platform", about, rows)


def now() -> list[Panel]:
    """Six figures."""
    return [
        figure(
            "Targets away",
            or_zero("count(up == 0)", zero=PROMETHEUS_ZERO),
            "Scrape targets of all jobs that did not answer Prometheus; listed below.",
            unit=units.Short,
            limits=above(1),
            width=4,
            alerts=("TargetIsDown",),
        ),
        figure(
            "PostgreSQL",
            "min(lightyard_database_up)",
            "1 if every process reaches it.",
            unit=units.Short,
            limits=below(1),
            width=4,
            alerts=("DatabaseIsAway",),
        ),
        figure(
            "Cache",
            "min(lightyard_cache_up)",
            "1 if every process reaches Redis.",
            unit=units.Short,
            limits=below(1),
            width=4,
            alerts=("CacheIsAway",),
        ),
        figure(
            "Connections in use",
            f"sum({shared('lightyard_database_connections', 'state')}) / {shared('lightyard_database_connections_limit')}",
            "Share of the connections that PostgreSQL takes.",
            unit=units.PercentUnit,
            limits=above(0.9, look=0.7),
            width=4,
            decimals=0,
            alerts=("DatabaseConnectionsRunOut",),
        ),
        figure(
            "Least room on a disk",
            f"min({ROOM})",
            "Share that is free, of the fullest disk.",
            unit=units.PercentUnit,
            limits=below(0.2, look=0.1),
            width=4,
            decimals=0,
            alerts=("DiskFills",),
            absent="not told",
        ),
        figure(
            "Last whole backup",
            "time() - max(lightyard_backup_last_success_timestamp_seconds)",
            "Its age; one is made each day.",
            unit=units.Seconds,
            limits=above(93_600, look=90_000),
            width=4,
            alerts=("BackupIsOld", "BackupIsMissing"),
            absent="none seen",
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
            alerts=("ProcessIsAway", "BeatIsDoubled"),
        ),
        lines(
            "Memory",
            {"{{role}}": shared("lightyard_process_resident_bytes", "role")},
            "Of a role's processes together.",
            unit=units.BytesIEC,
            width=6,
            alerts=("ProcessIsLarge",),
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
            alerts=("WatchesAreOld", "SweepsStopped"),
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
            alerts=("DatabaseConnectionsRunOut",),
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
            alerts=("DatabasePoolIsFull",),
        ),
        lines(
            "99 % of the units of work took at most",
            {"{{role}}": shared_quantile(0.99, "lightyard_database_work_seconds", "role")},
            "From the first statement to the commit.",
            unit=units.Seconds,
            limits=look_above(2),
            width=6,
            alerts=("DatabaseIsSlow",),
        ),
        lines(
            "Oldest open transaction",
            {"age": shared("lightyard_database_oldest_transaction_seconds")},
            "A long one holds locks and keeps old rows.",
            unit=units.Seconds,
            limits=look_above(300),
            width=6,
            alerts=("DatabaseTransactionIsOld",),
        ),
    ]


def transactions() -> list[Panel]:
    """What PostgreSQL counts."""
    return [
        lines(
            "Transactions",
            {"{{outcome}}": shared_rate("lightyard_database_transactions_total", "outcome")},
            "A second.",
            unit=units.OpsPerSecond,
            stacked=True,
        ),
        lines(
            "Deadlocks, an hour",
            {"deadlocks": shared_rise("lightyard_database_deadlocks_total", window="1h")},
            "Locks are taken in one order, so there should be none.",
            unit=units.Short,
            limits=look_above(1),
            alerts=("DatabaseDeadlocks",),
        ),
        lines("Size", {"database": shared("lightyard_database_size_bytes")}, "On disk.", unit=units.BytesIEC),
    ]


def redis() -> list[Panel]:
    """Cache, limits, doorbells: by its exporter."""
    return [
        lines(
            "Memory of Redis",
            {"{{instance}}": "redis_memory_used_bytes", "{{instance}} limit": "redis_memory_max_bytes"},
            "In use, and what it may have (0: no limit). When it is full it refuses writes.",
            unit=units.BytesIEC,
            width=6,
            alerts=("RedisFills",),
        ),
        lines(
            "Commands",
            {"{{instance}}": f"rate(redis_commands_processed_total[{WINDOW}])"},
            "A second.",
            unit=units.OpsPerSecond,
            width=6,
        ),
        lines(
            "Clients of Redis",
            {"{{instance}}": "redis_connected_clients"},
            "Connections that are open.",
            unit=units.Short,
            width=6,
        ),
        listing(
            "Targets",
            "up",
            "What Prometheus scrapes: 1 answered, 0 did not.",
            unit=units.Short,
            limits=below(1),
            width=6,
            value="up",
            alerts=("TargetIsDown", "NothingIsScraped"),
        ),
    ]


def machines() -> list[Panel]:
    """The hosts: by the node exporter."""
    return [
        lines(
            "Processors in use",
            {"{{instance}}": f'1 - avg by (instance) (rate(node_cpu_seconds_total{{mode="idle"}}[{WINDOW}]))'},
            "Share of all processors of a machine.",
            unit=units.PercentUnit,
            most=1,
        ),
        lines(
            "Memory to be had",
            {"{{instance}}": MEMORY},
            "Share of a machine's memory that programs may still get.",
            unit=units.PercentUnit,
            most=1,
            limits=below(0.1, look=0.05),
            alerts=("MemoryRunsOut",),
        ),
        lines(
            "Room on disks",
            {"{{instance}} {{mountpoint}}": ROOM},
            "Share that is free, by mount.",
            unit=units.PercentUnit,
            most=1,
            limits=below(0.2, look=0.1),
            alerts=("DiskFills",),
        ),
    ]


def rabbitmq() -> list[Panel]:
    """The broker of GPU hosts: by its own plugin."""
    memory = "rabbitmq_process_resident_memory_bytes / on(instance) rabbitmq_resident_memory_limit_bytes"
    return [
        lines(
            "Memory of RabbitMQ",
            {"{{instance}}": memory},
            "Share of what it may take. At 1 it takes no messages until there is less: no doorbells ring, and no work is lost.",
            unit=units.PercentUnit,
            limits=above(1, look=0.8),
            width=6,
            alerts=("BrokerIsBlocked", "OutboxIsStuck"),
        ),
        lines(
            "Messages",
            {"ready": "sum(rabbitmq_queue_messages_ready)", "not acknowledged": "sum(rabbitmq_queue_messages_unacked)"},
            "That wait in queues, and that consumers hold.",
            unit=units.Short,
            width=6,
        ),
        lines(
            "Connections",
            {"connections": "sum(rabbitmq_connections)", "consumers": "sum(rabbitmq_consumers)"},
            "Of the hub and of GPU hosts.",
            unit=units.Short,
            width=6,
        ),
        lines(
            "Room on its disk",
            {"{{instance}}": "rabbitmq_disk_space_available_bytes"},
            "Too little stops publishing as memory does.",
            unit=units.BytesIEC,
            width=6,
            alerts=("BrokerIsBlocked", "DiskFills"),
        ),
    ]


def watchers() -> list[Panel]:
    """Prometheus and Alertmanager themselves: while they fail, silence means nothing."""
    return [
        lines(
            "Notifications that were not delivered",
            {"{{integration}}": "sum by (integration) (increase(alertmanager_notifications_failed_total[15m]))"},
            "In a quarter of an hour, by way: nobody may have been told.",
            unit=units.Short,
            limits=above(2),
            width=12,
            alerts=("AlertsAreNotDelivered",),
        ),
        lines(
            "Rules that could not be evaluated",
            {"{{rule_group}}": "max by (rule_group) (increase(prometheus_rule_evaluation_failures_total[15m]))"},
            "In a quarter of an hour, by group of rules: their alerts are blind.",
            unit=units.Short,
            limits=look_above(1),
            width=12,
            alerts=("RulesFail",),
        ),
    ]
