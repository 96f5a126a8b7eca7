"""(g) Ten thousand idle nodes on the relay of one process: memory, other requests meanwhile, and waking many at once."""

import json
import resource
import statistics
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import psutil
from flask import Flask
from flask_jwt_extended import JWTManager
from sqlalchemy import insert
from tqdm import tqdm

from app import outbox
from app.api import security
from app.core import jobs, nodes
from app.db import Database
from app.models.jobs import Job
from app.models.nodes import Node, NodeToken
from app.values import clock
from app.wiring import Hub, build
from bench.report import ROOT, Part, Series, Verdict
from bench.rounds import Options
from bench.seeding import local_provider, make_scene, ordered_jobs
from bench.stack import BenchError, BenchStack
from bench.wire import Connection

NODES, WOKEN, SPARE_FILES = 10_000, 1_000, 500
PATHS = {"health": "/api/v1/health", "stats": "/stats"}
CLIENTS, PAUSE_SECONDS = 4, 0.004
FANOUT_SECONDS = 120.0
HOW = (
    "One gunicorn process with gevent serves everything. The nodes are sockets of another process: registered, "
    "authenticated, proven, pinged every 30 s, with nothing to do. Memory is the growth of the API process's resident set; "
    f"the kernel's buffers are not in it. Other requests come from {CLIENTS} clients that pause {PAUSE_SECONDS * 1000:.0f} ms "
    "between two of theirs: `/api/v1/health`, which asks nobody, and `/stats`, which asks PostgreSQL. Waking: one job of as "
    "many units as nodes are woken, from just before its commit to the last node's `job_dispatch`."
)


def measure(options: Options) -> Part:
    part = Part("g", "The relay: idle nodes in one process", HOW)
    wanted, woken, requests = options.size(NODES, 200), options.size(WOKEN, 50), options.size(3000, 200)
    count = min(wanted, resource.getrlimit(resource.RLIMIT_NOFILE)[1] - SPARE_FILES)
    if count < wanted:
        part.notes.append(f"this machine's limit of open files allows {count:,} sockets of {wanted:,}")
    with BenchStack(API_WORKERS="1", NODE_PROOF_REQUIRED="true") as stack:
        process = psutil.Process(stack.pid_of_worker("api"))
        crowd_of = _register(stack, count)
        before = _latencies(stack, requests, options)
        before_bytes = process.memory_info().rss
        with _crowd(stack, crowd_of) as crowd:
            opened_seconds = crowd.opened_seconds
            used = sum(process.cpu_times()[:2])
            idle_seconds = options.size(31, 2)
            time.sleep(idle_seconds)  # a whole round of pings
            share = (sum(process.cpu_times()[:2]) - used) / idle_seconds * 100
            bytes_each = (process.memory_info().rss - before_bytes) / count
            during = _latencies(stack, requests, options)
            fanout = _wake(stack, crowd, woken)
            closed = crowd.count()["closed"]
        after = _latencies(stack, requests, options)
    if closed:
        raise BenchError(f"{closed} sockets were closed by the hub")
    part.series.append(Series("sockets open", "", (float(count),)))
    part.series.append(Series("resident memory for each", "KiB", (bytes_each / 1024,), 1))
    part.series.append(Series("opening all of them, 16 at a time", "s", (opened_seconds,), 1))
    part.series.append(Series("processor time of the process for all of them, idle", "% of a core", (share,), 1))
    for name in PATHS:
        for word, share in (("p50", 0.5), ("p99", 0.99)):
            without = tuple(_share(found, share) for found in (*before[name], *after[name]))
            beside = tuple(_share(found, share) for found in during[name])
            part.series.append(Series(f"{name}, {word} without them", "ms", without, 2))
            part.series.append(Series(f"{name}, {word} beside them", "ms", beside, 2))
            if word == "p99":
                ratio = statistics.median(beside) / statistics.median(without)
                part.verdicts.append(Verdict(f"p99 of {name} beside the nodes, to without them", ratio, "≤", 1.5))
    part.series.append(Series(f"waking {woken:,} of them", "s", (fanout,), 2))
    part.verdicts.insert(0, Verdict("KiB of memory for an idle node", bytes_each / 1024, "≤", 64))
    return part


