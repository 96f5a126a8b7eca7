"""The poller as a process of its own: it polls, ends when it is told to, and another one goes on where it was killed."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from tests.conftest import ROOT
from tests.factories.cocoon_workers import FakeWorker
from tests.poller.conftest import Pool


@contextmanager
def running(pool: Pool, log: Path, **settings: str) -> Iterator[subprocess.Popen[bytes]]:
    environment = {
        **os.environ, "DATABASE_URL": pool.hub.settings.database_url, "REDIS_URL": pool.hub.settings.redis_url,
        "LIGHTYARD_HOME": pool.hub.settings.lightyard_home, "ALLOW_PRIVATE_ENDPOINTS": "on", "WORKER_POLL_SECONDS": "1",
        "WORKER_TIMEOUT_SECONDS": "1", "METRICS_SCRAPE_SECONDS": "1", **settings,
    }
    with log.open("wb") as file:
        # begun with as few files as a login shell may have
        command = ["sh", "-c", 'ulimit -Sn 256; exec "$0" -m app.cli poller', sys.executable]
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=file, stderr=file)
    try:
        yield process
    finally:
        process.kill()
        process.wait(30)


def until(done: Callable[[], Any], log: Path, seconds: float = 60) -> None:
    """Polls are told to nobody here, so they are looked for."""
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline, log.read_text()[-2000:]
        time.sleep(0.05)


def test_it_polls_and_ends_with_what_is_under_way_written(pool: Pool, tmp_path: Path) -> None:
    worker_id, _ = pool.add()
    slow, _ = pool.add(FakeWorker(mode="slow"))
    log = tmp_path / "poller.log"
    with running(pool, log) as process:
        until(lambda: pool.state(worker_id).status == "healthy" and pool.state(slow).status == "down", log)
        assert psutil.Process(process.pid).children() == []  # it never forks
        soft, hard = psutil.Process(process.pid).rlimit(psutil.RLIMIT_NOFILE)
        assert soft == hard  # each of a thousand slow workers is an open file
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    assert "poller.ended" in log.read_text()
    assert "Traceback" not in log.read_text()


def test_another_one_goes_on_where_one_was_killed(pool: Pool, tmp_path: Path) -> None:
    ids = [pool.add()[0] for _ in range(6)]
    first_log, second_log = tmp_path / "first.log", tmp_path / "second.log"
    with running(pool, first_log) as first, running(pool, second_log):
        until(lambda: all(pool.state(worker_id).status == "healthy" for worker_id in ids), first_log)
        first.kill()
        first.wait(30)
        before = {worker_id: pool.state(worker_id).polled_at for worker_id in ids}
        until(lambda: all(pool.state(worker_id).polled_at > before[worker_id] for worker_id in ids), second_log)


def test_bad_workers_cost_the_good_ones_nothing(pool: Pool, tmp_path: Path) -> None:
    """Many of them at once: the good one is polled again and again, and the process stays small."""
    good, _ = pool.add()
    modes = ("endless", "huge", "crumbs", "trickle", "slow", "html", "endless_head", "garbage", "disconnect")
    bad = [pool.add(FakeWorker(mode=mode))[0] for mode in modes * 4]
    log = tmp_path / "poller.log"
    with running(pool, log) as process:
        until(lambda: all(pool.state(worker_id).status == "down" for worker_id in bad), log)
        for _ in range(2):
            seen_at = pool.state(good).seen_at
            until(lambda seen_at=seen_at: (pool.state(good).seen_at or 0) != seen_at, log)  # type: ignore[misc]
        assert psutil.Process(process.pid).memory_info().rss < 400 * 2**20
    assert pool.state(good).status == "healthy"
