"""What can be followed of a compute task: how its states changed, what its container wrote, and what that used."""

import uuid

from sqlalchemy import BigInteger, ForeignKey, Index, Integer, text
from sqlalchemy.orm import Mapped, mapped_column

from app.db import Base
from app.models.columns import Created, Json, Minor, Moment, Str


class TaskStream(Base):
    """How far a task's numbers have come. Whoever tells something of the task locks this row: numbers have no gaps, and nobody
    sees a later one before an earlier one.

    A trigger makes it with its task. The rows below refer to it and not to the job: what refers to a row waits for whoever has
    locked that one, and jobs are locked by those who then wait for this row. `lines_cut` is up to where lines were deleted
    for being too many, `lines_lost` how many their host never sent; `kept_bytes` is the size of those that are there.
    `kept_since`: when the task ended; null again once what it wrote was deleted.
    """

    __tablename__ = "task_streams"
    __table_args__ = (Index("ix_task_streams_kept_since", "kept_since", postgresql_where=text("kept_since IS NOT NULL")),)

    job_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("tasks.job_id"), primary_key=True)
    changes: Mapped[int] = mapped_column(BigInteger, default=0)
    lines: Mapped[int] = mapped_column(BigInteger, default=0)
    lines_cut: Mapped[int] = mapped_column(BigInteger, default=0)
    lines_lost: Mapped[int] = mapped_column(BigInteger, default=0)
    kept_bytes: Mapped[Minor] = mapped_column(default=0)
    kept_since: Mapped[Moment | None]


class TaskChange(Base):
    """A task's three states as they were from here on, and its progress from 0 to 1. Written by triggers on `tasks`, `jobs` and
    `work_units`, whoever changes them; the newest thousand stay."""

    __tablename__ = "task_changes"

    job_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("task_streams.job_id", ondelete="CASCADE"), primary_key=True)
    sequence: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    payment_state: Mapped[Str]
    unit_state: Mapped[Str]
    job_state: Mapped[Str]
    reason_code: Mapped[Str | None]
    progress: Mapped[float]
    noted_at: Mapped[Moment]


class TaskLogMark(Base):
    """Up to which of its own numbers an attempt's lines are in: what comes again is known by that."""

    __tablename__ = "task_log_marks"

    attempt_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    job_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("task_streams.job_id", ondelete="CASCADE"), index=True)
    number: Mapped[int] = mapped_column(BigInteger)


class TaskLogLine(Base):
    """A line that a task's container wrote; `logged_at` by its host's clock, where that can be right."""

    __tablename__ = "task_log_lines"

    job_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("task_streams.job_id", ondelete="CASCADE"), primary_key=True)
    sequence: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    logged_at: Mapped[Moment]
    level: Mapped[Str]
    message: Mapped[Str]
    size_bytes: Mapped[int] = mapped_column(Integer)


class TaskSample(Base):
    """What a task's container used at one moment, by name: percents, bytes. The newest thousand stay."""

    __tablename__ = "task_samples"

    job_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("task_streams.job_id", ondelete="CASCADE"), primary_key=True)
    sampled_at: Mapped[Created] = mapped_column(primary_key=True)
    figures: Mapped[Json]
