"""A poll of real workers over HTTP ends as rows that say what they said, and nothing else."""

import json
import socket
import uuid
from datetime import timedelta

import pytest
import redis
from sqlalchemy.orm import Session

from app.adapters.worker_news import WORKERS_CHANNEL
from app.core import cocoon_workers, nodes, worker_gpus
from app.errors import NotFound
from app.flows import worker_polls
from app.models.nodes import Node
from app.values import clock
from tests.factories.cocoon_workers import FakeWorker
from tests.poller.conftest import Pool, make_participant

GPU = {"index": 0, "name": "GPU", "memory_total_bytes": 80 * 2**30, "memory_used_bytes": 20 * 2**30, "utilization_percent": 90,
       "temperature_celsius": 60, "power_watts": 300.5}


def heartbeat(pool: Pool, hostname: str, gpus: list, is_trusted: bool = True, addresses: list | None = None) -> None:
    body = {"name": "n", "public_key": uuid.uuid4().hex, "capabilities": ["compute"], "agent": "test",
            "machine": {"hostname": hostname, "addresses": addresses, "gpus": gpus}}
    with pool.hub.database.unit_of_work() as session:
        made = nodes.register(session, body, None, is_trusted, proof_required=False)
        nodes.heartbeat(session, session.get_one(Node, made.node_id), {})  # type: ignore[arg-type]


def test_a_healthy_worker_is_what_it_says(pool: Pool) -> None:
    worker_id, _ = pool.add()
    pool.poll()
    state = pool.state(worker_id)
    assert (state.status, state.reasons, state.requests, state.failed) == ("healthy", [], 1200, 12)
    assert state.latency_seconds == 2.0 and state.revenue_nano == 5_000_000 * 25
    assert state.gpus is None and state.errors == {} and state.seen_at == state.polled_at and state.said_coefficient == 1000


@pytest.mark.parametrize(("worker", "status", "reason"), [
    (FakeWorker(missing=("wallet",)), "degraded", "not initialised"),
    (FakeWorker(missing=("root_contract_config", "proxies")), "degraded", "not initialised"),
    (FakeWorker(is_image_actual=False), "degraded", "image"),
    (FakeWorker(is_model_actual=False), "degraded", "model"),
    (FakeWorker(synced_seconds_ago=4000), "degraded", "out of sync"),
    (FakeWorker(missing=("status",)), "degraded", "never synced"),
    (FakeWorker(synced_seconds_ago=700), "warning", "late"),
    (FakeWorker(success_rate=0.08, failed_rate=0.02), "warning", "20% of its requests failed"),
    (FakeWorker(tokens={}), "warning", "no proxy"),
    (FakeWorker(success_rate=0.0, failed_rate=0.001), "healthy", ""),  # one failure in ten minutes says nothing
    (FakeWorker(mode="disconnect"), "down", "closed the connection early"),
    (FakeWorker(mode="html"), "down", "not JSON"),
    (FakeWorker(mode="slow"), "down", "no whole answer"),
    (FakeWorker(mode="endless"), "down", "larger"),
    (FakeWorker(mode="huge"), "down", "larger"),
    (FakeWorker(mode="garbage"), "down", "not JSON"),
    (FakeWorker(missing=("status", "stats")), "down", "neither"),
], ids=lambda value: value if isinstance(value, str) else "")
def test_a_status_has_its_reason(pool: Pool, worker: FakeWorker, status: str, reason: str) -> None:
    worker_id, _ = pool.add(worker)
    pool.poll()
    state = pool.state(worker_id)
    assert state.status == status and reason in " ".join(state.reasons)
    assert bool(state.reasons) == (status != "healthy")


def test_what_a_worker_does_not_say_is_null_and_never_zero(pool: Pool) -> None:
    worker_id, _ = pool.add(FakeWorker(missing=("stats", "wallet", "root_contract_config", "proxies", "localconfig")))
    pool.poll()
    state = pool.state(worker_id)
    assert [state.requests, state.failed, state.revenue_nano] == [None] * 3
    assert [state.latency_seconds, state.gpus, state.said_coefficient] == [None] * 3
    assert pool.rows("SELECT total_requests, gpu_utilization, total_revenue_nano FROM cocoon_worker_samples") == [(None,) * 3]


def test_a_worker_that_falls_silent_keeps_what_it_said(pool: Pool) -> None:
    worker_id, worker = pool.add()
    pool.poll()
    before = pool.state(worker_id)
    worker.mode = "disconnect"
    pool.poll()
    after = pool.state(worker_id)
    assert (after.status, after.requests, after.revenue_nano) == ("down", 1200, 125_000_000)
    assert after.seen_at == before.seen_at and after.polled_at > before.polled_at and after.errors == {"unreachable": 1}
    assert pool.rows("SELECT samples, answered, level FROM cocoon_worker_hours") == [(2, 1, 0)]


