"""The double-entry ledger: accounts, transfers and their two entry legs, append-only by trigger."""

import uuid

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Identity, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from app.db import Base
from app.models.columns import Created, Id, Minor, Str


class LedgerAccount(Base):
    """`kind` says what the money is: balance, held, external, debt, owed, stake, unstaking, payout (users'), or the platform's.

    Users' accounts keep `balance_minor`, changed under the row's lock. The platform's keep none: they are summed, so
    that no posting ever waits for another on a hot row.
    """

    __tablename__ = "ledger_accounts"
    __table_args__ = (UniqueConstraint("kind", "owner_id", "asset", postgresql_nulls_not_distinct=True),)

    id: Mapped[Id]
    kind: Mapped[Str]
    owner_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("accounts.id"), index=True)
    asset: Mapped[Str]
    balance_minor: Mapped[int | None] = mapped_column(BigInteger)
    may_be_negative: Mapped[bool] = mapped_column(default=False)
    created_at: Mapped[Created]


class Transfer(Base):
    __tablename__ = "transfers"
    __table_args__ = (
        CheckConstraint("amount_minor > 0", name="positive"),
        CheckConstraint("source_id <> destination_id", name="two_accounts"),
    )

    id: Mapped[Id]
    source_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("ledger_accounts.id"))
    destination_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("ledger_accounts.id"))
    amount_minor: Mapped[Minor]
    asset: Mapped[Str]
    reference: Mapped[Str] = mapped_column(unique=True)
    job_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("jobs.id"), index=True)
    purpose: Mapped[Str | None]  # a word of app.values.purposes, where its owner is told what it was for
    description: Mapped[Str | None]
    created_at: Mapped[Created]


class Entry(Base):
    """One leg of a transfer: DEBIT leaves the account, CREDIT arrives."""

    __tablename__ = "entries"
    __table_args__ = (Index("ix_entries_account_sequence", "account_id", "sequence"),)

    id: Mapped[Id]
    sequence: Mapped[int] = mapped_column(BigInteger, Identity(), unique=True)
    transfer_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("transfers.id"), index=True)
    account_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("ledger_accounts.id"))
    direction: Mapped[Str]
    amount_minor: Mapped[Minor]
    balance_after_minor: Mapped[int | None] = mapped_column(BigInteger)
    created_at: Mapped[Created] = mapped_column(index=True)


class EntryNumber(Base):
    """The gap-free integer of an entry, given after its commit by one numbering pass (a sequence would leave gaps)."""

    __tablename__ = "entry_numbers"

    number: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    entry_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("entries.id"), unique=True)
