"""What a Cocoon worker says of itself at /jsonstats, read so that nothing it leaves out becomes a zero.

A counter there is an array of seven: the total since the worker began, then decayed rates per second over 1 s, 10 s, 1 min, 10
min, 1 h and 1 d. `wallet` and `root_contract_config` are absent until the worker is initialised, and one key appears twice: the
last one counts.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

TOTAL, TEN_MINUTES = 0, 4
MOST_PROXIES, MOST_TEXT_CHARS = 64, 200
NANO = 1_000_000_000
_LARGEST = 2**63


class NotAWorker(ValueError):
    """The bytes are no worker's figures; the text says why."""


@dataclass(frozen=True, slots=True)
class WorkerStats:
    """One answer. None is what the worker did not say. Counters are since the worker began, times in seconds, `earned` are tokens
    committed to the chain by worker contract, rates are per second over ten minutes, `coefficient` is in thousandths."""

    requests: int | None = None
    success: int | None = None
    failed: int | None = None
    time_seconds: float | None = None
    success_rate: float | None = None
    failed_rate: float | None = None
    earned: Mapping[str, int] | None = None
    fee_per_token: int | None = None
    coefficient: int | None = None
    is_image_actual: bool | None = None
    is_model_actual: bool | None = None
    synced_at: int | None = None
    is_initialised: bool = False
    proxies: int | None = None
    model: str | None = None
    owner_address: str | None = None


def read(body: bytes) -> WorkerStats:
    """The figures in an answer's body; NotAWorker for everything that is none."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        raise NotAWorker("the answer is not JSON") from None
    if not isinstance(found, dict) or not (_block(found, "status") or _block(found, "stats")):
        raise NotAWorker("the answer has neither `status` nor `stats`")
    status, stats, local = _block(found, "status"), _block(found, "stats"), _block(found, "localconfig")
    root, proxies = _block(found, "root_contract_config"), found.get("proxies")
    return WorkerStats(
        requests=_whole(_slot(stats, "queries", TOTAL)),
        success=_whole(_slot(stats, "success", TOTAL)),
        failed=_whole(_slot(stats, "failed", TOTAL)),
        time_seconds=_number(_slot(stats, "time", TOTAL)),
        success_rate=_number(_slot(stats, "success", TEN_MINUTES)),
        failed_rate=_number(_slot(stats, "failed", TEN_MINUTES)),
        earned=_earned(proxies),
        fee_per_token=_whole(root.get("worker_fee_per_token")),
        coefficient=_whole(local.get("coefficient")),
        is_image_actual=_flag(status.get("actual_image_hash")),
        is_model_actual=_flag(status.get("actual_model")),
        synced_at=_whole(status.get("ton_last_synced_at")),
        is_initialised=bool(_block(found, "wallet")) and bool(root),
        proxies=len(proxies) if isinstance(proxies, list) else None,
        model=_text(local.get("model")),
        owner_address=_text(local.get("owner_address")),
    )


def _block(found: Mapping[str, Any], name: str) -> dict[str, Any]:
    """A block of the answer, or an empty one."""
    value = found.get(name)
    return value if isinstance(value, dict) else {}


def _slot(stats: Mapping[str, Any], name: str, slot: int) -> Any:
    values = stats.get(name)
    return values[slot] if isinstance(values, list) and len(values) > slot else None


def _number(value: Any) -> float | None:
    """A finite number from 0 on."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < _LARGEST:
        return None
    return float(value)


def _whole(value: Any) -> int | None:
    """A whole number from 0 on that a bigint holds; the worker writes some of them with a point."""
    if type(value) is int:
        return value if 0 <= value < _LARGEST else None
    number = _number(value)
    return int(number) if number is not None and number.is_integer() and number < 2**53 else None


def _flag(value: Any) -> bool | None:
    return value if isinstance(value, bool) else None


def _text(value: Any) -> str | None:
    """Text that PostgreSQL can keep."""
    if not isinstance(value, str):
        return None
    return value.encode("utf-8", "replace").decode().replace("\0", "")[:MOST_TEXT_CHARS]


def _earned(proxies: Any) -> dict[str, int] | None:
    """Tokens committed to the chain, by the worker's own contract with each proxy; None where the block is missing."""
    if not isinstance(proxies, list):
        return None
    found: dict[str, int] = {}
    for proxy in proxies[:MOST_PROXIES]:
        tokens = _whole(proxy.get("earned_tokens_committed_to_blockchain")) if isinstance(proxy, dict) else None
        name = _text(proxy.get("sc_address")) or _text(proxy.get("proxy_sc_address")) if isinstance(proxy, dict) else None
        if tokens is not None and name:
            found[name] = tokens
    return found