def test_a_restart_makes_no_negative_history_and_no_earnings_twice(pool: Pool) -> None:
    worker_id, worker = pool.add()
    pool.poll()
    worker.requests += 100
    worker.tokens["EQproxyA"] += 1000
    pool.poll()
    worker.restart()
    worker.requests, worker.tokens = 30, {"EQproxyB": 1_000_000}  # it has not found its other proxy yet
    pool.poll()
    worker.requests, worker.tokens = 50, {"EQproxyA": 4_001_500, "EQproxyB": 1_000_000, "EQproxyC": 10}
    pool.poll()
    steps = pool.rows("SELECT requests, revenue_nano, total_requests, total_revenue_nano FROM cocoon_worker_samples ORDER BY at")
    assert steps == [
        (0, 0, 1200, 125_000_000),
        (100, 25_000, 1300, 125_025_000),
        (30, 0, 1330, 125_025_000),
        (20, 510 * 25, 1350, 125_037_750),
    ]
    assert pool.state(worker_id).requests == 1350


def test_earnings_count_at_the_price_of_their_own_time(pool: Pool) -> None:
    """A coefficient that is asked for now changes neither what was earned, nor what the worker still sells at its old price."""
    worker_id, worker = pool.add(FakeWorker(control_mode="busy", coefficient=1500))
    pool.poll()
    for coefficient in (1500, 4000):
        pool.change(worker_id, coefficient=coefficient)
        worker.tokens["EQproxyA"] += 1000
        pool.poll()
    worker.control_mode = ""
    worker.tokens["EQproxyA"] += 1000
    pool.poll()  # told only now
    worker.tokens["EQproxyA"] += 1000
    pool.poll()
    steps = pool.rows("SELECT revenue_nano, weighed_nano FROM cocoon_worker_samples ORDER BY at")
    assert steps == [(0, 0), *[(25_000, 37_500)] * 3, (25_000, 100_000)]
    assert pool.rows("SELECT sum(weighed_nano) FROM cocoon_worker_hours") == [(212_500,)]
    silent_id, silent = pool.add(FakeWorker(coefficient=None), coefficient=1200)  # its row's, where it says none
    pool.poll()
    silent.tokens["EQproxyA"] += 1000
    pool.poll()
    assert pool.rows(f"SELECT sum(weighed_nano) FROM cocoon_worker_hours WHERE worker_id = {silent_id}") == [(30_000,)]


def test_gpu_figures_come_from_a_believable_node_on_the_same_host(pool: Pool) -> None:
    worker_id, _ = pool.add(host="localhost")
    pool.poll()
    assert pool.state(worker_id).gpus is None
    heartbeat(pool, socket.gethostname(), [{**GPU, "utilization_percent": 1}], is_trusted=False)  # anybody could say so
    heartbeat(pool, "another-host", [GPU], addresses=["203.0.113.7", 7, "127.0.0.1"])
    pool.poll()
    assert pool.state(worker_id).gpus is None
    heartbeat(pool, socket.gethostname(), [GPU, {**GPU, "index": 1, "utilization_percent": None, "temperature_celsius": 90}])
    pool.poll()
    state = pool.state(worker_id)
    first = {"gpu_id": 0, "utilization": 90, "memory_used_gb": 20, "memory_total_gb": 80, "celsius": 60, "watts": 300.5}
    assert state.gpus[0] == first
    assert state.gpus[1]["utilization"] is None and (state.status, state.reasons) == ("warning", ["a GPU is at 90 °C"])
    found = pool.rows("""SELECT gpu_samples, gpu_utilization, gpu_memory_gb, gpu_celsius, gpu_watts FROM cocoon_worker_samples
        ORDER BY at DESC LIMIT 1""")
    assert found == [(1, 90, 40, 90, 601)]
    with pool.hub.database.read_only() as session:
        hosts = worker_gpus.read(session, 90, "hub")
    account_id = uuid.uuid4()
    assert [bool(hosts.of(name, account_id)) for name in ("203.0.113.7", "ANOTHER-HOST", "127.0.0.1", "203.0.113.8")] == [
        True, True, False, False,
    ]


def test_changes_are_passed_on_until_the_worker_says_so(pool: Pool) -> None:
    worker_id, worker = pool.add(FakeWorker(control_mode="busy"))
    pool.poll()
    pool.change(worker_id, is_active=False, coefficient=1200)
    pool.poll()
    state = pool.state(worker_id)
    assert (worker.coefficient, worker.is_enabled) == (1000, True) and state.errors == {"control": 1}
    assert state.status == "healthy" and "a change did not reach it yet" in state.reasons[0]
    worker.control_mode = ""
    pool.poll()
    assert (worker.coefficient, worker.is_enabled, pool.state(worker_id).told_active) == (1200, False, False)
    pool.poll()
    count = len([target for target in worker.asked if target.startswith("/request/")])
    pool.poll()
    assert len([target for target in worker.asked if target.startswith("/request/")]) == count  # it says so: nothing more is sent
    assert pool.state(worker_id).said_coefficient == 1200
    pool.change(worker_id, is_active=True, coefficient=1000)
    pool.poll()
    assert (worker.coefficient, worker.is_enabled) == (1000, True)


