"""Cocoon workers: which there are, what they said last, and what they did over time."""

from datetime import datetime

from sqlalchemy import BigInteger, DateTime, Double, ForeignKey, Identity, Index, Integer, SmallInteger
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, REAL, TEXT
from sqlalchemy.orm import Mapped, mapped_column

from app.db import Base
from app.models.columns import Created, Json, Moment, Str


class CocoonWorker(Base):
    """A worker as its participant wants it. `coefficient` is its price in thousandths; null: as the worker itself has it."""

    __tablename__ = "cocoon_workers"

    id: Mapped[int] = mapped_column(Integer, Identity(), primary_key=True)
    participant_id: Mapped[int] = mapped_column(ForeignKey("participants.id"), index=True)
    worker_name: Mapped[Str]
    instance_number: Mapped[int] = mapped_column(Integer)
    host: Mapped[Str]
    stats_port: Mapped[int] = mapped_column(Integer)
    cid: Mapped[Str | None]
    is_active: Mapped[bool] = mapped_column(default=True)
    coefficient: Mapped[int | None] = mapped_column(Integer)
    created_at: Mapped[Created]
    updated_at: Mapped[Moment]


class WorkerState(Base):
    """What a worker said last, written by whoever polled it; apart from the worker's row, which its owner changes.

    Who takes a worker to poll sets `due_at` ahead; `polled_at` is the fence that an answer is written by. `told_active` is what
    the worker last said of being enabled, `said_coefficient` of its price. `said_*` are the worker's own counters, the others
    add up over its restarts and never fall.
    """

    __tablename__ = "cocoon_worker_states"
    __table_args__ = ({"postgresql_with": {"fillfactor": "60"}},)

    worker_id: Mapped[int] = mapped_column(ForeignKey("cocoon_workers.id", ondelete="CASCADE"), primary_key=True)
    due_at: Mapped[Moment] = mapped_column(index=True)
    polled_at: Mapped[Moment | None]
    seen_at: Mapped[Moment | None]
    checked_at: Mapped[Moment | None]
    status: Mapped[Str | None]
    reasons: Mapped[list[str]] = mapped_column(ARRAY(TEXT), default=list)
    told_active: Mapped[bool | None]
    said_coefficient: Mapped[int | None] = mapped_column(Integer)
    said_requests: Mapped[int | None] = mapped_column(BigInteger)
    said_success: Mapped[int | None] = mapped_column(BigInteger)
    said_failed: Mapped[int | None] = mapped_column(BigInteger)
    said_time_seconds: Mapped[float | None] = mapped_column(Double)
    requests: Mapped[int | None] = mapped_column(BigInteger)
    success: Mapped[int | None] = mapped_column(BigInteger)
    failed: Mapped[int | None] = mapped_column(BigInteger)
    time_seconds: Mapped[float | None] = mapped_column(Double)
    revenue_nano: Mapped[int | None] = mapped_column(BigInteger)
    earned: Mapped[Json]
    latency_seconds: Mapped[float | None] = mapped_column(Double)
    gpus: Mapped[list[dict[str, float | None]] | None] = mapped_column(JSONB(none_as_null=True))
    errors: Mapped[Json]


class _Figures:
    """What happened in a stretch of time that begins at `at`: how often the worker was asked, how often it answered, and how it
    was at its worst; rises of counters, and the revenue at the price coefficient of its time (`weighed_nano`); sums of GPU
    figures over the `gpu_samples` that had some; the totals at the end."""

    worker_id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    at: Mapped[datetime] = mapped_column(DateTime(timezone=True), primary_key=True)
    samples: Mapped[int] = mapped_column(Integer)
    answered: Mapped[int] = mapped_column(Integer)
    level: Mapped[int] = mapped_column(SmallInteger)
    requests: Mapped[int] = mapped_column(BigInteger)
    success: Mapped[int] = mapped_column(BigInteger)
    failed: Mapped[int] = mapped_column(BigInteger)
    time_seconds: Mapped[float] = mapped_column(Double)
    revenue_nano: Mapped[int] = mapped_column(BigInteger)
    weighed_nano: Mapped[int] = mapped_column(BigInteger)
    gpu_samples: Mapped[int] = mapped_column(Integer)
    gpu_utilization: Mapped[float | None] = mapped_column(Double)
    gpu_memory_gb: Mapped[float | None] = mapped_column(Double)
    gpu_celsius: Mapped[float | None] = mapped_column(REAL)
    gpu_watts: Mapped[float | None] = mapped_column(Double)
    total_requests: Mapped[int | None] = mapped_column(BigInteger)
    total_revenue_nano: Mapped[int | None] = mapped_column(BigInteger)


class WorkerSample(_Figures, Base):
    """One poll. Kept for hours."""

    __tablename__ = "cocoon_worker_samples"
    __table_args__ = (Index("ix_cocoon_worker_samples_at", "at", postgresql_using="brin"),)


class WorkerStep(_Figures, Base):
    """Five minutes. Kept for days."""

    __tablename__ = "cocoon_worker_steps"
    __table_args__ = (Index("ix_cocoon_worker_steps_at", "at", postgresql_using="brin"),)


class WorkerHour(_Figures, Base):
    """An hour of a day that is not over, or only just."""

    __tablename__ = "cocoon_worker_hours"
    __table_args__ = (Index("ix_cocoon_worker_hours_at", "at"),)


class WorkerPastHour(_Figures, Base):
    """An hour of a day that is over, laid down a day at a time in the order of workers: a month of one worker lies on as few
    pages beside a thousand others as it does alone."""

    __tablename__ = "cocoon_worker_past_hours"
    __table_args__ = (Index("ix_cocoon_worker_past_hours_at", "at", postgresql_using="brin"),)
