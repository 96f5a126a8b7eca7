"""A real Celery worker that runs tasks that do nothing."""

import os
import subprocess
import sys
import time
from types import TracebackType

import redis

from bench import noop
from bench.report import ROOT
from bench.stack import BenchError

READY_SECONDS = 60


class NoopWorker:
    """Two processes of Celery's default pool on the given broker, as many as the API has."""

    def __init__(self, broker_url: str, concurrency: int = 2) -> None:
        self._redis = redis.Redis.from_url(broker_url)
        noop.app.conf.broker_url = broker_url
        command = [sys.executable, "-m", "celery", "-A", "bench.noop", "worker", "-c", str(concurrency), "-Q", "bench"]
        command += ["--without-gossip", "--without-mingle", "--loglevel", "ERROR", "-n", "noop@%h"]
        environment = {**os.environ, "NOOP_BROKER_URL": broker_url}
        self._process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    def __enter__(self) -> "NoopWorker":
        noop.mark.delay()
        self._wait()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._process.terminate()
        self._process.wait(30)

    def work(self, count: int) -> tuple[float, float]:
        """Send and run `count` tasks: (tasks per second sent and run, tasks per second sent)."""
        started = time.perf_counter()
        for number in range(count):
            noop.noop.delay(number)
        sent = time.perf_counter() - started
        noop.mark.delay()
        self._wait()
        return count / (time.perf_counter() - started), count / sent

    def _wait(self) -> None:
        if self._redis.blpop([noop.MARK], READY_SECONDS) is None:
            raise BenchError("the Celery worker did not answer")
