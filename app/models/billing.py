"""How an account pays for its tasks, and the invoices over what it was charged for them."""

import uuid

from sqlalchemy import CheckConstraint, ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from app.db import Base
from app.models.columns import Created, Id, Minor, Moment, Str
from app.models.tasks import TaskHold


class PaymentMethod(Base):
    """What an account wants when it pays. With `is_topped_up` a deposit of `topup_minor` is asked for as soon as its balance in
    `currency` is below `topup_below_minor`: `topup_payment_id` is the last one. `billing_details` stand on its invoices."""

    __tablename__ = "payment_methods"
    __table_args__ = (
        Index("ix_payment_methods_topped_up", "account_id", postgresql_where=text("is_topped_up")),
        CheckConstraint("NOT is_topped_up OR (topup_minor > 0 AND topup_below_minor > 0)", name="topup_whole"),
    )

    account_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("accounts.id"), primary_key=True)
    currency: Mapped[Str]
    is_topped_up: Mapped[bool] = mapped_column(default=False)
    topup_below_minor: Mapped[Minor | None]
    topup_minor: Mapped[Minor | None]
    topup_payment_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("payments.id"))
    billing_details: Mapped[Str | None]
    updated_at: Mapped[Created]


class InvoiceCounter(Base):
    """The number of an account's last invoice: its row's lock makes the numbers follow one another without a gap."""

    __tablename__ = "invoice_counters"

    account_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("accounts.id"), primary_key=True)
    last_number: Mapped[int] = mapped_column(default=0)


class Invoice(Base):
    """What an account was charged in one currency, told once and never changed (a trigger says so). Tasks are paid in advance,
    so it asks for nothing. `seller` and `buyer` are as they were called then."""

    __tablename__ = "invoices"
    __table_args__ = (UniqueConstraint("account_id", "number"),)

    id: Mapped[Id]
    account_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("accounts.id"))
    number: Mapped[int]
    asset: Mapped[Str]
    amount_minor: Mapped[Minor]
    lines: Mapped[int]
    period_start: Mapped[Moment]
    period_end: Mapped[Moment]
    seller: Mapped[Str]
    buyer: Mapped[Str]
    issued_at: Mapped[Moment]


class InvoiceLine(Base):
    """One task's charge, on one invoice and no other. `price_minor` is per hour, as it was taken for."""

    __tablename__ = "invoice_lines"

    invoice_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("invoices.id"), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    hold_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("task_holds.id"), unique=True)
    job_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("jobs.id"))
    name: Mapped[Str]
    seconds: Mapped[int]
    price_minor: Mapped[Minor]
    amount_minor: Mapped[Minor]
    started_at: Mapped[Moment | None]
    charged_at: Mapped[Moment]


Index("ix_task_holds_captured", TaskHold.ended_at, postgresql_where=text("state = 'captured'"))