def _register(stack: BenchStack, count: int) -> list[tuple[str, str]]:
    """Nodes of the local provider with proven tokens: (node id, token)."""
    now = clock.now()
    with stack.database.unit_of_work() as session:
        provider = local_provider(session)
        made = [(uuid.uuid4(), uuid.uuid4()) for _ in range(count)]
        shared = {"account_id": provider.account_id, "provider_id": provider.id, "is_trusted": True, "capabilities": ["render"],
                  "machine": {}, "agent": "bench", "created_at": now}
        session.execute(insert(Node), [{**shared, "id": node, "name": "bench", "public_key": node.hex} for node, _ in made])
        ends = now + timedelta(hours=nodes.TOKEN_HOURS)
        tokens = [{"id": token, "node_id": node, "challenge": "", "proven_at": now, "expires_at": ends} for node, token in made]
        session.execute(insert(NodeToken), tokens)
    app = Flask("bench")
    app.config["JWT_SECRET_KEY"] = stack.settings().secret_key
    JWTManager(app)
    with app.app_context():
        return [(str(node), security.make_node_token(token)) for node, token in made]


class _Crowd:
    def __init__(self, process: "subprocess.Popen[str]", opened_seconds: float) -> None:
        self._process, self.opened_seconds = process, opened_seconds

    def count(self) -> dict[str, Any]:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write("count\n")
        self._process.stdin.flush()
        return dict(json.loads(self._process.stdout.readline()))


@contextmanager
def _crowd(stack: BenchStack, wanted: list[tuple[str, str]]) -> Iterator[_Crowd]:
    command = [sys.executable, "-m", "bench.crowd", str(stack.port)]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None and process.stdout is not None
    started = time.monotonic()
    try:
        for pair in tqdm(wanted, desc="(g) opening sockets", leave=False):
            process.stdin.write(json.dumps(pair) + "\n")
        process.stdin.write("\n")
        process.stdin.flush()
        if not process.stdout.readline():
            raise BenchError("the crowd could not open its sockets")
        yield _Crowd(process, time.monotonic() - started)
    finally:
        process.stdin.close()
        process.wait(60)
        process.stdout.close()


def _latencies(stack: BenchStack, requests: int, options: Options) -> dict[str, list[list[float]]]:
    """Milliseconds of every request, by path and round."""
    found: dict[str, list[list[float]]] = {name: [] for name in PATHS}
    for _ in range(options.turns(3)):
        for name, path in PATHS.items():
            found[name].append(_load(stack.api_url, path, requests))
    return found


def _load(url: str, path: str, requests: int) -> list[float]:
    taken: list[float] = []
    errors: list[Exception] = []

    def run() -> None:
        connection = Connection(url)
        try:
            for _ in range(requests // CLIENTS):
                started = time.perf_counter()
                status, _ = connection.request("GET", path)
                taken.append((time.perf_counter() - started) * 1000)
                if status != 200:
                    raise BenchError(f"{path} answered {status}")
                time.sleep(PAUSE_SECONDS)
        except Exception as error:
            errors.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=run) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return taken


def _share(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def _wake(stack: BenchStack, crowd: _Crowd, count: int) -> float:
    """Seconds from the commit of a job of `count` units to the last dispatch."""
    hub = build(stack.settings())  # rings as the hub's own processes do
    try:
        return _time_wake(hub, stack.database, crowd, count)
    finally:
        outbox.connect(None)
        hub.database.engine.dispose()


def _time_wake(hub: Hub, database: Database, crowd: _Crowd, count: int) -> float:
    (job_id,) = ordered_jobs(database, make_scene(database), 1, count)
    started = time.monotonic()
    with hub.database.unit_of_work() as session:
        jobs.queue(session, session.get_one(Job, job_id))
    deadline = started + FANOUT_SECONDS
    while (found := crowd.count())["dispatches"] < count:
        if time.monotonic() > deadline:
            raise BenchError(f"{found['dispatches']} of {count} units were handed out in {FANOUT_SECONDS:.0f} s")
        time.sleep(0.05)  # another process's progress tells nobody
    return float(found["last_at"]) - started
