"""What clients pay: the payment asked for, the transactions shown for it, and what must be given back."""

import uuid
from decimal import Decimal

from sqlalchemy import BigInteger, ForeignKey, Index, Numeric, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from app.db import Base
from app.models.columns import Created, Id, Json, Minor, Moment, Str


class Payment(Base):
    """`state`: open (asked for) or confirmed. Its id is the reference in the public memo."""

    __tablename__ = "payments"
    __table_args__ = (Index("ix_payments_open", "created_at", postgresql_where=text("state = 'open'")),)

    id: Mapped[Id]
    job_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("jobs.id"), unique=True)
    account_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("accounts.id"), index=True)
    purpose: Mapped[Str]
    chain: Mapped[Str]
    asset: Mapped[Str]
    mint: Mapped[Str | None]
    amount_minor: Mapped[Minor]
    rate: Mapped[Decimal] = mapped_column(Numeric(30, 12), default=Decimal(1))
    rate_source: Mapped[Str] = mapped_column(default="none")
    pay_to: Mapped[Str] = mapped_column(index=True)
    memo: Mapped[Str] = mapped_column(unique=True)
    note: Mapped[Str | None]  # the payer's own word for it, told to nobody else
    state: Mapped[Str] = mapped_column(default="open")
    tx_signature: Mapped[Str | None]
    created_at: Mapped[Created]
    expires_at: Mapped[Moment]
    confirmed_at: Mapped[Moment | None]


class ChainTransaction(Base):
    """A transaction that somebody showed for a payment. `state`: pending (not final yet), accepted, refused, refundable.

    Anybody can show anybody's transaction, so showing it takes nothing away from its payer: only the payment whose memo it
    carries can book it, and the unique index over booked ones is what stops it from ever counting twice.
    """

    __tablename__ = "chain_transactions"
    __table_args__ = (
        UniqueConstraint("chain", "signature", "payment_id"),
        Index(
            "ix_chain_transactions_booked",
            "chain",
            "signature",
            unique=True,
            postgresql_where=text("state IN ('accepted', 'refundable')"),
        ),
        Index("ix_chain_transactions_pending", "created_at", postgresql_where=text("state = 'pending'")),
    )

    id: Mapped[Id]
    chain: Mapped[Str]
    signature: Mapped[Str]
    payment_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("payments.id"), index=True)
    state: Mapped[Str] = mapped_column(default="pending")
    code: Mapped[Str | None]
    message: Mapped[Str | None]
    received_minor: Mapped[int] = mapped_column(BigInteger, default=0)
    payer: Mapped[Str | None]
    created_at: Mapped[Created]
    decided_at: Mapped[Moment | None]


class ChainCursor(Base):
    """How far an address was read on a chain: everything up to this transaction, final, has been looked at.

    `asked_at` is when a payment to it was last asked for, to the minute. TON's transactions are written `lt:hash`. Where many
    are new, `walk_head` is the newest of them and `walk_next` the next one to look at, on the way back to `signature`.
    """

    __tablename__ = "chain_cursors"

    chain: Mapped[Str] = mapped_column(primary_key=True)
    address: Mapped[Str] = mapped_column(primary_key=True)
    signature: Mapped[Str | None]
    read_at: Mapped[Moment]
    asked_at: Mapped[Moment] = mapped_column()
    walk_head: Mapped[Str | None]
    walk_next: Mapped[Str | None]


class Refund(Base):
    """What a provider owes a client. `status`: owed, credited (on the client's balance) or paid (sent).

    `payment_id` is null where the client paid us, and the provider was paid from what was held: a task that was slashed.
    """

    __tablename__ = "refunds"
    __table_args__ = (Index("ix_refunds_owed", "debtor_id", postgresql_where=text("status = 'owed'")),)

    id: Mapped[Id]
    reference: Mapped[Str] = mapped_column(unique=True)
    job_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("jobs.id"), index=True)
    payment_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("payments.id"))
    debtor_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("accounts.id"), index=True)
    creditor_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("accounts.id"), index=True)
    amount_minor: Mapped[Minor]
    asset: Mapped[Str]
    reason: Mapped[Str]
    status: Mapped[Str]
    created_at: Mapped[Created]


class OutboxMessage(Base):
    """A doorbell written with the change it announces; deleted by the task that it orders."""

    __tablename__ = "outbox_messages"

    id: Mapped[Id]
    topic: Mapped[Str]
    key: Mapped[Str]
    payload: Mapped[Json]
    created_at: Mapped[Created] = mapped_column(index=True)