def test_a_worker_that_forgets_or_is_changed_by_hand_is_told_again(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    worker_id, worker = pool.add(is_active=False, coefficient=900)
    pool.poll()
    assert (worker.coefficient, worker.is_enabled) == (900, False)
    worker.restart()
    worker.coefficient = 1000
    pool.poll()
    assert (worker.coefficient, worker.is_enabled) == (900, False)
    worker.is_enabled = True  # by hand
    pool.poll()
    assert worker.is_enabled  # its page is read every five minutes
    monkeypatch.setattr("app.flows.worker_polls.CHECK_SWITCH_SECONDS", 0)
    pool.poll()
    assert not worker.is_enabled and pool.state(worker_id).told_active is False


def test_a_worker_nobody_changed_is_sent_nothing(pool: Pool) -> None:
    _, worker = pool.add(FakeWorker(coefficient=1500))
    _, pageless = pool.add(FakeWorker(has_page=False))
    for _ in range(3):
        pool.poll()
    assert not [target for target in worker.asked + pageless.asked if target.startswith("/request/")]


def test_several_pollers_share_workers_and_a_late_answer_changes_nothing(pool: Pool) -> None:
    ids = {pool.add()[0] for _ in range(5)}
    with pool.hub.database.unit_of_work() as one, pool.hub.database.engine.connect() as other:
        first = cocoon_workers.take_due(one, 15, 3)
        with Session(other) as session:
            second = cocoon_workers.take_due(session, 15, 10)
            assert cocoon_workers.take_due(session, 15, 10) == []
    assert {worker.id for worker in first} | {worker.id for worker in second} == ids and len(first) + len(second) == 5
    pool.poll()
    with pool.hub.database.unit_of_work() as session:
        stale = {"worker_id": first[0].id, "before": None, "at": clock.now().isoformat(), "answered": False, "status": "down",
                 "reasons": [], "earned": {}, "errors": {}}
        assert cocoon_workers.note(session, [{"worker_id": first[0].id, "state": stale, "sample": {}}]) == set()
    assert pool.state(first[0].id).status == "healthy"


def test_every_poll_is_told_to_whoever_watches(pool: Pool) -> None:
    worker_id, _ = pool.add()
    cache = redis.Redis.from_url(pool.hub.settings.redis_url, decode_responses=True)
    with cache.pubsub(ignore_subscribe_messages=True) as channel:
        channel.subscribe(WORKERS_CHANNEL)
        channel.get_message(timeout=5)
        pool.poll()
        message = channel.get_message(timeout=5)
    assert message is not None
    [told] = json.loads(message["data"])
    with pool.hub.database.read_only() as session:
        assert told == json.loads(json.dumps(cocoon_workers.described(*cocoon_workers.get(session, worker_id))))
    assert (told["status"], told["revenue_ton"], told["gpu_utilization"]) == ("healthy", 0.125, None)


def test_a_worker_of_an_unknown_participant_is_refused(pool: Pool) -> None:
    with pytest.raises(NotFound), pool.hub.database.unit_of_work() as session:
        cocoon_workers.create(session, {"participant_id": 999_999})
    other = make_participant(pool.hub)
    with pytest.raises(NotFound), pool.hub.database.unit_of_work() as session:
        cocoon_workers.create(session, {"participant_id": other}, among=(pool.participant_id,))


def test_workers_are_due_again_within_the_interval(pool: Pool) -> None:
    worker_id, _ = pool.add()
    pool.poll()
    waits = pool.state(worker_id).due_at - pool.state(worker_id).polled_at
    assert timedelta(seconds=12) < waits <= timedelta(seconds=14.5)  # what it takes to see, ask and write comes on top


def test_numbers_that_cannot_be_harm_nobody(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that makes its figures up: its own history is bounded, and the others' is written."""
    liar_id, liar = pool.add(FakeWorker(requests=0, failed=0, tokens={"EQ": 0}, fee_per_token=2**62))
    good_id, good = pool.add()
    pool.poll()
    for number in range(1, 4):
        liar.requests, liar.tokens = number * (2**61), {"EQ": number * 2**60}
        good.requests += 1
        pool.poll()
    assert pool.rows(f"SELECT requests, revenue_nano FROM cocoon_worker_hours WHERE worker_id = {liar_id}") == [(3 * 2**50,) * 2]
    assert pool.state(liar_id).revenue_nano == 2**63 - 1
    assert pool.rows(f"SELECT requests FROM cocoon_worker_hours WHERE worker_id = {good_id}") == [(3,)]
    # and should the database refuse a row all the same, it is the only one that is left out
    row = worker_polls.row
    monkeypatch.setattr(worker_polls, "row", lambda polled: broken(row(polled), polled.worker.id == liar_id))
    before = {worker_id: pool.state(worker_id).polled_at for worker_id in (liar_id, good_id)}
    pool.poll()
    assert pool.state(good_id).polled_at > before[good_id] and pool.state(liar_id).polled_at == before[liar_id]


def broken(row: dict, is_bad: bool) -> dict:
    return {**row, "sample": {**row["sample"], "requests": 2**70}} if is_bad else row
