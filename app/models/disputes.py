"""Disputes: a buyer says that the result of a task is bad, and an operator decides."""

import uuid

from sqlalchemy import CheckConstraint, ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from app.db import Base
from app.models.columns import Created, Id, Minor, Moment, Str

GROUNDS = ("result_hash", "rerun", "other")
OPEN = "state = 'open'"


class Dispute(Base):
    """One task's dispute; a task has one at most. `state` is a DisputeState.

    `account_id` is the buyer's, `provider_account_id` whose earning it was; `provider_id` is null where a node of nobody did the
    work. `cost_minor`, in `asset`, is what the buyer paid: what a slash gives back. `grounds` result_hash: the result is not what
    its hash says (`expected_sha256`); rerun: the same task, run again (`rerun_job_id`), gave another result. `stored_sha256` is
    what the hub found when it read the stored bytes again, "gone" where there were none. Once slashed: `refunded_minor` came back
    at once, `owed_minor` is the provider's debt, and `penalty_minor` was taken from its stake beside that.
    """

    __tablename__ = "disputes"
    __table_args__ = (
        CheckConstraint("cost_minor >= 0", name="not_negative"),
        Index("ix_disputes_open", "provider_account_id", "asset", postgresql_where=text(OPEN)),
        Index("ix_disputes_account", "account_id", "created_at"),
        Index("ix_disputes_provider", "provider_id", "created_at", postgresql_where=text("provider_id IS NOT NULL")),
        Index("ix_disputes_provider_account", "provider_account_id", "decided_at"),
        Index("ix_disputes_created_at", "created_at"),
    )

    id: Mapped[Id]
    job_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("jobs.id"), unique=True)
    account_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("accounts.id"))
    provider_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("providers.id"))
    provider_account_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("accounts.id"))
    opened_by: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("accounts.id"))
    asset: Mapped[Str]
    cost_minor: Mapped[Minor]
    grounds: Mapped[Str]
    reason: Mapped[Str]
    expected_sha256: Mapped[Str | None]
    rerun_job_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("jobs.id"))
    stored_sha256: Mapped[Str | None]
    stored_checked_at: Mapped[Moment | None]
    answer: Mapped[Str | None]
    answered_at: Mapped[Moment | None]
    state: Mapped[Str] = mapped_column(default="open")
    created_at: Mapped[Created]
    decided_at: Mapped[Moment | None]
    decided_by: Mapped[Str | None]
    decision_reason: Mapped[Str | None]
    refunded_minor: Mapped[Minor | None]
    owed_minor: Mapped[Minor | None]
    penalty_minor: Mapped[Minor | None]
