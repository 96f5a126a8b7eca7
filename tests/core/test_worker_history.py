"""The history of Cocoon workers: roll-ups say what samples said, once, and what is old goes."""

import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from sqlalchemy import text

from app.config import Settings
from app.core import worker_history
from app.core.worker_history import Kept
from app.db import Database, make_engine
from app.stack.postgres import Postgres
from app.values import clock
from bench import worker_history as bench

NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)
KEPT = Kept(sample_hours=3, step_hours=72, days=400)


@pytest.fixture
def at() -> Iterator[Any]:
    now = [NOON]
    clock.replace_clock(lambda: now[0])
    yield lambda moment: now.__setitem__(0, moment)
    clock.replace_clock(None)


def sample(at: datetime, worker_id: int = 1, **figures: Any) -> dict[str, Any]:
    told = {
        "samples": 1, "answered": 1, "level": 3, "requests": 10, "success": 9, "failed": 1, "time_seconds": 20.0,
        "revenue_nano": 100, "weighed_nano": 150, "gpu_samples": 1, "gpu_utilization": 50.0, "gpu_memory_gb": 8.0,
        "gpu_celsius": 60.0, "gpu_watts": 200.0, "total_requests": 1000, "total_revenue_nano": 5000,
    }
    return {"worker_id": worker_id, "at": at.isoformat(), **told, **figures}


def add(database: Database, *samples: dict[str, Any]) -> None:
    with database.unit_of_work() as session:
        worker_history.add(session, samples)


def read(database: Database, hours: int, worker_id: int = 1) -> tuple[int, list[Any]]:
    with database.read_only() as session:
        seconds, rows = worker_history.read(session, worker_id, hours)
        return seconds, list(rows)


def count(database: Database, table: str) -> int:
    with database.unit_of_work() as session:
        return int(session.execute(text(f"SELECT count(*) FROM cocoon_worker_{table}")).scalar_one())


def test_samples_become_five_minutes_and_hours_in_any_order(database: Database, at: Any) -> None:
    unknown = {"gpu_samples": 0, "gpu_utilization": None, "gpu_memory_gb": None, "gpu_celsius": None, "gpu_watts": None}
    last = sample(NOON - timedelta(minutes=1), total_requests=1030, gpu_celsius=70.0)
    first = sample(NOON - timedelta(minutes=2), level=0, answered=0, requests=0, revenue_nano=0, **unknown)
    early = sample(NOON - timedelta(minutes=40), level=1)
    for item in (last, early, first):
        add(database, item)
    seconds, rows = read(database, 24)
    assert seconds == 300 and [row.at for row in rows] == [NOON - timedelta(minutes=40), NOON - timedelta(minutes=5)]
    found = rows[1]
    assert (found.samples, found.answered, found.level, found.requests, found.revenue_nano) == (2, 1, 0, 10, 100)
    assert (found.gpu_samples, found.gpu_utilization, found.gpu_celsius, found.total_requests) == (1, 50, 70, 1030)
    seconds, [hour] = read(database, 720)
    assert (seconds, hour.at, hour.samples, hour.requests, hour.total_requests) == (3600, NOON - timedelta(hours=1), 3, 20, 1030)
    assert [len(read(database, hours)[1]) for hours in (1, 48, 49)] == [3, 2, 1]


def test_a_sample_that_is_written_again_counts_once(database: Database, at: Any) -> None:
    item = sample(NOON - timedelta(minutes=1))
    add(database, item, sample(NOON - timedelta(minutes=1), 2))
    add(database, item)
    for hours in (1, 24, 720):
        [row] = read(database, hours)[1]
        assert (row.samples, row.requests) == (1, 10)


def test_days_that_are_over_are_laid_down_and_read_with_the_others(database: Database, at: Any) -> None:
    days = [NOON - timedelta(days=number) for number in range(4)]
    for worker_id in (2, 1):
        for day in days:
            at(day)
            add(database, sample(day, worker_id))
    at(NOON)
    moved = 0
    with database.unit_of_work() as session:
        while worker_history.lay_down(session):
            moved += 1
    assert (moved, count(database, "hours"), count(database, "past_hours")) == (3, 2, 6)
    seconds, rows = read(database, 720)
    assert [row.at for row in rows] == days[::-1] and seconds == 3600
    late = sample(days[3] + timedelta(minutes=5))  # an answer that was written after its day was laid down
    add(database, late)
    with database.unit_of_work() as session:
        assert worker_history.lay_down(session) and not worker_history.lay_down(session)
    assert read(database, 720)[1][0].samples == 2
    at(NOON.replace(hour=0) + timedelta(days=1, hours=2))
    with database.unit_of_work() as session:
        assert not worker_history.lay_down(session)  # yesterday's last answers may still come


def test_what_is_old_is_forgotten_and_nothing_else(database: Database, at: Any) -> None:
    moments = [NOON - age for age in (timedelta(hours=1), timedelta(hours=4), timedelta(hours=80), timedelta(days=410))]
    for moment in moments:
        at(moment)
        add(database, sample(moment))
    at(NOON)
    with database.unit_of_work() as session:
        while worker_history.lay_down(session):
            pass
        assert worker_history.forget(session, KEPT) == 3 + 2 + 1
        assert worker_history.forget(session, KEPT) == 0
    assert [count(database, table) for table in ("samples", "steps")] == [1, 2]
    assert count(database, "hours") + count(database, "past_hours") == 3


def test_a_day_is_added_up(database: Database, at: Any) -> None:
    with database.read_only() as session:
        assert worker_history.last_day(session, 1) is None
    for hours in (1, 5, 23, 25):
        add(database, sample(NOON - timedelta(hours=hours)))
    with database.read_only() as session:
        day = worker_history.last_day(session, 1)
    assert day is not None and (day.samples, day.requests, day.revenue_nano, day.gpu_utilization) == (3, 30, 300, 150)


def test_a_month_costs_the_same_beside_many_workers(database: Database, postgres: Postgres, template: str) -> None:
    """The pages that it touches are counted, not the time: bench (k) measures that at a thousand workers."""
    name = f"test_{uuid.uuid4().hex}"
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
    other = Database(make_engine(Settings(database_url=postgres.database_url(name))))
    bench.fill(database, 10)
    bench.fill(other, 150)
    few, many = bench.pages_of_a_read(database), bench.pages_of_a_read(other)
    other.engine.dispose()
    assert 0 < many <= 2 * few
