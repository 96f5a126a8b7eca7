"""How processes tell what they count: through Valkey's absence, for tasks of Celery, and in the files of gunicorn's workers."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from celery.signals import task_revoked

from app import counts
from app.counts import Field
from app.observability import process_files, reporter
from app.observability.reporter import Reporter
from app.wiring import connect_cache
from tests.factories.stacks import wait_until
from workers import telling

ROOT = Path(__file__).parent.parent.parent
COUNTING = """
import sys
from prometheus_client import Counter, Gauge, Histogram
counter, histogram = Counter("c", "c", ["a"]), Histogram("h", "h", buckets=(1, 2))
gauge = Gauge("g", "g", multiprocess_mode="livesum")
counter.labels("x").inc(int(sys.argv[1]))
histogram.observe(1.5)
gauge.set(7)
import os
print(os.getpid())
"""
READING = """
import json
from prometheus_client import CollectorRegistry
from app.observability.process_files import LivingFiles
registry = CollectorRegistry()
LivingFiles(registry)
samples = [sample for family in registry.collect() for sample in family.samples]
print(json.dumps({sample.name + sample.labels.get("le", ""): sample.value for sample in samples}))
"""


@pytest.fixture(autouse=True)
def nothing_yet() -> None:
    counts.take()


def hash_of(cache: Any) -> dict[str, str]:
    found: dict[str, str] = cache.hgetall(reporter.COUNTS)
    return found


def test_while_valkey_is_away_nothing_is_lost(redis_url: str) -> None:
    counts.add("attempts", "lost", amount=4)
    away = Reporter(connect_cache("redis://127.0.0.1:9/0"), "worker")
    assert away.report() is False and away.report() is False
    counts.add("attempts", "lost")
    cache = connect_cache(redis_url)
    assert Reporter(cache, "worker").report()
    assert hash_of(cache)["attempts||lost"] == "5"


class Asked(Reporter):
    """One whose reports are counted."""

    times = 0

    def report(self) -> bool:
        self.times += 1
        return super().report()


def test_a_scrape_waits_once_for_a_valkey_that_does_not_answer(redis_url: str) -> None:
    """A thread of the process tries on; without one, each scrape must try itself."""
    away = Asked(connect_cache("redis://127.0.0.1:9/0"), "api")
    assert away.report_to_scrape() is away.report_to_scrape() is False and away.times == 2
    away.start()
    wait_until(lambda: away.times >= 3, "the thread tries")
    tries = away.times
    assert away.report_to_scrape() is False and away.is_heard is False and away.times == tries
    away._cache = connect_cache(redis_url)
    away.stop()
    assert away.is_heard and away.report_to_scrape()


def test_a_process_reports_by_itself_and_signs_off(redis_url: str) -> None:
    cache = connect_cache(redis_url)
    running = Reporter(cache, "poller")
    running.start()
    wait_until(lambda: bool(cache.hlen(reporter.PROCESSES)), "a report")
    counts.observe("database_work_seconds", 0.002)
    running.stop()
    found = hash_of(cache)
    assert found["database_work_seconds|1|poller"] == "1" and float(found["process_cpu_seconds||poller"]) > 0
    assert cache.hlen(reporter.PROCESSES) == 0 and cache.ttl(reporter.COUNTS) > 86_400


def test_one_gauge_that_fails_does_not_end_the_reports(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    cache, asked = connect_cache(redis_url), list[int]()

    def read() -> Any:
        asked.append(1)
        if len(asked) == 1:
            raise RuntimeError("only the first time")
        return iter(())

    monkeypatch.setattr(reporter, "REPORT_SECONDS", 0.01)
    counts.add("attempts", "lost")
    running = Reporter(cache, "api", read)
    running.start()
    wait_until(lambda: bool(cache.hlen(reporter.PROCESSES)), "a report")
    running.stop()
    assert len(asked) > 1 and hash_of(cache)["attempts||lost"] == "1"


@pytest.fixture
def app() -> Celery:
    telling.connect()
    made = Celery("tried", broker="memory://")
    made.conf.task_store_eager_result = False
    return made


def test_tasks_are_timed_and_their_ends_are_counted(app: Celery) -> None:
    @app.task(name="hub.well")
    def well() -> None: ...

    @app.task(name="hub.broken")
    def broken() -> None:
        raise ValueError("boom")

    @app.task(name="hub.again", bind=True, max_retries=1)
    def again(self: Any) -> None:
        if self.request.retries == 0:
            raise self.retry(countdown=0)

    @app.task(name="named by a stranger")
    def strange() -> None: ...

    for task in (well, well, broken, again, strange):
        task.apply()
    taken = counts.take()

    def ran(name: str) -> float:
        return sum(amount for field, amount in taken.items() if field[:2] == ("task_seconds", (name,)) and field.part != "sum")

    assert (ran("hub.well"), ran("hub.broken"), ran("hub.again"), ran("unknown")) == (2, 1, 2, 1)
    assert taken[Field("task_failures", ("hub.broken",))] == 1 and taken[Field("task_retries", ("hub.again",))] == 1
    assert Field("task_failures", ("hub.well",)) not in taken
    task_revoked.send(sender=well, request=None, terminated=False, signum=None, expired=True)  # as a worker sends it
    task_revoked.send(sender=well, request=None, terminated=True, signum=None, expired=False)
    assert counts.take() == {Field("tasks_expired", ("hub.well",)): 1}
    assert telling._began == {}


def counted(folder: Path, amount: int) -> int:
    """A process that counts and ends; its id."""
    return int(said(folder, COUNTING, str(amount)))


def said(folder: Path, script: str, *arguments: str) -> str:
    """What a process prints that keeps its counts in this folder."""
    environment = {**os.environ, process_files.FOLDER: str(folder)}
    command = [sys.executable, "-c", script, *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True, cwd=ROOT).stdout


def values(folder: Path) -> dict[str, float]:
    """As a process that serves /metrics reads them."""
    found: dict[str, float] = json.loads(said(folder, READING))
    return found


def test_what_workers_counted_who_are_gone_stays_in_one_set_of_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(process_files.FOLDER, str(tmp_path))
    pids = [counted(tmp_path, amount) for amount in (1, 2, 3)]
    before = values(tmp_path)
    assert before["c_total"] == 6 and before["g"] == 21 and before["h_count"] == before["h_bucket2.0"] == 3
    for pid in pids:
        process_files.fold(pid)
    after = values(tmp_path)
    assert {name: value for name, value in after.items() if name != "g"} == {n: v for n, v in before.items() if n != "g"}
    assert "g" not in after, "who is gone has no gauge"
    assert {file.name for file in tmp_path.glob("*.db")} == {"counter_0.db", "histogram_0.db"}
    process_files.fold(counted(tmp_path, 10))
    assert values(tmp_path)["c_total"] == 16
    process_files.begin()
    assert values(tmp_path) == {}


def test_a_file_that_a_killed_worker_left_half_made_ends_no_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(process_files.FOLDER, str(tmp_path))
    process_files.fold(counted(tmp_path, 5))
    (tmp_path / "counter_77.db").touch()
    (tmp_path / "histogram_77.db").write_bytes(b"\xff" * 64)
    process_files.fold(77)
    assert values(tmp_path)["c_total"] == 5
    assert {file.name for file in tmp_path.glob("*.db")} == {"counter_0.db", "histogram_0.db"}
    monkeypatch.setenv(process_files.FOLDER, str(tmp_path / "gone"))
    process_files.fold(78)
