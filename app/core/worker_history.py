"""What Cocoon workers did over time: samples for hours, five minutes for days, hours for a year."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.orm import Session

from app.values import clock

STEP_SECONDS, HOUR_SECONDS = 300, 3600
SAMPLES_UP_TO_HOURS, STEPS_UP_TO_HOURS = 1, 48
DELETED_AT_ONCE = 100_000
LAID_DOWN_AFTER_HOURS = 3  # of the next day: answers of the last hour have long been written

_SHAPE = {
    "worker_id": "int",
    "at": "timestamptz",
    "samples": "int",
    "answered": "int",
    "level": "smallint",
    "requests": "bigint",
    "success": "bigint",
    "failed": "bigint",
    "time_seconds": "float8",
    "revenue_nano": "bigint",
    "weighed_nano": "bigint",
    "gpu_samples": "int",
    "gpu_utilization": "float8",
    "gpu_memory_gb": "float8",
    "gpu_celsius": "real",
    "gpu_watts": "float8",
    "total_requests": "bigint",
    "total_revenue_nano": "bigint",
}
_ALL = ", ".join(_SHAPE)
_SUMS = ("samples", "answered", "requests", "success", "failed", "time_seconds", "revenue_nano", "weighed_nano", "gpu_samples")
_GPU_SUMS = ("gpu_utilization", "gpu_memory_gb", "gpu_watts")  # null until there is one
_MOST = ("gpu_celsius", "total_requests", "total_revenue_nano")


def _merge(table: str) -> str:
    """How two stretches of time become one; in any order, so that pollers need not wait for each other."""
    old, new = table, "excluded"
    parts = [f"{name} = {old}.{name} + {new}.{name}" for name in _SUMS]
    parts += [f"{name} = coalesce({old}.{name} + {new}.{name}, {old}.{name}, {new}.{name})" for name in _GPU_SUMS]
    parts += [f"{name} = greatest({old}.{name}, {new}.{name})" for name in _MOST]
    return ", ".join([*parts, f"level = least({old}.level, {new}.level)"])


def _roll_up(table: str, seconds: int) -> str:
    """Add samples to the stretches of time that they fall into."""
    start = f"to_timestamp(floor(extract(epoch FROM at) / {seconds}) * {seconds})"
    columns = ", ".join(start if name == "at" else name for name in _SHAPE)
    return f"""INSERT INTO {table} ({_ALL}) SELECT {columns} FROM put ORDER BY worker_id
        ON CONFLICT (worker_id, at) DO UPDATE SET {_merge(table)}"""


# Only samples that are new are rolled up: writing one again changes nothing.
_ADD = text(f"""
WITH put AS (
    INSERT INTO cocoon_worker_samples ({_ALL})
    SELECT {_ALL} FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS x({", ".join(f"{k} {v}" for k, v in _SHAPE.items())})
    ORDER BY worker_id ON CONFLICT DO NOTHING RETURNING *),
steps AS ({_roll_up("cocoon_worker_steps", STEP_SECONDS)})
{_roll_up("cocoon_worker_hours", HOUR_SECONDS)}
""")
_SAMPLES = text(f"SELECT {_ALL} FROM cocoon_worker_samples WHERE worker_id = :id AND at >= :since ORDER BY at")
_STEPS = text(f"SELECT {_ALL} FROM cocoon_worker_steps WHERE worker_id = :id AND at >= :since ORDER BY at")
HOURS_SQL = f"""
SELECT {_ALL} FROM cocoon_worker_past_hours WHERE worker_id = :id AND at >= :since
UNION ALL SELECT {_ALL} FROM cocoon_worker_hours WHERE worker_id = :id AND at >= :since ORDER BY at
"""
_HOURS = text(HOURS_SQL)
_DAY = text("""
SELECT sum(samples) AS samples, sum(answered) AS answered, sum(requests) AS requests, sum(success) AS success,
    sum(failed) AS failed, sum(time_seconds) AS time_seconds, sum(revenue_nano) AS revenue_nano, sum(gpu_samples) AS gpu_samples,
    sum(gpu_utilization) AS gpu_utilization FROM cocoon_worker_steps WHERE worker_id = :id AND at >= :since
""")
_LAY_DOWN = text(f"""
WITH gone AS (DELETE FROM cocoon_worker_hours WHERE at >= :first AND at < :first + interval '1 day' RETURNING *)
INSERT INTO cocoon_worker_past_hours AS cocoon_worker_past_hours ({_ALL}) SELECT {_ALL} FROM gone ORDER BY worker_id, at
ON CONFLICT (worker_id, at) DO UPDATE SET {_merge("cocoon_worker_past_hours")}
""")
_OLDEST = text("SELECT date_trunc('day', min(at), 'UTC') FROM cocoon_worker_hours")


@dataclass(frozen=True, slots=True)
class Kept:
    """How long history is kept."""

    sample_hours: int
    step_hours: int
    days: int


def add(session: Session, samples: Sequence[Mapping[str, Any]]) -> None:
    """Write samples, each worker at most once, and roll them up; writing one again changes nothing."""
    if samples:
        session.execute(_ADD, {"rows": json.dumps(samples)})


def read(session: Session, worker_id: int, hours: int) -> tuple[int, Sequence[Row[Any]]]:
    """The last `hours` of a worker: how many seconds each row stands for (0: one poll), and the rows, the oldest first.

    Up to an hour as it was polled, up to two days by five minutes, beyond that by the hour.
    """
    if hours <= SAMPLES_UP_TO_HOURS:
        query, seconds = _SAMPLES, 0
    elif hours <= STEPS_UP_TO_HOURS:
        query, seconds = _STEPS, STEP_SECONDS
    else:
        query, seconds = _HOURS, HOUR_SECONDS
    since = clock.now() - timedelta(hours=hours)
    return seconds, session.execute(query, {"id": worker_id, "since": _floor(since, seconds)}).all()


def _floor(moment: datetime, seconds: int) -> datetime:
    """The start of the stretch of time that a moment falls into, which is told whole."""
    return moment if not seconds else moment - timedelta(seconds=moment.timestamp() % seconds)


def last_day(session: Session, worker_id: int) -> Row[Any] | None:
    """A worker's last 24 hours added up; None where it was never polled in them."""
    since = _floor(clock.now() - timedelta(hours=24), STEP_SECONDS)
    found = session.execute(_DAY, {"id": worker_id, "since": since}).one()
    return found if found.samples else None


def lay_down(session: Session) -> bool:
    """Move the hours of the oldest day that is over to where they are kept, in the order of workers; whether there was one."""
    oldest = session.execute(_OLDEST).scalar()
    if oldest is None or clock.now() < oldest + timedelta(days=1, hours=LAID_DOWN_AFTER_HOURS):
        return False
    session.execute(_LAY_DOWN, {"first": oldest})
    return True


def forget(session: Session, kept: Kept) -> int:
    """Delete what is older than it need be, some of it; how many rows."""
    now, count = clock.now(), 0
    limits = {
        "samples": timedelta(hours=kept.sample_hours),
        "steps": timedelta(hours=kept.step_hours),
        "past_hours": timedelta(days=kept.days),
    }
    for name, age in limits.items():
        table = f"cocoon_worker_{name}"
        where = f"ctid IN (SELECT ctid FROM {table} WHERE at < :before LIMIT {DELETED_AT_ONCE})"
        gone = session.execute(text(f"WITH g AS (DELETE FROM {table} WHERE {where} RETURNING 1) SELECT count(*) FROM g"), {
            "before": now - age
        })
        count += int(gone.scalar_one())
    return count
