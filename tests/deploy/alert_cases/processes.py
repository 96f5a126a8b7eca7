"""When the alerts of processes, database, host and platform fire, and when they stay quiet."""

from tests.deploy.promtool import Case, fires, quiet

CASES: dict[str, list[Case]] = {
    "TargetIsDown": [
        fires({'up{job="redis",instance="redis-exporter:9121"}': "0x10"}, "5m", job="redis", instance="redis-exporter:9121"),
        quiet({'up{job="redis",instance="redis-exporter:9121"}': "1x3 0x1 1x10"}, "6m"),
    ],
    "NothingIsScraped": [
        fires({'up{job="redis",instance="r"}': "1x10"}, "8m", job="lightyard"),
        quiet({'up{job="lightyard",instance="api:8000"}': "0x10"}, "8m"),  # another alert says so
    ],
    "DatabaseIsAway": [
        fires({"lightyard_database_up": "0x10"}, "5m"),
        quiet({"lightyard_database_up": "1x10"}, "5m"),
        quiet({'lightyard_database_up{instance="a"}': "0x10", 'lightyard_database_up{instance="b"}': "1x10"}, "5m"),
    ],
    "CacheIsAway": [
        fires({"lightyard_cache_up": "0x10"}, "5m"),
        quiet({"lightyard_cache_up": "1x10"}, "5m"),
    ],
    "ProcessIsAway": [
        fires(
            {'lightyard_processes{role="worker"}': "1x2 0x10", 'lightyard_processes{role="beat"}': "1x12"}, "6m", role="worker"
        ),
        # one that comes back, one that is replaced by another, and API processes, which tell of themselves
        quiet(
            {
                'lightyard_processes{role="worker"}': "1x2 0x1 1x10",
                'lightyard_processes{role="poller"}': "2x3 1x10",
                'lightyard_processes{role="api"}': "0x13",
            },
            "6m",
        ),
    ],
    "BeatIsDoubled": [
        fires({'lightyard_processes{role="beat"}': "2x10"}, "8m", "2"),
        quiet({'lightyard_processes{role="beat"}': "1x2 2x2 1x10"}, "8m"),  # a new one beside what is left of the old
    ],
    "SweepsStopped": [
        fires({'lightyard_task_seconds_count{task="hub.sweep"}': "0+60x10 600x20"}, "25m", task="hub.sweep"),
        quiet({'lightyard_task_seconds_count{task="hub.sweep"}': "0+60x30"}, "25m"),
        quiet({'lightyard_task_seconds_count{task="hub.sweep"}': "0+60x10 0+60x20"}, "25m"),  # Valkey was emptied
        quiet({'lightyard_task_seconds_count{task="hub.audit"}': "5x30"}, "25m"),  # once an hour is enough for that one
    ],
    "TasksFail": [
        fires({'lightyard_task_failures_total{task="hub.sweep_payments"}': "0+1x40"}, "30m", "15", task="hub.sweep_payments"),
        quiet({'lightyard_task_failures_total{task="hub.sweep_payments"}': "0x10 1x30"}, "25m"),
        # hourly, and each time
        fires(
            {
                'lightyard_task_failures_total{task="hub.audit"}': "0x59 1x59 2x59 3x60",
                'lightyard_task_seconds_count{task="hub.audit"}': "0x59 1x59 2x59 3x60",
            },
            "210m", "3", task="hub.audit",
        ),
        # hourly, and once; half an hour of a sweep's, long ago
        quiet(
            {
                'lightyard_task_failures_total{task="hub.audit"}': "0x59 1x59 1x59 1x60",
                'lightyard_task_seconds_count{task="hub.audit"}': "0x59 1x59 2x59 3x60",
                'lightyard_task_failures_total{task="hub.sweep"}': "0+2x30 60x180",
                'lightyard_task_seconds_count{task="hub.sweep"}': "0+60x210",
            },
            "200m",
        ),
        quiet({'lightyard_task_failures_total{task="hub.sweep_payments"}': "500x10 0x30"}, "20m"),  # Valkey was emptied
    ],
    "TasksExpire": [
        fires(
            {
                'lightyard_tasks_expired_total{task="hub.sweep"}': "0+2x40",
                'lightyard_tasks_expired_total{task="hub.sweep_payments"}': "0+2x40",
            },
            "30m", "40",
        ),
        quiet({'lightyard_tasks_expired_total{task="hub.sweep"}': "0+1x40"}, "30m"),
        quiet({'lightyard_tasks_expired_total{task="hub.sweep"}': "500x10 0x30"}, "30m"),
    ],
    "HubQueueGrows": [
        fires({'lightyard_queue_depth{queue="hub"}': "0+100x20"}, "15m", "1500"),
        quiet({'lightyard_queue_depth{queue="hub"}': "900x3 10x20", 'lightyard_queue_depth{queue="render"}': "9000x20"}, "15m"),
    ],
    "WatchesAreOld": [
        fires({'lightyard_sweep_age_seconds{sweep="chains"}': "360x20"}, "10m", "6m 0s", sweep="chains"),
        quiet({'lightyard_sweep_age_seconds{sweep="chains"}': "0+60x4 5x20"}, "15m"),
    ],
    "ProcessIsLarge": [
        fires(
            {
                'lightyard_process_resident_bytes{role="worker"}': "6442450944x30",
                'lightyard_processes{role="worker"}': "2x30",
            },
            "20m", "3Gi", role="worker",
        ),
        quiet(
            {'lightyard_process_resident_bytes{role="api"}': "6442450944x30", 'lightyard_processes{role="api"}': "8x30"}, "20m"
        ),
        quiet(
            {'lightyard_process_resident_bytes{role="api"}': "6442450944x30", 'lightyard_processes{role="api"}': "0x30"}, "20m"
        ),
    ],
    "DatabasePoolIsFull": [
        fires(
            {
                'lightyard_database_pool_connections{role="api",state="used"}': "39x10",
                'lightyard_database_pool_connections{role="api",state="idle"}': "1x10",
                'lightyard_database_pool_limit{role="api"}': "40x10",
            },
            "8m", "97.5%", role="api",
        ),
        quiet(
            {
                'lightyard_database_pool_connections{role="api",state="used"}': "2x10",
                'lightyard_database_pool_connections{role="api",state="idle"}': "38x10",
                'lightyard_database_pool_limit{role="api"}': "40x10",
            },
            "8m",
        ),
    ],
    "DatabaseConnectionsRunOut": [
        fires(
            {
                'lightyard_database_connections{state="idle"}': "90x10",
                'lightyard_database_connections{state="active"}': "5x10",
                "lightyard_database_connections_limit": "100x10",
            },
            "8m", "95%",
        ),
        quiet({'lightyard_database_connections{state="idle"}': "50x10", "lightyard_database_connections_limit": "100x10"}, "8m"),
    ],
    "DatabaseTransactionIsOld": [
        fires({"lightyard_database_oldest_transaction_seconds": "360x20"}, "10m", "6m 0s"),
        quiet({"lightyard_database_oldest_transaction_seconds": "0+60x5 0x20"}, "10m"),
    ],
    "DatabaseDeadlocks": [
        fires({"lightyard_database_deadlocks_total": "0+1x40"}, "30m", "15"),
        quiet({"lightyard_database_deadlocks_total": "50x10 51x30"}, "30m"),
        quiet({"lightyard_database_deadlocks_total": "50x10 0x30"}, "30m"),  # PostgreSQL's statistics were reset
    ],
    "DatabaseIsSlow": [
        fires(
            {
                'lightyard_database_work_seconds_bucket{role="worker",le="1.0"}': "0+50x30",
                'lightyard_database_work_seconds_bucket{role="worker",le="5.0"}': "0+100x30",
                'lightyard_database_work_seconds_bucket{role="worker",le="+Inf"}': "0+100x30",
            },
            "20m", "4.92s", role="worker",
        ),
        quiet(
            {
                'lightyard_database_work_seconds_bucket{role="api",le="0.01"}': "0+100x30",
                'lightyard_database_work_seconds_bucket{role="api",le="+Inf"}': "0+100x30",
            },
            "20m",
        ),
    ],
    "BackupIsOld": [
        fires({"lightyard_backup_last_success_timestamp_seconds": "0x1800"}, "27h", "1d 3h 0m 0s"),
        quiet({"lightyard_backup_last_success_timestamp_seconds": "0x1000 60000x800"}, "27h"),
    ],
    "BackupIsMissing": [
        fires({}, "70m"),
        quiet({"lightyard_backup_last_success_timestamp_seconds": "0x100"}, "70m"),
    ],
    "DiskFills": [
        fires(
            {
                'node_filesystem_avail_bytes{instance="n",mountpoint="/",fstype="ext4"}': "5x20",
                'node_filesystem_size_bytes{instance="n",mountpoint="/",fstype="ext4"}': "100x20",
            },
            "15m", "5%", instance="n", mountpoint="/",
        ),
        quiet(
            {
                'node_filesystem_avail_bytes{instance="n",mountpoint="/",fstype="ext4"}': "50x20",
                'node_filesystem_size_bytes{instance="n",mountpoint="/",fstype="ext4"}': "100x20",
                'node_filesystem_avail_bytes{instance="n",mountpoint="/run",fstype="tmpfs"}': "0x20",
                'node_filesystem_size_bytes{instance="n",mountpoint="/run",fstype="tmpfs"}': "100x20",
            },
            "15m",
        ),
    ],
    "MemoryRunsOut": [
        fires(
            {
                'node_memory_MemAvailable_bytes{instance="n"}': "2x20",
                'node_memory_MemTotal_bytes{instance="n"}': "100x20",
            },
            "15m", "2%", instance="n",
        ),
        quiet(
            {
                'node_memory_MemAvailable_bytes{instance="n"}': "2x5 40x20",
                'node_memory_MemTotal_bytes{instance="n"}': "100x20",
            },
            "15m",
        ),
    ],
    "BrokerIsBlocked": [
        fires({'rabbitmq_alarms_memory_used_watermark{instance="r"}': "1x10"}, "5m", instance="r"),
        fires(
            {
                'rabbitmq_alarms_memory_used_watermark{instance="r"}': "0x10",
                'rabbitmq_alarms_free_disk_space_watermark{instance="r"}': "1x10",
            },
            "5m", instance="r",
        ),
        quiet(
            {
                'rabbitmq_alarms_memory_used_watermark{instance="r"}': "1x2 0x10",
                'rabbitmq_alarms_free_disk_space_watermark{instance="r"}': "0x10",
            },
            "5m",
        ),
    ],
    "RedisFills": [
        fires(
            {'redis_memory_used_bytes{instance="r"}': "95x10", 'redis_memory_max_bytes{instance="r"}': "100x10"},
            "8m", "95%", instance="r",
        ),
        quiet({'redis_memory_used_bytes{instance="r"}': "50x10", 'redis_memory_max_bytes{instance="r"}': "100x10"}, "8m"),
        quiet({'redis_memory_used_bytes{instance="r"}': "50x10", 'redis_memory_max_bytes{instance="r"}': "0x10"}, "8m"),
    ],
    "AlertsAreNotDelivered": [
        fires(
            {'alertmanager_notifications_failed_total{integration="slack",reason="other"}': "0+1x40"},
            "30m", "15", integration="slack",
        ),
        quiet({'alertmanager_notifications_failed_total{integration="slack",reason="other"}': "5x10 6x30"}, "30m"),
        quiet({'alertmanager_notifications_failed_total{integration="slack",reason="other"}': "500x10 0x30"}, "30m"),
    ],
    "RulesFail": [
        fires({'prometheus_rule_evaluation_failures_total{rule_group="slo"}': "0+1x40"}, "30m", rule_group="slo"),
        quiet({'prometheus_rule_evaluation_failures_total{rule_group="slo"}': "4x40"}, "30m"),
        quiet({'prometheus_rule_evaluation_failures_total{rule_group="slo"}': "4x10 0x30"}, "30m"),
    ],
}
