"""The exposition of Cocoon workers: what a parser of Prometheus' own client reads in it, and that promtool takes it."""

import asyncio
import shutil
import subprocess

import pytest
from prometheus_client.parser import text_string_to_metric_families

from app.adapters.exposition_shelf import ExpositionShelf
from app.core import cocoon_workers
from app.observability import worker_exposition
from app.poller.cocoon import CocoonPoller
from tests.factories.cocoon_workers import FakeWorker
from tests.factories.missing import go_without
from tests.poller.conftest import Pool, farm, hub, pool

__all__ = ["farm", "hub", "pool"]
SEEDS = {
    "cocoon_worker_status": {"worker_id", "worker_name", "participant_id", "instance"},
    "cocoon_gpu_utilization": {"worker_id", "worker_name", "gpu_id"},
    "cocoon_gpu_memory_used_gb": {"worker_id", "worker_name", "gpu_id"},
    "cocoon_gpu_temperature_celsius": {"worker_id", "worker_name", "gpu_id"},
    "cocoon_revenue_ton": {"worker_id", "worker_name", "participant_id"},
    "cocoon_inference_requests_total": {"worker_id", "worker_name"},
    "cocoon_inference_requests_failed_total": {"worker_id", "worker_name"},
    "cocoon_inference_latency_seconds": {"worker_id", "worker_name"},
    "cocoon_worker_errors_total": {"worker_id", "worker_name", "error_type"},
}
NASTY = 'a"b\\c\nd{}=,é\u2028 # HELP x'
ROWS = [
    (1, NASTY, 7, 0, 1200, 1188, 12, 125_000_000, 2.0, "healthy", None,
     '[{"gpu_id": 0, "utilization": 87.5, "memory_used_gb": 20, "celsius": 60}, {"gpu_id": 1, "utilization": null}]', "{}"),
    (2, "down", 7, 1, None, None, None, None, None, "down", None, None, '{"timeout": 3}'),
    (3, "tiny", 8, 2, 0, 0, 0, 1, 1e-7, "warning", None, "[]", "{}"),
]


def samples(text: bytes) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    found = [sample for family in text_string_to_metric_families(text.decode()) for sample in family.samples]
    values = {(sample.name, tuple(sorted(sample.labels.items()))): sample.value for sample in found}
    assert len(values) == len(found), "a sample is there twice"
    return values


def value(text: bytes, name: str, **labels: str) -> float | None:
    matching = [found for (sample, of), found in samples(text).items() if sample == name and labels.items() <= dict(of).items()]
    assert len(matching) <= 1
    return matching[0] if matching else None


def test_the_families_of_the_seed_with_their_labels() -> None:
    labels: dict[str, set[str]] = {}
    for name, of in samples(worker_exposition.build(ROWS)):
        assert labels.setdefault(name, set(dict(of))) == set(dict(of))
    assert labels == SEEDS


def test_values_and_labels_are_what_was_said_and_nothing_is_made_up() -> None:
    text = worker_exposition.build(ROWS)
    assert value(text, "cocoon_worker_status", worker_id="1", worker_name=NASTY, participant_id="7", instance="0") == 1
    assert [value(text, "cocoon_worker_status", worker_id=str(number)) for number in (2, 3)] == [0, 0.7]
    assert value(text, "cocoon_revenue_ton", worker_id="1") == 0.125 and value(text, "cocoon_revenue_ton", worker_id="3") == 1e-9
    assert value(text, "cocoon_gpu_utilization", worker_id="1", gpu_id="0") == 87.5
    assert value(text, "cocoon_gpu_temperature_celsius", worker_id="1", gpu_id="0") == 60
    assert value(text, "cocoon_worker_errors_total", worker_id="2", error_type="timeout") == 3
    assert value(text, "cocoon_worker_errors_total", worker_id="1", error_type="unreachable") == 0
    unknown = [(name, dict(of)) for name, of in samples(text) if dict(of)["worker_id"] == "2"]
    assert {name for name, _ in unknown} == {"cocoon_worker_status", "cocoon_worker_errors_total"}
    assert value(text, "cocoon_gpu_utilization", worker_id="1", gpu_id="1") is None


