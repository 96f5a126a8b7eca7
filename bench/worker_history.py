"""(k) A month of one Cocoon worker's history, among many workers and among few."""

import json
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import text

from app.config import Settings
from app.core import worker_history
from app.db import Database, make_engine
from app.stack.postgres import Postgres
from app.stack.stack import migrate
from bench.report import Part, Series, Verdict, ratio_of_medians
from bench.rounds import Options, take_turns

MANY, FEW, DAYS, HOURS = 1000, 10, 32, 720
READS = 200
MOST_RATIO = 2.0
HOW = (
    f"`core.worker_history.read` of {HOURS} hours, of one worker after another, in two databases of one PostgreSQL: {MANY:,} "
    f"workers with {DAYS} days of hours each, and {FEW}. The hours were written hour by hour over all workers, as they come, and "
    "the days that are over were laid down by the poller's own verb. Wall-clock time of a read, its rows taken in; and the pages "
    "that one touches, by EXPLAIN."
)

_HOUR = text("""
INSERT INTO cocoon_worker_hours (worker_id, at, samples, answered, level, requests, success, failed, time_seconds, revenue_nano,
    weighed_nano, gpu_samples, gpu_utilization, gpu_memory_gb, gpu_celsius, gpu_watts, total_requests, total_revenue_nano)
SELECT w, h, 240, 240, 3, 120, 118, 2, 240, 1000000, 1000000, 240, 12000, 4800, 60, 48000, 1000, 5000000
FROM generate_series(date_trunc('hour', now()) - make_interval(days => :days), date_trunc('hour', now()), interval '1 hour') AS h,
    generate_series(1, :workers) AS w ORDER BY h, w
""")


def measure(options: Options) -> Part:
    part = Part("k", "A month of one Cocoon worker's history", HOW)
    many = options.size(MANY, 50)
    with _server() as postgres:
        sides = {f"{many:,} workers": _database(postgres, many), f"{FEW} workers": _database(postgres, FEW)}
        pages = {name: pages_of_a_read(database) for name, database in sides.items()}
        reads = options.size(READS, 20)
        turns = {name: partial(_read, database, reads) for name, database in sides.items()}
        found = take_turns("(k) reads", max(3, options.rounds), turns)
        for database in sides.values():
            database.engine.dispose()
    times = {name: tuple(value * 1000 for value in values) for name, values in found.items()}
    part.series = [Series(f"a read among {name}", "ms", values, 2) for name, values in times.items()]
    part.series += [Series(f"pages of a read among {name}", "", (float(value),)) for name, value in pages.items()]
    part.verdicts = [
        Verdict("time among many ÷ among few", ratio_of_medians(part.series[0], part.series[1]), "≤", MOST_RATIO),
        Verdict("pages among many ÷ among few", ratio_of_medians(part.series[2], part.series[3]), "≤", MOST_RATIO),
    ]
    return part


@contextmanager
def _server() -> Iterator[Postgres]:
    with tempfile.TemporaryDirectory(prefix="lightyard-bench-") as folder:
        Path(folder).chmod(0o755)  # PostgreSQL runs as another user and must reach its folder
        postgres = Postgres(Path(folder) / "postgres")
        postgres.start()
        try:
            yield postgres
        finally:
            postgres.stop()


def _database(postgres: Postgres, workers: int) -> Database:
    """A database with so many workers' past in it."""
    name = f"bench_{uuid.uuid4().hex[:8]}"
    admin = Database(make_engine(Settings(database_url=postgres.url)))
    with admin.one_by_one() as session:
        session.execute(text(f"CREATE DATABASE {name}"))
    admin.engine.dispose()
    database = Database(make_engine(Settings(database_url=postgres.database_url(name), statement_timeout_seconds=600)))
    migrate(database)
    fill(database, workers)
    return database


def fill(database: Database, workers: int) -> None:
    """So many workers' past, hour by hour over all of them, and laid down as the poller does it."""
    with database.unit_of_work() as session:
        session.execute(_HOUR, {"workers": workers, "days": DAYS})
    is_moving = True
    while is_moving:
        with database.unit_of_work() as session:
            is_moving = worker_history.lay_down(session)
    with database.one_by_one() as session:
        session.execute(text("VACUUM ANALYZE cocoon_worker_hours, cocoon_worker_past_hours"))


def _read(database: Database, count: int) -> float:
    """Seconds a read, over workers one after another."""
    began = time.perf_counter()
    with database.read_only() as session:
        for number in range(count):
            _, rows = worker_history.read(session, number % FEW + 1, HOURS)
            assert len(rows) >= HOURS
    return (time.perf_counter() - began) / count


def pages_of_a_read(database: Database) -> int:
    """Pages that one read touches, of tables and indexes."""
    with database.read_only() as session:
        statement = f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {worker_history.HOURS_SQL}"
        since = f"now() - interval '{HOURS} hours'"
        plan: Any = session.execute(text(statement.replace(":id", "7").replace(":since", since))).scalar_one()
    found = plan if isinstance(plan, list) else json.loads(plan)
    top = found[0]["Plan"]
    return int(top["Shared Hit Blocks"] + top["Shared Read Blocks"])
