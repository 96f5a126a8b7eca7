"""Compute tasks: what of a job is only theirs, and the money held for one while it runs."""

import uuid
from decimal import Decimal

from sqlalchemy import ARRAY, CheckConstraint, ForeignKey, Index, Numeric, Text, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from app.db import Base
from app.models.columns import Created, Id, Json, Minor, Moment, Str


class Task(Base):
    """A job of the kind `task`: one container, run once, by the single work unit of kind `container` and capability `compute`.

    What it asks for is in cores, and in GB of 10⁹ bytes; `gpu_count` is 0 for what needs none. `max_price_minor` is per hour, in
    the job's asset. `provider_id` is whose software accepted it, or whose node has claimed it; `resource_id` the resource that it
    was accepted with, `price_minor` the price per hour that it was taken for, never above its own most. `running_at` is since
    when the attempt under way runs. `billed_*` are what it cost in the end; `claimed_seconds` what the node says that it took.
    """

    __tablename__ = "tasks"
    __table_args__ = (
        CheckConstraint("max_price_minor >= 0", name="price_not_negative"),
        CheckConstraint("timeout_seconds > 0", name="timeout_positive"),
        Index("ix_tasks_provider_id", "provider_id", "job_id", postgresql_where=text("provider_id IS NOT NULL")),
    )

    job_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("jobs.id"), primary_key=True)
    type: Mapped[Str]
    docker_image: Mapped[Str]
    command: Mapped[list[str]] = mapped_column(ARRAY(Text))
    environment: Mapped[Json]
    has_network: Mapped[bool] = mapped_column(default=False)
    cpu_cores: Mapped[Decimal] = mapped_column(Numeric(9, 3))
    gpu_count: Mapped[int] = mapped_column(default=0)
    gpu_memory_gb: Mapped[Decimal] = mapped_column(Numeric(9, 3), default=Decimal(0))
    ram_gb: Mapped[Decimal] = mapped_column(Numeric(9, 3))
    storage_gb: Mapped[Decimal] = mapped_column(Numeric(9, 3))
    location: Mapped[Str | None]
    priority: Mapped[Str] = mapped_column(default="normal")
    max_price_minor: Mapped[Minor]
    timeout_seconds: Mapped[int]
    provider_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("providers.id"))
    resource_id: Mapped[uuid.UUID | None]
    price_minor: Mapped[Minor | None]
    running_at: Mapped[Moment | None]
    container_id: Mapped[Str | None]
    resource_usage: Mapped[dict[str, object] | None] = mapped_column(JSONB(none_as_null=True))
    exit_code: Mapped[int | None]
    claimed_seconds: Mapped[int | None]
    billed_seconds: Mapped[int | None]
    billed_minor: Mapped[Minor | None]


class TaskHold(Base):
    """What was set aside for a task, in its asset, when it was ordered: captured up to what it cost, the rest released.

    `amount_minor` is what is held in all; it may grow while it is held, when its owner raises the price. A captured one says what
    became of it: `provider_account_id` earned `earned_minor`, and the platform kept `fee_minor`.
    """

    __tablename__ = "task_holds"
    __table_args__ = (CheckConstraint("amount_minor >= 0", name="not_negative"),)

    id: Mapped[Id]
    job_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("jobs.id"), unique=True)
    account_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("accounts.id"), index=True)
    asset: Mapped[Str]
    amount_minor: Mapped[Minor]
    state: Mapped[Str]
    provider_account_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("accounts.id"), index=True)
    earned_minor: Mapped[Minor | None]
    fee_minor: Mapped[Minor | None]
    created_at: Mapped[Created]
    ended_at: Mapped[Moment | None]