def test_of_polled_workers(pool: Pool) -> None:
    worker_id, _ = pool.add(worker_name='Worker "0"')
    sick, _ = pool.add(FakeWorker(mode="html"), instance_number=4)
    waiting, _ = pool.add()
    pool.make_due()
    with pool.hub.database.unit_of_work() as session:
        session.connection().exec_driver_sql(f"UPDATE cocoon_worker_states SET due_at = 'infinity' WHERE worker_id = {waiting}")
    poller = CocoonPoller(pool.hub)
    asyncio.run(pool._poll_once(poller))
    poller._build_exposition()
    text = b"".join(poller._shelf.read())
    assert value(text, "cocoon_inference_requests_total", worker_id=str(worker_id), worker_name='Worker "0"') == 1200
    assert value(text, "cocoon_inference_requests_failed_total", worker_id=str(worker_id)) == 12
    assert value(text, "cocoon_inference_latency_seconds", worker_id=str(worker_id)) == 2
    assert value(text, "cocoon_worker_status", worker_id=str(sick), instance="4") == 0
    assert value(text, "cocoon_worker_errors_total", worker_id=str(sick), error_type="bad_answer") == 1
    assert value(text, "cocoon_worker_status", worker_id=str(waiting)) is None  # nobody knows yet


def test_a_worker_that_is_out_of_service_is_not_told_as_down(pool: Pool) -> None:
    off, _ = pool.add(FakeWorker(mode="html"))
    disabled, _ = pool.add(instance_number=5)
    with pool.hub.database.unit_of_work() as session:
        for worker_id in (off, disabled):
            cocoon_workers.change(session, worker_id, {"is_active": False})
    pool.make_due()
    asyncio.run(pool._poll_once(CocoonPoller(pool.hub)))
    with pool.hub.database.read_only() as session:
        text = worker_exposition.build(cocoon_workers.overview(session))
    assert value(text, "cocoon_worker_status", worker_id=str(off)) is None
    assert value(text, "cocoon_worker_status", worker_id=str(disabled)) == 1
    assert value(text, "cocoon_worker_errors_total", worker_id=str(off), error_type="bad_answer") == 1


def test_it_is_made_once_per_interval_however_many_poll_and_fetched_once(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    monkeypatch.setattr(worker_exposition, "build", lambda rows: made.append(1) or b"# body\n")
    pollers = [CocoonPoller(pool.hub) for _ in range(3)]
    for poller in pollers:
        poller._build_exposition()
    assert made == [1]
    shelf = ExpositionShelf(pool.hub.settings.redis_url)
    asked: list[str] = []
    monkeypatch.setattr(shelf._cache, "getrange", lambda *span, get=shelf._cache.getrange: asked.append("body") or get(*span))
    assert [shelf.read() for _ in range(3)] == [(b"# body\n",)] * 3 and asked == ["body"]
    large = b"# newer\n" * 200_000
    pollers[0]._shelf.put(large, 60)
    assert b"".join(shelf.read()) == large and len(shelf.read()) == 4
    pollers[0]._shelf.put(b"# gone\n", 0.001)
    while shelf._cache.exists("lightyard.cocoon.exposition"):
        pass
    assert shelf.read() == ()  # too old to be true: nothing rather than yesterday's figures
    assert ExpositionShelf("redis://127.0.0.1:1/0").read() == ()


@pytest.mark.system
def test_promtool_takes_it() -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        reason = "the exposition is checked by promtool, of Debian's package prometheus"
        go_without(reason)
    done = subprocess.run([promtool, "check", "metrics"], input=worker_exposition.build(ROWS), capture_output=True)
    complaints = [line for line in (done.stdout + done.stderr).decode().splitlines() if line]
    assert done.returncode in (0, 3), complaints  # 3: style; the seed's names have a unit of their own
    assert all("cocoon_gpu_memory_used_gb" in line for line in complaints), complaints
