"""What each recording rule makes of its series; without any it makes nothing, which is tried for each by itself."""

from collections.abc import Mapping
from typing import NamedTuple

OWN = 'lightyard_dialect_requests_total{dialect="rayment",code='
SLOW = 'lightyard_dialect_request_seconds_bucket{dialect="rayment",instance='


class Recorded(NamedTuple):
    """`samples`: what the rule has then, as labels in promtool's notation → value."""

    series: Mapping[str, str]
    at: str
    samples: Mapping[str, float]


# Two addresses, of which one is started anew on the way: 95 good and 5 bad a minute together.
REQUESTS = {
    f'{OWN}"2xx",instance="a"}}': "0+60x10000",
    f'{OWN}"2xx",instance="b"}}': "5000+35x30 0+35x10000",
    f'{OWN}"5xx",instance="a"}}': "0+5x10000",
    f'{OWN}"5xx",instance="b"}}': "700x30 0x10000",
}
DURATIONS = {
    f'{SLOW}"a",le="0.1"}}': "0+50x40",
    f'{SLOW}"a",le="1.0"}}': "0+50x40",
    f'{SLOW}"a",le="+Inf"}}': "0+50x40",
    f'{SLOW}"b",le="0.1"}}': "0+40x10 0+40x30",
    f'{SLOW}"b",le="1.0"}}': "0+50x10 0+50x30",
    f'{SLOW}"b",le="+Inf"}}': "0+50x10 0+50x30",
}


def histogram(name: str, labels: str, small: str, large: str) -> dict[str, str]:
    """Nine in ten up to 1, all up to 10; told alike by two addresses, and begun anew in the middle."""
    return {
        f'{name}_bucket{{{labels},instance="{instance}",le="{edge}"}}': values
        for instance in "ab"
        for edge, values in (("1.0", small), ("10.0", large), ("+Inf", large))
    }


def twice(series: Mapping[str, str]) -> dict[str, str]:
    """Told alike by two addresses."""
    return {f'{name[:-1]},instance="{instance}"}}': values for name, values in series.items() for instance in "ab"}


HOUR = ("0+9x70 0+9x70", "0+10x70 0+10x70")
WINDOWS = {"5m": "50m", "30m": "80m", "1h": "100m", "2h": "3h", "6h": "7h", "1d": "25h", "3d": "73h"}
CASES: dict[str, Recorded] = {
    "dialect:lightyard_requests:rate5m": Recorded(REQUESTS, "50m", {'{dialect="rayment"}': 100 / 60}),
    "dialect:lightyard_request_errors:ratio_rate5m": Recorded(REQUESTS, "50m", {'{dialect="rayment"}': 0.05}),
    "dialect:lightyard_request_seconds:p50_5m": Recorded(DURATIONS, "30m", {'{dialect="rayment"}': 0.1 * 50 / 90}),
    "dialect:lightyard_request_seconds:p99_5m": Recorded(DURATIONS, "30m", {'{dialect="rayment"}': 0.1 + 0.9 * 9 / 10}),
    **{
        f"job:lightyard_request_errors:ratio_rate{window}": Recorded(REQUESTS, at, {"{}": 0.05}) for window, at in WINDOWS.items()
    },
    **{f"job:lightyard_slo_burn:ratio{window}": Recorded(REQUESTS, at, {"{}": 10.0}) for window, at in WINDOWS.items()},
    "capability:lightyard_oldest_unit_age_seconds:max": Recorded(
        twice({'lightyard_oldest_unit_age_seconds{capability="render"}': "7x5"}), "4m", {'{capability="render"}': 7}
    ),
    "queue:lightyard_queue_depth:max": Recorded(twice({'lightyard_queue_depth{queue="hub"}': "3x5"}), "4m", {'{queue="hub"}': 3}),
    "node:lightyard_gpu_utilization_percent:avg5m": Recorded(
        twice({
            'lightyard_gpu_utilization_percent{node="n",gpu="0"}': "100x10",
            'lightyard_gpu_utilization_percent{node="n",gpu="1"}': "20x10",
        }),
        "9m", {'{node="n"}': 60},
    ),
    "job:lightyard_slots_busy:ratio": Recorded(
        twice({
            'lightyard_node_slots{node="n",state="busy"}': "3x5",
            'lightyard_node_slots{node="n",state="idle"}': "1x5",
            'lightyard_node_slots{node="tells no slots",state="busy"}': "9x5",
        }),
        "4m", {"{}": 0.75},
    ),
    "outcome:lightyard_attempts:rate5m": Recorded(
        twice({'lightyard_attempts_total{outcome="lost"}': "0+60x10 0+60x10"}), "18m", {'{outcome="lost"}': 1}
    ),
    "task:lightyard_task_seconds:p99_15m": Recorded(
        histogram("lightyard_task_seconds", 'task="hub.sweep"', *HOUR), "60m", {'{task="hub.sweep"}': 1 + 9 * 0.9}
    ),
    "chain:lightyard_chain_rpc_seconds:p99_5m": Recorded(
        histogram("lightyard_chain_rpc_seconds", 'chain="ton",method="m"', *HOUR)
        | histogram("lightyard_chain_rpc_seconds", 'chain="ton",method="n"', *HOUR),
        "60m", {'{chain="ton"}': 1 + 9 * 0.9},
    ),
    "chain:lightyard_chain_rpc_errors:ratio_rate5m": Recorded(
        twice({
            'lightyard_chain_rpc_errors_total{chain="ton",method="m",kind="unavailable"}': "0+1x30",
            'lightyard_chain_rpc_errors_total{chain="ton",method="m",kind="refused"}': "0+9x30",
            'lightyard_chain_rpc_seconds_count{chain="ton",method="m"}': "0+10x30",
            'lightyard_chain_rpc_seconds_count{chain="ton",method="n"}': "0+10x30",
            'lightyard_chain_rpc_errors_total{chain="ton",method="n",kind="unavailable"}': "0x30",
        }),
        "20m", {'{chain="ton"}': 0.05},
    ),
    "chain:lightyard_payout_seconds:p50_1h": Recorded(
        histogram("lightyard_payout_seconds", 'chain="ton"', *HOUR), "65m", {'{chain="ton"}': 5 / 9}
    ),
    "chain:lightyard_payout_seconds:p95_1h": Recorded(
        histogram("lightyard_payout_seconds", 'chain="ton"', *HOUR), "65m", {'{chain="ton"}': 5.5}
    ),
    "asset:lightyard_escrow:max": Recorded(
        twice({
            'lightyard_ledger_balance{asset="SOL",kind="held"}': "2x5",
            'lightyard_ledger_balance{asset="SOL",kind="balance"}': "9x5",
        }),
        "4m", {'{asset="SOL"}': 2},
    ),
    "asset:lightyard_owed:max": Recorded(
        twice({
            'lightyard_ledger_balance{asset="SOL",kind="held"}': "2x5",
            'lightyard_ledger_balance{asset="SOL",kind="balance"}': "9x5",
            'lightyard_ledger_balance{asset="SOL",kind="payout"}': "1x5",
            'lightyard_ledger_balance{asset="SOL",kind="owed"}': "0.5x5",
            'lightyard_ledger_balance{asset="SOL",kind="fees"}': "70x5",
        }),
        "4m", {'{asset="SOL"}': 10.5},
    ),
}
