"""A compute task as rows, its states set by hand: what follows a task must see every change, whoever makes it."""

import uuid
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from sqlalchemy import update

from app.core import accounts, nodes, task_changes, task_logs
from app.core.task_logs import Line, LogLimits, Page
from app.db import Database
from app.models.jobs import Attempt, Job, WorkUnit
from app.models.task_logs import TaskChange
from app.models.tasks import Task
from app.values import clock

LIMITS = LogLimits(lines=10_000, size_bytes=8_000_000)


class FollowedTask:
    """Ordered by `account_id`, or by somebody new."""

    def __init__(self, database: Database, account_id: uuid.UUID | None = None) -> None:
        self.database, self.id, self.unit_id = database, uuid.uuid4(), uuid.uuid4()
        now = clock.now()
        with database.unit_of_work() as session:
            owner = account_id or accounts.ensure_identity(session, "solana", uuid.uuid4().hex)
            session.add(Job(id=self.id, dialect="robocompute", kind="task", account_id=owner, payment_state="confirmed",
                            settings={}, breakdown={}, asset="USDC", units_total=1, paid_at=now))  # fmt: skip
            session.flush()
            session.add(WorkUnit(id=self.unit_id, job_id=self.id, ordinal=0, kind="container", capability="compute",
                                 queued_at=now))  # fmt: skip
            session.flush()
            session.add(Task(job_id=self.id, type="cpu", docker_image="image", command=["true"], environment={},
                             cpu_cores=Decimal(1), ram_gb=Decimal(1), storage_gb=Decimal(1), max_price_minor=1,
                             timeout_seconds=60))  # fmt: skip
        self.fence = 0

    def attempt(self, node_id: uuid.UUID | None = None) -> uuid.UUID:
        """Somebody has it now: a node, or a provider's software."""
        self.fence += 1
        attempt = uuid.uuid4()
        with self.database.unit_of_work() as session:
            session.add(Attempt(id=attempt, unit_id=self.unit_id, node_id=node_id, fence=self.fence, upload_key=f"{self.fence}"))
        self.set(state="assigned", attempt_id=attempt, fence=self.fence, progress=0.0)
        return attempt

    def set(self, **values: Any) -> None:
        """Change its unit."""
        with self.database.unit_of_work() as session:
            session.execute(update(WorkUnit).where(WorkUnit.id == self.unit_id).values(**values))

    def end(self, state: str = "completed", reason: str | None = None) -> None:
        with self.database.unit_of_work() as session:
            session.execute(update(Job).where(Job.id == self.id).values(state=state, reason_code=reason, ended_at=clock.now()))
            session.execute(update(WorkUnit).where(WorkUnit.id == self.unit_id).values(state=state))

    def write(self, attempt: uuid.UUID, *messages: str, first: int | None = None, limits: LogLimits = LIMITS) -> int:
        """Lines of its container; numbered from `first` on where that is given."""
        lines = [Line(text, number=None if first is None else first + place) for place, text in enumerate(messages)]
        return self.tell(attempt, lines, limits)

    def tell(self, attempt: uuid.UUID, lines: Sequence[Line], limits: LogLimits = LIMITS) -> int:
        with self.database.unit_of_work() as session:
            return task_logs.append(session, self.id, attempt, lines, limits)

    def read(self, after: int | None = None, most: int = 1000) -> Page:
        with self.database.read_only() as session:
            return task_logs.read(session, self.id, after, most)

    def messages(self, after: int | None = None, most: int = 1000) -> list[str]:
        return [line.message for line in self.read(after, most).lines]

    def changes(self, after: int = 0) -> list[TaskChange]:
        with self.database.read_only() as session:
            return task_changes.since(session, self.id, after).rows


def node_of_nobody(database: Database) -> uuid.UUID:
    body = {"name": "n", "public_key": uuid.uuid4().hex, "capabilities": ["compute"], "machine": {}, "agent": "test"}
    with database.unit_of_work() as session:
        return nodes.register(session, body, None, True).node_id
