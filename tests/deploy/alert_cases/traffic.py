"""When the alerts of api, chains and relay fire, and when they stay quiet."""

from tests.deploy.promtool import Case, fires, quiet

CASES: dict[str, list[Case]] = {
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
        # nobody renders tonight, and somebody asks again and again
        quiet(
            {
                'http_requests_total{method="GET",endpoint="/health",status_code="200"}': "0+12x20",
                'http_requests_total{method="POST",endpoint="/render",status_code="503"}': "0+12x20",
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
        # only sockets, streams and files take long
        quiet(
            {
                'http_request_duration_seconds_bucket{method="GET",endpoint="/api/v1/relay/ws/<node_id>",le="1"}': "0x30",
                'http_request_duration_seconds_bucket{method="GET",endpoint="/api/v1/relay/ws/<node_id>",le="+Inf"}': "0+500x30",
                'http_request_duration_seconds_bucket{method="GET",endpoint="/rnp/v1/jobs/<id>/events",le="1"}': "0x30",
                'http_request_duration_seconds_bucket{method="GET",endpoint="/rnp/v1/jobs/<id>/events",le="+Inf"}': "0+500x30",
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
        fires({"lightyard_payment_pending_age_seconds": "0+60x20"}, "15m"),
        quiet({"lightyard_payment_pending_age_seconds": "0+60x10 0x10"}, "15m"),  # one that never was, given up
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
}
