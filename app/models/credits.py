"""Credits held for a job until it ends, one way or the other."""

import uuid
from decimal import Decimal

from sqlalchemy import CheckConstraint, ForeignKey, Index, Numeric, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from app.db import Base
from app.models.columns import Created, Id, Minor, Moment, Str


class CreditHold(Base):
    """`number` counts the holds of one job, of which at most one is still held: a replayed job takes a new one.

    A captured hold says what became of it: the operator's part in credits, and what that was worth to him, at which rate.
    """

    __tablename__ = "credit_holds"
    __table_args__ = (
        UniqueConstraint("job_id", "number"),
        Index("ix_credit_holds_held", "job_id", unique=True, postgresql_where=text("state = 'held'")),
        Index("ix_credit_holds_operator", "operator_id", "ended_at", postgresql_where=text("operator_id IS NOT NULL")),
        CheckConstraint("amount_minor >= 0", name="not_negative"),
    )

    id: Mapped[Id]
    account_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("accounts.id"), index=True)
    job_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("jobs.id"))
    number: Mapped[int]
    amount_minor: Mapped[Minor]
    state: Mapped[Str]
    operator_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("accounts.id"))
    operator_minor: Mapped[Minor | None]
    earned_minor: Mapped[Minor | None]
    earned_asset: Mapped[Str | None]
    rate: Mapped[Decimal | None] = mapped_column(Numeric(30, 12))
    rate_source: Mapped[Str | None]
    created_at: Mapped[Created]
    ended_at: Mapped[Moment | None]
