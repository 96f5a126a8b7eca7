"""How a task's states changed, each change with its number: what its owner follows, and goes on following without a gap."""

import uuid
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.models.task_logs import TaskChange

AT_ONCE = 200


@dataclass(frozen=True, slots=True)
class Changes:
    """In their order; `skipped` were deleted before, for being too old, and lie before the first. `has_more`: read on."""

    rows: list[TaskChange]
    skipped: int = 0
    has_more: bool = False


def latest(session: Session, job_id: uuid.UUID) -> TaskChange:
    """The task as it is."""
    query = select(TaskChange).where(TaskChange.job_id == job_id).order_by(TaskChange.sequence.desc())
    return session.scalars(query.limit(1)).one()


def since(session: Session, job_id: uuid.UUID, after: int) -> Changes:
    """What came after a number, the first of it."""
    query = select(TaskChange).where(TaskChange.job_id == job_id, TaskChange.sequence > after).order_by(TaskChange.sequence)
    rows = list(session.scalars(query.limit(AT_ONCE)))
    skipped = rows[0].sequence - after - 1 if rows else 0
    return Changes(rows, skipped, len(rows) == AT_ONCE)
