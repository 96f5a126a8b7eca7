"""What workers say, read so that nothing is made up; totals that never fall whatever a worker says."""

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.values import worker_health, worker_progress, worker_stats
from app.values.worker_health import Thresholds
from app.values.worker_progress import MOST_STEP, Counters
from app.values.worker_stats import NotAWorker, WorkerStats
from tests.factories.cocoon_workers import FakeWorker

UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=100)
TEXT = st.sampled_from(["", "x", "total", "\0", "é", "\ud800", "sc_address"])
ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=8) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=12,
)


def test_the_recorded_shape_with_its_doubled_key() -> None:
    text = FakeWorker().stats()
    assert text.count('"cached_tokens_price_multiplier"') == 2
    found = worker_stats.read(text.encode())
    assert (found.requests, found.success, found.failed, found.time_seconds) == (1200, 1188, 12, 2400.0)
    assert (found.success_rate, found.failed_rate, found.coefficient, found.model) == (0.5, 0.001, 1000, "Qwen/Qwen3-32B")


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"1", b"{}", b"<html>", b"\xff\xfe", b"[" * 10_000, b'{"status":[]}',
                                  b'{"stats":1,"status":"x"}', b'{"wallet":{}}', b"1" * 5000])
def test_what_is_no_worker_is_none(body: bytes) -> None:
    with pytest.raises(NotAWorker):
        worker_stats.read(body)


@pytest.mark.parametrize("value", [None, True, -1, 1.5, 2**63, 1e400, "7", [], {}])
def test_a_figure_that_is_none_is_unknown_and_not_zero(value: Any) -> None:
    body = {"status": {"ton_last_synced_at": value}, "stats": {"queries": [value], "time": "x", "success": []},
            "root_contract_config": {"worker_fee_per_token": value}, "proxies": [{"sc_address": "a"}, 7]}
    found = worker_stats.read(json.dumps(body).encode())
    assert (found.requests, found.synced_at, found.fee_per_token, found.time_seconds, found.success) == (None,) * 5
    assert found.earned == {} and found.proxies == 2


@UNHURRIED
@given(st.dictionaries(st.sampled_from(["status", "stats", "localconfig", "proxies", "wallet", "root_contract_config"]), ANY))
def test_whatever_comes_is_read_or_refused_and_judged(body: dict[str, Any]) -> None:
    try:
        found = worker_stats.read(json.dumps(body).encode())
    except NotAWorker:
        return
    assert worker_health.judge(found, 1e9, Thresholds()).status in worker_health.LEVELS
    worker_progress.advance(Counters(), found)


COUNT = st.none() | st.integers(0, 2**63 - 1)
SAID = st.builds(
    WorkerStats, requests=COUNT, success=COUNT, failed=COUNT, time_seconds=st.none() | st.floats(0, 1e15), fee_per_token=COUNT,
    earned=st.none() | st.dictionaries(st.sampled_from("abc"), st.integers(0, 2**63 - 1)),
)


@UNHURRIED
@given(st.lists(SAID, max_size=8))
def test_totals_never_fall_and_steps_are_never_negative(answers: list[WorkerStats]) -> None:
    before = Counters()
    for stats in answers:
        after, step = worker_progress.advance(before, stats)
        for name in ("requests", "success", "failed", "time_seconds", "revenue_nano"):
            old, new = getattr(before, name), getattr(after, name)
            assert old is None or old <= new < 2**63
            assert 0 <= getattr(step, name) and (name == "time_seconds" or getattr(step, name) <= MOST_STEP)
        before = after


def test_what_a_worker_says_first_is_no_step() -> None:
    stats = WorkerStats(requests=7, time_seconds=3.0, fee_per_token=2, earned={"a": 5})
    after, step = worker_progress.advance(Counters(), stats)
    assert step == worker_progress.Step() and (after.requests, after.time_seconds, after.revenue_nano) == (7, 3.0, 10)


def test_a_fee_that_comes_later_prices_what_was_earned_meanwhile() -> None:
    first, _ = worker_progress.advance(Counters(), WorkerStats(fee_per_token=2, earned={"a": 5}))
    second, step = worker_progress.advance(first, WorkerStats(earned={"a": 50}))
    assert step.revenue_nano == 0 and second.revenue_nano == 10
    third, step = worker_progress.advance(second, WorkerStats(fee_per_token=3, earned={"a": 55}))
    assert step.revenue_nano == 150 and third.revenue_nano == 160
