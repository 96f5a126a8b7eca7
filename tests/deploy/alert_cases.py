"""What each alert does: when it fires, and when it stays quiet. `tests/deploy/promtool.py` makes Prometheus' own tests of this.

To each alert three quiet cases come by themselves: nothing is told at all, it has not lasted yet, and (what all addresses tell
alike) two addresses are one alarm. Values are promtool's: `1x10` is ten times 1 more, `0+5x10` grows by 5.
"""

from tests.deploy.promtool import Case, fires, quiet

CASES: dict[str, list[Case]] = {
    "LedgerDoesNotBalance": [
        fires({"lightyard_ledger_differences": "0x5 3x10"}, "8m", "3"),
        quiet({"lightyard_ledger_differences": "0x20"}, "20m"),
        quiet({"lightyard_ledger_differences": "1x3 0x20"}, "10m"),
    ],
    "LedgerIsNotAudited": [
        fires({"lightyard_ledger_audit_age_seconds": "310x20"}, "10m", "5m 10s"),
        quiet({"lightyard_ledger_audit_age_seconds": "0+60x4 10x20"}, "20m"),
    ],
    "MoneyIsUnclaimed": [
        fires({'lightyard_arrivals_unclaimed{code="short"}': "2x20"}, "15m", code="short"),
        quiet({'lightyard_arrivals_unclaimed{code="unknown_jetton"}': "9x20"}, "15m"),
        quiet({'lightyard_arrivals_unclaimed{code="short"}': "2x5 0x20"}, "15m"),
    ],
    "CardEventsFailed": [
        fires({"lightyard_card_problems": "2x10"}, "8m", "2"),
        quiet({"lightyard_card_problems": "0x10"}, "8m"),
    ],
    "PayoutsDifferFromChain": [
        fires({'lightyard_payout_differences{chain="ton",kind="missing"}': "1x10"}, "5m", chain="ton", kind="missing"),
        quiet({'lightyard_payout_differences{chain="ton",kind="missing"}': "1x2 0x10"}, "5m"),
    ],
    "PayoutsDifferFromLedger": [
        fires({"lightyard_payout_ledger_differences": "1x10"}, "5m"),
        quiet({"lightyard_payout_ledger_differences": "0x10"}, "5m"),
    ],
    "PayoutsAreNotAudited": [
        fires({"lightyard_payout_ledger_audit_age_seconds": "0+60x60"}, "40m"),
        quiet({"lightyard_payout_ledger_audit_age_seconds": "0+60x29 10+60x25"}, "50m"),
    ],
    "PayoutWalletHalted": [
        fires({'lightyard_payout_wallets_halted{chain="solana"}': "1x10"}, "5m", chain="solana"),
        quiet({f'lightyard_payout_wallets_halted{{chain="{chain}"}}': "0x10" for chain in ("solana", "ton")}, "5m"),
    ],
    "PayoutUndecided": [
        fires({'lightyard_payout_signing_age_seconds{chain="ton"}': "0+60x20"}, "18m", chain="ton"),
        quiet({'lightyard_payout_signing_age_seconds{chain="ton"}': "0+60x14 _x10"}, "18m"),
        quiet({'lightyard_payout_signing_age_seconds{chain="ton"}': "0+60x10 0+60x10"}, "20m"),
    ],
    "PayoutsWait": [
        fires({'lightyard_payout_age_seconds{chain="solana"}': "0+60x80"}, "70m", chain="solana"),
        quiet({'lightyard_payout_age_seconds{chain="solana"}': "0+60x59 _x20"}, "70m"),
    ],
    "PayoutsAreSlow": [
        fires(
            {
                'lightyard_payout_seconds_bucket{chain="ton",le="3600.0"}': "0x120",
                'lightyard_payout_seconds_bucket{chain="ton",le="21600.0"}': "0+1x120",
                'lightyard_payout_seconds_bucket{chain="ton",le="+Inf"}': "0+1x120",
            },
            "100m", "5h 44m 59s", chain="ton",
        ),
        quiet(
            {
                'lightyard_payout_seconds_bucket{chain="ton",le="60.0"}': "0+1x120",
                'lightyard_payout_seconds_bucket{chain="ton",le="21600.0"}': "0+1x120",
                'lightyard_payout_seconds_bucket{chain="ton",le="+Inf"}': "0+1x120",
            },
            "100m",
        ),
        # many slow ones, long ago; then Valkey was emptied, and one quick one
        quiet(
            {
                'lightyard_payout_seconds_bucket{chain="ton",le="60.0"}': "0x30 0x30 1x60",
                'lightyard_payout_seconds_bucket{chain="ton",le="21600.0"}': "900x30 0x30 1x60",
                'lightyard_payout_seconds_bucket{chain="ton",le="+Inf"}': "900x30 0x30 1x60",
            },
            "110m",
        ),
    ],
    "PayoutsHeld": [
        fires({'lightyard_payouts_held{chain="ton"}': "2x10"}, "5m", "2", chain="ton"),
        quiet({'lightyard_payouts_held{chain="ton"}': "0x10"}, "5m"),
    ],
    "PayoutWalletUnread": [
        fires({'lightyard_payout_wallet_read_age_seconds{chain="ton"}': "0+60x20"}, "18m", chain="ton"),
        quiet({'lightyard_payout_wallet_read_age_seconds{chain="ton"}': "0+60x14 0+60x5"}, "18m"),
    ],
    "RecordedPayoutsUnconfirmed": [
        fires({"lightyard_payout_records_unconfirmed": "3x90"}, "80m", "3"),
        quiet({"lightyard_payout_records_unconfirmed": "3x40 0x50"}, "80m"),
    ],
    "HotWalletShort": [
        fires(
            {
                'lightyard_payout_amount{chain="solana",asset="USDC"}': "150x20",
                'lightyard_hot_wallet_balance{chain="solana",asset="USDC"}': "100x20",
            },
            "15m", "150", chain="solana", asset="USDC",
        ),
        quiet(
            {
                'lightyard_payout_amount{chain="solana",asset="USDC"}': "150x20",
                'lightyard_hot_wallet_balance{chain="solana",asset="USDC"}': "200x20",
                'lightyard_hot_wallet_balance{chain="solana",asset="SOL"}': "1x20",
            },
            "15m",
        ),
        quiet({'lightyard_payout_amount{chain="ton",asset="TON"}': "150x20"}, "15m"),  # nobody knows what the wallet has
    ],
    "HotWalletFeesLow": [
        fires({'lightyard_hot_wallet_balance{chain="solana",asset="SOL"}': "0.01x15"}, "11m", "0.01", chain="solana", asset="SOL"),
        fires({'lightyard_hot_wallet_balance{chain="ton",asset="TON"}': "0.25x20"}, "15m", "0.25", chain="ton", asset="TON"),
        quiet(
            {
                'lightyard_hot_wallet_balance{chain="solana",asset="SOL"}': "0.06x20",
                'lightyard_hot_wallet_balance{chain="ton",asset="TON"}': "0.6x20",
                'lightyard_hot_wallet_balance{chain="solana",asset="USDC"}': "0x20",
            },
            "15m",
        ),
    ],
    "SignerIsAway": [
        fires({"lightyard_signer_up": "1x2 0x10"}, "8m"),
        quiet({"lightyard_signer_up": "1x2 0x1 1x10"}, "8m"),
    ],
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
    "WorkWaits": [
        fires({'lightyard_oldest_unit_age_seconds{capability="render"}': "0+60x30"}, "25m", capability="render"),
        quiet({'lightyard_oldest_unit_age_seconds{capability="render"}': "0+60x14 0+60x14"}, "25m"),
    ],
    "OutboxIsStuck": [
        fires({"lightyard_outbox_age_seconds": "0+60x10"}, "5m"),
        quiet({"lightyard_outbox_age_seconds": "0+60x1 0x10"}, "5m"),
    ],
    "NoHealthyNode": [
        fires({'lightyard_nodes{status="unhealthy"}': "3x10"}, "8m"),
        fires({}, "8m"),
        quiet({'lightyard_nodes{status="healthy"}': "1x10"}, "8m"),
        quiet({'lightyard_nodes{status="healthy"}': "1x2 _x2 1x10"}, "8m"),
    ],
    "FleetTooFewNodes": [
        fires(
            {
                'fleet_nodes_total{status="HEALTHY"}': "1x20",
                'fleet_nodes_total{status="UNHEALTHY"}': "5x20",
            },
            "12m", "1",
        ),
        quiet({'fleet_nodes_total{status="HEALTHY"}': "2x20"}, "12m"),
        quiet({'fleet_nodes_total{status="HEALTHY"}': "1x8 2x12"}, "12m"),
    ],
    "HighJobFailureRate": [
        fires(
            {
                'jobs_completed_total{job_type="render",status="completed"}': "0+1x30",
                'jobs_completed_total{job_type="render",status="failed"}': "0+1x30",
            },
            "25m", "50%",
        ),
        # one in ten, and many that their owners cancelled
        quiet(
            {
                'jobs_completed_total{job_type="render",status="completed"}': "0+9x30",
                'jobs_completed_total{job_type="render",status="failed"}': "0+1x30",
                'jobs_completed_total{job_type="render",status="cancelled"}': "0+90x30",
            },
            "25m",
        ),
        # a single job, and it failed
        quiet(
            {
                'jobs_completed_total{job_type="render",status="completed"}': "0x30",
                'jobs_completed_total{job_type="render",status="failed"}': "0x14 1x16",
            },
            "25m",
        ),
    ],
    "AttemptsAreLost": [
        fires(
            {
                'lightyard_attempts_total{outcome="completed"}': "0+1x40",
                'lightyard_attempts_total{outcome="lost"}': "0+1x40",
            },
            "30m", "50%",
        ),
        quiet(
            {
                'lightyard_attempts_total{outcome="completed"}': "0+99x40",
                'lightyard_attempts_total{outcome="lost"}': "0+1x40",
            },
            "30m",
        ),
        # two were lost, and nothing else ended
        quiet(
            {
                'lightyard_attempts_total{outcome="completed"}': "0x40",
                'lightyard_attempts_total{outcome="lost"}': "0x20 2x20",
            },
            "30m",
        ),
        # Valkey was emptied
        quiet(
            {
                'lightyard_attempts_total{outcome="completed"}': "90x20 0x20",
                'lightyard_attempts_total{outcome="lost"}': "90x20 0x20",
            },
            "30m",
        ),
    ],
    "AllSlotsBusy": [
        fires(
            {
                'lightyard_node_slots{node="a",state="busy"}': "2x60",
                'lightyard_node_slots{node="a",state="idle"}': "0x60",
                'lightyard_node_slots{node="old, tells no slots",state="busy"}': "0x60",
            },
            "45m", "100%",
        ),
        quiet(
            {
                'lightyard_node_slots{node="a",state="busy"}': "2x60",
                'lightyard_node_slots{node="a",state="idle"}': "2x60",
            },
            "45m",
        ),
    ],
    "NodeIsUnwell": [
        fires({'lightyard_node_up{node="a"}': "0x20", 'lightyard_node_up{node="b"}': "1x20"}, "15m", node="a"),
        quiet({'lightyard_node_up{node="a"}': "1x5 0x5 1x10"}, "15m"),
        quiet({'lightyard_node_up{node="a"}': "0x5 _x20"}, "15m"),  # it is gone for good
    ],
    "NodeGpuHot": [
        fires({'lightyard_gpu_temperature_celsius{node="a",gpu="1"}': "91x10"}, "8m", "91", node="a", gpu="1"),
        quiet({'lightyard_gpu_temperature_celsius{node="a",gpu="1"}': "85x10"}, "8m"),
        quiet({'lightyard_gpu_temperature_celsius{node="a",gpu="1"}': "91x3 80x10"}, "8m"),
    ],
    "NodeGpuMemoryFull": [
        fires(
            {
                'lightyard_gpu_memory_used_bytes{node="a",gpu="0"}': "99x30",
                'lightyard_gpu_memory_total_bytes{node="a",gpu="0"}': "100x30",
            },
            "20m", "99%", node="a", gpu="0",
        ),
        quiet(
            {
                'lightyard_gpu_memory_used_bytes{node="a",gpu="0"}': "60x30",
                'lightyard_gpu_memory_total_bytes{node="a",gpu="0"}': "100x30",
            },
            "20m",
        ),
        quiet({'lightyard_gpu_memory_used_bytes{node="a",gpu="0"}': "99x30"}, "20m"),  # its size is not known
    ],
    "ErrorBudgetBurnsFast": [
        fires(
            {
                'lightyard_dialect_requests_total{dialect="rayment",code="2xx",instance="a"}': "0+90x100",
                'lightyard_dialect_requests_total{dialect="rayment",code="5xx",instance="b"}': "0+10x100",
            },
            "90m", "20",
        ),
        # one in a thousand
        quiet(
            {
                'lightyard_dialect_requests_total{dialect="rayment",code="2xx"}': "0+999x100",
                'lightyard_dialect_requests_total{dialect="rayment",code="5xx"}': "0+1x100",
            },
            "90m",
        ),
        # it was bad, and is over
        quiet(
            {
                'lightyard_dialect_requests_total{dialect="rayment",code="2xx"}': "0+90x100",
                'lightyard_dialect_requests_total{dialect="rayment",code="5xx"}': "0+10x30 300x70",
            },
            "70m",
        ),
        # hardly anybody asks: three of ten
        quiet(
            {
                'lightyard_dialect_requests_total{dialect="rayment",code="2xx"}': "0x88 7x20",
                'lightyard_dialect_requests_total{dialect="rayment",code="5xx"}': "0x88 3x20",
            },
            "92m",
        ),
        # all gunicorns were started anew
        quiet(
            {
                'lightyard_dialect_requests_total{dialect="rayment",code="2xx"}': "9000+90x50 0+90x50",
                'lightyard_dialect_requests_total{dialect="rayment",code="5xx"}': "9000x50 0x50",
            },
            "90m",
        ),
    ],
    "ErrorBudgetBurns": [
        fires(
            {
                'lightyard_dialect_requests_total{dialect="rayment",code="2xx"}': "0+98x1600",
                'lightyard_dialect_requests_total{dialect="rayment",code="5xx"}': "0+2x1600",
            },
            "26h", "4",
        ),
        fires(
            {
                'lightyard_dialect_requests_total{dialect="rayment",code="2xx"}': "0+990x4500",
                'lightyard_dialect_requests_total{dialect="rayment",code="5xx"}': "0+10x4500",
            },
            "73h", "2",
        ),
        quiet(
            {
                'lightyard_dialect_requests_total{dialect="rayment",code="2xx"}': "0+998x4500",
                'lightyard_dialect_requests_total{dialect="rayment",code="5xx"}': "0+2x4500",
            },
            "73h",
        ),
        quiet(
            {
                'lightyard_dialect_requests_total{dialect="rayment",code="2xx"}': "0+98x1700",
                'lightyard_dialect_requests_total{dialect="rayment",code="5xx"}': "0+2x200 400x1500",
            },
            "26h",
        ),
    ],
    "DialectFails": [
        fires(
            {
                'lightyard_dialect_requests_total{dialect="cocoon",code="2xx"}': "0+60x30",
                'lightyard_dialect_requests_total{dialect="cocoon",code="5xx"}': "0+40x30",
                'lightyard_dialect_requests_total{dialect="node",code="2xx"}': "0+6000x30",
                'lightyard_dialect_requests_total{dialect="node",code="5xx"}': "0x30",
            },
            "20m", "40%", dialect="cocoon",
        ),
        quiet(
            {
                'lightyard_dialect_requests_total{dialect="cocoon",code="4xx"}': "0+60x30",
                'lightyard_dialect_requests_total{dialect="cocoon",code="5xx"}': "0+1x30",
            },
            "20m",
        ),
        quiet({'lightyard_dialect_requests_total{dialect="cocoon",code="5xx"}': "0+1x30"}, "20m"),  # one a minute, and no other
    ],
    "HighErrorRate": [
        fires(
            {
                'http_requests_total{method="GET",endpoint="/stats",status_code="200",instance="a"}': "0+90x20",
                'http_requests_total{method="GET",endpoint="/stats",status_code="500",instance="b"}': "0+10x20",
            },
            "15m", "10%",
        ),
        # one in a hundred, and what clients did wrong
        quiet(
            {
                'http_requests_total{method="GET",endpoint="/stats",status_code="200",instance="a"}': "0+99x20",
                'http_requests_total{method="GET",endpoint="/stats",status_code="500",instance="b"}': "0+1x20",
                'http_requests_total{method="GET",endpoint="/stats",status_code="404",instance="a"}': "0+50x20",
            },
            "15m",
        ),
        # hardly a request but scrapes
        quiet(
            {
                'http_requests_total{method="GET",endpoint="/stats",status_code="200"}': "0+1x20",
                'http_requests_total{method="GET",endpoint="/stats",status_code="500"}': "0+1x20",
                'http_requests_total{method="GET",endpoint="/metrics",status_code="200"}': "0+60x20",
            },
            "15m",
        ),
    ],
    "APILatencyHigh": [
        fires(
            {
                'http_request_duration_seconds_bucket{method="GET",endpoint="/stats",le="1"}': "0+10x30",
                'http_request_duration_seconds_bucket{method="GET",endpoint="/stats",le="2.5"}': "0+100x30",
                'http_request_duration_seconds_bucket{method="GET",endpoint="/stats",le="+Inf"}': "0+100x30",
            },
            "20m", "2.417s",
        ),
        quiet(
            {
                'http_request_duration_seconds_bucket{method="GET",endpoint="/stats",le="1"}': "0+99x30",
                'http_request_duration_seconds_bucket{method="GET",endpoint="/stats",le="2.5"}': "0+100x30",
                'http_request_duration_seconds_bucket{method="GET",endpoint="/stats",le="+Inf"}': "0+100x30",
            },
            "20m",
        ),
        # only sockets and files take long
        quiet(
            {
                'http_request_duration_seconds_bucket{method="GET",endpoint="/ws",le="1"}': "0x30",
                'http_request_duration_seconds_bucket{method="GET",endpoint="/ws",le="+Inf"}': "0+500x30",
                'http_request_duration_seconds_bucket{method="GET",endpoint="/files/<path:key>",le="1"}': "0x30",
                'http_request_duration_seconds_bucket{method="GET",endpoint="/files/<path:key>",le="+Inf"}': "0+500x30",
                'http_request_duration_seconds_bucket{method="GET",endpoint="/stats",le="1"}': "0+100x30",
                'http_request_duration_seconds_bucket{method="GET",endpoint="/stats",le="+Inf"}': "0+100x30",
            },
            "20m",
        ),
    ],
    "PaymentUndecided": [
        fires({"lightyard_payment_pending_age_seconds": "0+60x10"}, "8m"),
        quiet({"lightyard_payment_pending_age_seconds": "0+60x4 0x10"}, "8m"),
    ],
    "ChainIsNotRead": [
        fires({'lightyard_chain_unread_seconds{chain="ton"}': "0+60x10"}, "8m", chain="ton"),
        quiet({'lightyard_chain_unread_seconds{chain="ton"}': "3x10"}, "8m"),
    ],
    "ChainNodeIsAway": [
        fires({'lightyard_chain_up{chain="ton"}': "0x10", 'lightyard_chain_up{chain="evm"}': "1x10"}, "8m", chain="ton"),
        quiet({'lightyard_chain_up{chain="ton"}': "0x3 1x10"}, "8m"),
    ],
    "ChainStandsStill": [
        fires({'lightyard_chain_head_age_seconds{chain="ton"}': "0+60x20"}, "10m", "10m 0s", chain="ton"),
        fires({'lightyard_chain_head_age_seconds{chain="evm"}': "0+60x30"}, "20m", "20m 0s", chain="evm"),
        quiet(
            {
                'lightyard_chain_head_age_seconds{chain="solana"}': "13x30",
                'lightyard_chain_head_age_seconds{chain="ton"}': "0+60x4 3x30",
                'lightyard_chain_head_age_seconds{chain="evm"}': "300x30",
            },
            "20m",
        ),
    ],
    "ChainNodeLags": [
        fires({'lightyard_chain_lag_blocks{chain="solana"}': "400x10"}, "8m", "400", chain="solana"),
        fires({'lightyard_chain_lag_blocks{chain="evm"}': "40x10"}, "8m", "40", chain="evm"),
        quiet({'lightyard_chain_lag_blocks{chain="solana"}': "100x10", 'lightyard_chain_lag_blocks{chain="ton"}': "2x10"}, "8m"),
    ],
    "ChainCallsFail": [
        fires(
            {
                'lightyard_chain_rpc_errors_total{chain="ton",method="getTransactions",kind="unavailable"}': "0+5x30",
                'lightyard_chain_rpc_seconds_count{chain="ton",method="getTransactions"}': "0+10x30",
            },
            "20m", "50%", chain="ton",
        ),
        # a node's own no is an answer, and one call in a hundred is nothing
        quiet(
            {
                'lightyard_chain_rpc_errors_total{chain="ton",method="getTransactions",kind="refused"}': "0+90x30",
                'lightyard_chain_rpc_errors_total{chain="ton",method="getTransactions",kind="unavailable"}': "0+1x30",
                'lightyard_chain_rpc_seconds_count{chain="ton",method="getTransactions"}': "0+100x30",
            },
            "20m",
        ),
        # Valkey was emptied
        quiet(
            {
                'lightyard_chain_rpc_errors_total{chain="ton",method="getTransactions",kind="unavailable"}': "900x10 0x20",
                'lightyard_chain_rpc_seconds_count{chain="ton",method="getTransactions"}': "900+10x10 0+10x20",
            },
            "25m",
        ),
    ],
    "ChainCallsAreSlow": [
        fires(
            {
                'lightyard_chain_rpc_seconds_bucket{chain="ton",method="a",le="5.0"}': "0+50x30",
                'lightyard_chain_rpc_seconds_bucket{chain="ton",method="a",le="10.0"}': "0+100x30",
                'lightyard_chain_rpc_seconds_bucket{chain="ton",method="a",le="+Inf"}': "0+100x30",
            },
            "20m", "9.9s", chain="ton",
        ),
        quiet(
            {
                'lightyard_chain_rpc_seconds_bucket{chain="ton",method="a",le="0.5"}': "0+100x30",
                'lightyard_chain_rpc_seconds_bucket{chain="ton",method="a",le="+Inf"}': "0+100x30",
            },
            "20m",
        ),
    ],
    "RootsAreNotFinal": [
        fires({"lightyard_anchor_age_seconds": "0+60x80"}, "70m"),
        quiet({"lightyard_anchor_age_seconds": "0+60x50 0x30"}, "70m"),
    ],
    "NoWebSocketConnections": [
        fires({f'active_websocket_connections{{instance="{one}"}}': "0x20" for one in "ab"}, "15m"),
        fires({}, "15m"),
        quiet({f'active_websocket_connections{{instance="{one}"}}': f"{n}x20" for n, one in enumerate("ab")}, "15m"),
    ],
    "RelayReadersAreSlow": [
        fires({'lightyard_relay_waiting_bytes{endpoint="rendertrust"}': "104857600x10"}, "8m", "100Mi", endpoint="rendertrust"),
        quiet({'lightyard_relay_waiting_bytes{endpoint="rendertrust"}': "104857600x2 0x10"}, "8m"),
    ],
    "SocketsAreCutOff": [
        fires({'lightyard_relay_closes_total{code="4002",reason="silent"}': "0+60x40"}, "30m", "1", reason="silent"),
        quiet({'lightyard_relay_closes_total{code="1000",reason="left"}': "0+600x40"}, "30m"),
        quiet({'lightyard_relay_closes_total{code="4002",reason="silent"}': "9000x10 0+3x30"}, "30m"),
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
    "WorkerPollsAreOverdue": [
        fires({"lightyard_worker_polls_overdue_seconds": "0x10 300x20"}, "15m"),
        quiet({"lightyard_worker_polls_overdue_seconds": "0x10 100x20"}, "15m"),
    ],
    "WorkerDown": [
        fires(
            {
                'cocoon_worker_status{worker_id="1",worker_name="w",participant_id="7"}': "1x5 0x20",
                'cocoon_worker_status{worker_id="2",worker_name="v",participant_id="7"}': "0.5x25",
            },
            "15m", worker_id="1", worker_name="w", participant_id="7",
        ),
        quiet({'cocoon_worker_status{worker_id="1",worker_name="w",participant_id="7"}': "1x5 0x4 1x20"}, "15m"),
    ],
    "WorkerGpuHot": [
        fires(
            {'cocoon_gpu_temperature_celsius{worker_id="1",worker_name="w",gpu_id="0"}': "90x20"},
            "8m", "90", worker_id="1", worker_name="w", gpu_id="0",
        ),
        quiet({'cocoon_gpu_temperature_celsius{worker_id="1",worker_name="w",gpu_id="0"}': "85x20"}, "8m"),
    ],
    "WorkerGpuIdle": [
        fires(
            {'cocoon_gpu_utilization{worker_id="1",worker_name="w",gpu_id="0"}': "10x110"},
            "100m", "10", worker_id="1", worker_name="w", gpu_id="0",
        ),
        quiet({'cocoon_gpu_utilization{worker_id="1",worker_name="w",gpu_id="0"}': "0x10 100x100"}, "60m"),
    ],
    "WorkerErrorRateHigh": [
        fires(
            {
                'cocoon_inference_requests_total{worker_id="1",worker_name="w"}': "0+10x60",
                'cocoon_inference_requests_failed_total{worker_id="1",worker_name="w"}': "0+2x60",
            },
            "30m", "20%", worker_id="1", worker_name="w",
        ),
        quiet(
            {
                'cocoon_inference_requests_total{worker_id="1",worker_name="w"}': "0+10x60",
                'cocoon_inference_requests_failed_total{worker_id="1",worker_name="w"}': "0+1x60",
            },
            "30m",
        ),
        # two of three in a quarter of an hour
        quiet(
            {
                'cocoon_inference_requests_total{worker_id="1",worker_name="w"}': "0x20 3x40",
                'cocoon_inference_requests_failed_total{worker_id="1",worker_name="w"}': "0x20 2x40",
            },
            "30m",
        ),
    ],
}
# Whose expression makes something of nothing.
FIRE_WITHOUT_SERIES = {"NothingIsScraped", "NoHealthyNode", "NoWebSocketConnections", "BackupIsMissing"}
# Those of one target, or of what each address counts for itself: two of them are two, or more than one.
OF_EACH_ADDRESS = {
    "TargetIsDown", "NothingIsScraped", "DiskFills", "MemoryRunsOut", "SocketsAreCutOff", "HighErrorRate",
    "NoWebSocketConnections", "ErrorBudgetBurnsFast", "ErrorBudgetBurns",
}
