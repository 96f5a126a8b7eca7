"""Renders that an agent orders through RNP-019: what of a job is only theirs, and how its money stands."""

import uuid
from decimal import Decimal
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Numeric
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from app.db import Base
from app.models.columns import Created, Id, Minor, Moment, Str


class RenderOrder(Base):
    """One job of the dialect `rnp019`. Amounts are in the job's asset, which is the one that it is paid with.

    `mode` is how it is paid: `credits` (held from the balance), `prepay` (a payment that becomes the hold) or
    `pay_before_download` (rendered first, the pictures are given out once they are paid). `rate` is how many of the asset one
    RENDER was when it was ordered. `price_per_hour_minor` is of one node's hour, in this job's tier. `bound_minor` is what was
    quoted, and more is never charged; `max_amount_minor` is the client's own cap. `limit_minor`, the lower of both, may be spent
    now; `charged_minor` was. `window_units` is how many units may be out at once, queued or with nodes: `allocation` says why.
    """

    __tablename__ = "render_orders"
    __table_args__ = (
        CheckConstraint("charged_minor >= 0 AND charged_minor <= limit_minor", name="charged_within_limit"),
        CheckConstraint("limit_minor <= bound_minor", name="limit_within_bound"),
        CheckConstraint("window_units > 0", name="window_positive"),
    )

    job_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("jobs.id"), primary_key=True)
    account_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("accounts.id"), index=True)
    mode: Mapped[Str]
    rate: Mapped[Decimal] = mapped_column(Numeric(30, 12))
    rate_source: Mapped[Str]
    price_per_hour_minor: Mapped[Minor]
    bound_minor: Mapped[Minor]
    max_amount_minor: Mapped[Minor | None]
    limit_minor: Mapped[Minor]
    charged_minor: Mapped[Minor] = mapped_column(default=0)
    window_units: Mapped[int]
    allocation: Mapped[dict[str, Any]] = mapped_column(JSONB)
    prompt: Mapped[Str | None]
    # When everything that was charged had been paid: at once but for `pay_before_download`.
    settled_at: Mapped[Moment | None]


class RenderHold(Base):
    """What lies aside for a render now, in its asset: what was set aside for it less what its frames cost and what went back."""

    __tablename__ = "render_holds"
    __table_args__ = (CheckConstraint("amount_minor >= 0", name="not_negative"),)

    id: Mapped[Id]
    job_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("jobs.id"), unique=True)
    account_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("accounts.id"), index=True)
    asset: Mapped[Str]
    amount_minor: Mapped[Minor]
    created_at: Mapped[Created]
    ended_at: Mapped[Moment | None]
