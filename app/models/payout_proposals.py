"""Pay-out proposals: what participants' workers earned in a period, until an operator approves or rejects it."""

import uuid
from decimal import Decimal
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Identity, Index, Integer, Numeric, Text, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from app.db import Base
from app.models.columns import Created, Minor, Moment, Str


class PayoutProposal(Base):
    """One participant's part of one period; never changed but by its approval or rejection. A participant's periods follow one
    another without a gap or an overlap, so that nothing earned is proposed twice.

    `earned_minor`: its workers' earnings at the price coefficients of their time; `amount_minor`: `share_percent` of that.
    `workers` says how it came about: {worker_id, worker_name, earned_minor, coefficient (in thousandths), shares_contract_with}.
    """

    __tablename__ = "payout_proposals"
    __table_args__ = (
        UniqueConstraint("participant_id", "period_start"),
        CheckConstraint("period_end > period_start", name="period"),
        CheckConstraint("amount_minor > 0", name="positive"),
        Index("ix_payout_proposals_open", "id", postgresql_where=text("state = 'proposed'")),
    )

    id: Mapped[int] = mapped_column(Integer, Identity(), primary_key=True)
    participant_id: Mapped[int] = mapped_column(ForeignKey("participants.id"))
    period_start: Mapped[Moment]
    period_end: Mapped[Moment]
    earned_minor: Mapped[Minor]
    share_percent: Mapped[Decimal] = mapped_column(Numeric(5, 2))
    amount_minor: Mapped[Minor]
    total_requests: Mapped[int] = mapped_column(BigInteger)
    total_compute_time_seconds: Mapped[int] = mapped_column(BigInteger)
    workers: Mapped[list[dict[str, Any]]] = mapped_column(JSONB)
    state: Mapped[Str] = mapped_column(default="proposed")
    payout_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("payouts.id"))
    approved_by: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("accounts.id"))
    approved_at: Mapped[Moment | None]
    rejected_by: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("accounts.id"))
    rejected_at: Mapped[Moment | None]
    rejected_because: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[Created]
