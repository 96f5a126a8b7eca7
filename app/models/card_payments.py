"""What Stripe told us: each event once, each payment once, and what was taken back of it."""

import uuid

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from app.db import Base
from app.models.columns import Created, Minor, Moment, Str


class CardEvent(Base):
    """`outcome`: applied, ignored (it says nothing of money), or problem: an operator must look at it.

    A problem keeps the whole event as it was signed, so that it can be tried again; `ended_at` is when it was put away.
    """

    __tablename__ = "card_events"
    __table_args__ = (Index("ix_card_events_problems", "created_at", postgresql_where=text("outcome = 'problem'")),)

    id: Mapped[Str] = mapped_column(primary_key=True)
    kind: Mapped[Str]
    payment: Mapped[Str | None] = mapped_column(index=True)
    outcome: Mapped[Str]
    code: Mapped[Str | None]
    message: Mapped[Str | None]
    body: Mapped[Str | None]
    happened_at: Mapped[Moment | None]
    created_at: Mapped[Created]
    ended_at: Mapped[Moment | None]


class CardPayment(Base):
    """One payment, by its payment intent. The account and what follows are there once somebody was credited for it.

    `taken_minor` are credits that were taken back, or are owed, so far; `changes` counts the postings that did it.
    """

    __tablename__ = "card_payments"
    __table_args__ = (CheckConstraint("taken_minor BETWEEN 0 AND credits_minor", name="taken"),)

    id: Mapped[Str] = mapped_column(primary_key=True)
    account_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("accounts.id"), index=True)
    sku: Mapped[Str | None]
    credits_minor: Mapped[int] = mapped_column(BigInteger, default=0)
    paid_minor: Mapped[int] = mapped_column(BigInteger, default=0)
    currency: Mapped[Str | None]
    taken_minor: Mapped[int] = mapped_column(BigInteger, default=0)
    changes: Mapped[int] = mapped_column(default=0)
    created_at: Mapped[Created]
    credited_at: Mapped[Moment | None]


class CardReversal(Base):
    """A charge's refunded sum, a refund or a dispute, as the newest event about it has it: `told_at` (seconds), then `rank`."""

    __tablename__ = "card_reversals"

    id: Mapped[Str] = mapped_column(primary_key=True)
    payment: Mapped[Str] = mapped_column(ForeignKey("card_payments.id"), index=True)
    kind: Mapped[Str]
    amount_minor: Mapped[Minor]
    is_counted: Mapped[bool]
    told_at: Mapped[int] = mapped_column(BigInteger)
    rank: Mapped[int]
