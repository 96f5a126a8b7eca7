"""(i) Cocoon workers polled by one process."""

import json
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import text
from tqdm import tqdm

from app.core import cocoon_workers, participants
from app.db import Database
from bench.report import ROOT, Part, Series, Verdict
from bench.rounds import Options
from bench.stack import BenchError, BenchStack

WORKERS, INTERVAL_SECONDS, INTERVALS = 1000, 15, 3
FIRST_ROUND_SECONDS = 90.0
MOST_CPU_PERCENT = 20
HOW = (
    f"`lightyard poller` in a whole stack asks workers every {INTERVAL_SECONDS} s. They are real HTTP servers on ports of their "
    "own in another process, whose answers have the recorded shape of a real worker's /jsonstats (some 3 KB). Processor time, "
    "user and system, of the poller's process over whole intervals, with everything that it does meanwhile: asking, writing "
    "state, samples and roll-ups, telling watchers, and the exposition."
)


def measure(options: Options) -> Part:
    part = Part("i", "Cocoon workers polled by one process", HOW)
    count, intervals = options.size(WORKERS, 50), options.size(INTERVALS, 1)
    with BenchStack(WORKER_POLL_SECONDS=str(INTERVAL_SECONDS)) as stack, farm(count) as ports:
        register(stack.database, ports)
        _wait_for_first_round(stack.database, count)
        shares, polls = [], []
        for _ in tqdm(range(intervals), desc="(i) intervals", unit="interval", leave=False):
            used, samples, began = stack.cpu_seconds("poller"), _samples(stack.database), time.monotonic()
            time.sleep(INTERVAL_SECONDS)
            seconds = time.monotonic() - began
            shares.append((stack.cpu_seconds("poller") - used) / seconds * 100)
            polls.append((_samples(stack.database) - samples) / seconds * INTERVAL_SECONDS)
        healthy = _count(stack.database, "SELECT count(*) FROM cocoon_worker_states WHERE status = 'healthy'")
    if healthy != count:
        raise BenchError(f"only {healthy} of {count} workers were healthy")
    part.series = [
        Series("workers", "", (float(count),)),
        Series(f"polls written in {INTERVAL_SECONDS} s", "", tuple(polls)),
        Series("processor time of the poller", "% of a core", tuple(shares), 1),
    ]
    part.verdicts = [
        Verdict("% of a core for all of them", part.series[2].median, "≤", MOST_CPU_PERCENT),
        Verdict("polls written, of those that were due", part.series[1].median / count, "≥", 0.95),
    ]
    return part


@contextmanager
def farm(count: int) -> Iterator[list[int]]:
    """So many stand-ins for workers in a process of their own; their ports."""
    command = [sys.executable, "-m", "tests.factories.cocoon_workers", str(count)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline() or "[]")
    finally:
        process.terminate()
        process.wait(30)


def register(database: Database, ports: list[int]) -> int:
    """A worker for each port, all of one participant, whose id is returned."""
    with database.unit_of_work() as session:
        participant_id = participants.create(session, f"0:{uuid.uuid4().hex * 2}", {})
        for number, port in enumerate(ports):
            values = {
                "participant_id": participant_id,
                "worker_name": f"Worker-{number}",
                "instance_number": number,
                "host": "127.0.0.1",
                "stats_port": port,
            }
            cocoon_workers.create(session, values)
    return participant_id


def _count(database: Database, sql: str) -> int:
    with database.read_only() as session:
        return int(session.execute(text(sql)).scalar_one())


def _samples(database: Database) -> int:
    return _count(database, "SELECT count(*) FROM cocoon_worker_samples")


def _wait_for_first_round(database: Database, count: int) -> None:
    deadline = time.monotonic() + FIRST_ROUND_SECONDS
    while _count(database, "SELECT count(*) FROM cocoon_worker_states WHERE polled_at IS NOT NULL") < count:
        if time.monotonic() > deadline:
            raise BenchError(f"the first round took longer than {FIRST_ROUND_SECONDS:g} s")
        time.sleep(0.2)  # nobody tells a bench that a round is over
    time.sleep(INTERVAL_SECONDS)  # and the second round spreads them
