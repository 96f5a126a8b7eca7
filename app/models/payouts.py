"""Money that leaves: payouts, the transactions signed for them, the wallets they leave from, and the addresses they go to."""

import uuid
from decimal import Decimal

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Identity, Index, LargeBinary, Numeric, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from app.db import Base
from app.models.columns import Created, Id, Minor, Moment, Str

OPEN = "origin = 'engine' AND state IN ('created', 'signed', 'sent', 'expired')"
DELAYED = "look_again_at IS NOT NULL"


class Payout(Base):
    """One earning on its way out. `origin`: engine (we sign and send it) or recorded (somebody else paid; never signed here).

    `state` is a PayoutState. `reference` names what is paid, once for ever. `number` is the integer that Cocoon's users know.
    `memo` goes onto the chain: the id, by which a transaction is found again. `signing_id`: what was last signed for it;
    `held_reason` keeps it from being signed until an operator says `retry`; `delayed_reason` until its payee has done what it
    says: the chain is looked at again at `look_again_at`, which is null where nothing is waited for.
    """

    __tablename__ = "payouts"
    __table_args__ = (
        CheckConstraint("amount_minor > 0", name="positive"),
        Index("ix_payouts_open", "chain", "number", postgresql_where=text(OPEN)),
        Index("ix_payouts_recorded_hash", "chain", "tx_hash", unique=True, postgresql_where=text("origin = 'recorded'")),
        Index(
            "ix_payouts_unconfirmed_records",
            "created_at",
            postgresql_where=text("origin = 'recorded' AND state <> 'confirmed'"),
        ),
        Index("ix_payouts_unpriced", "number", postgresql_where=text("amount_usd IS NULL AND transaction_time IS NOT NULL")),
        Index("ix_payouts_account_number", "account_id", "number"),
        Index("ix_payouts_delayed", "chain", "look_again_at", postgresql_where=text(DELAYED)),
        Index("ix_payouts_delayed_accounts", "account_id", "asset", postgresql_where=text(DELAYED)),
        Index("ix_payouts_participant_number", "participant_id", "number"),
    )

    id: Mapped[Id]
    number: Mapped[int] = mapped_column(BigInteger, Identity(), unique=True)
    origin: Mapped[Str] = mapped_column(default="engine")
    state: Mapped[Str] = mapped_column(default="created")
    account_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("accounts.id"))
    participant_id: Mapped[int | None]
    chain: Mapped[Str]
    asset: Mapped[Str]
    amount_minor: Mapped[Minor]
    destination: Mapped[Str]
    source: Mapped[Str | None]
    memo: Mapped[Str]
    reference: Mapped[Str] = mapped_column(unique=True)
    amount_usd: Mapped[Decimal | None] = mapped_column(Numeric(30, 12))
    usd_rate: Mapped[Decimal | None] = mapped_column(Numeric(30, 12))
    usd_rate_source: Mapped[Str | None]
    tx_hash: Mapped[Str | None] = mapped_column(index=True)
    block_number: Mapped[int | None] = mapped_column(BigInteger)
    confirmations: Mapped[int] = mapped_column(default=0)
    transaction_time: Mapped[Moment | None] = mapped_column(index=True)
    period_start: Mapped[Moment | None]
    period_end: Mapped[Moment | None]
    total_requests: Mapped[int | None] = mapped_column(BigInteger)
    total_compute_time_seconds: Mapped[int | None] = mapped_column(BigInteger)
    is_confirmed: Mapped[bool] = mapped_column(default=False)
    signing_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("payout_signings.id"))
    failures: Mapped[int] = mapped_column(default=0)
    held_reason: Mapped[Str | None]
    delayed_reason: Mapped[Str | None]
    look_again_at: Mapped[Moment | None]
    looked_at: Mapped[Moment | None]
    created_at: Mapped[Created] = mapped_column(index=True)
    confirmed_at: Mapped[Moment | None]


class PayoutSigning(Base):
    """Signed bytes for a batch of payouts, stored before they were ever sent and kept for good.

    `tx_hash` is known before anything is sent: Solana's signature, TON's hash of the message. `expires_at_height` (Solana) and
    `valid_until` (TON, unix seconds) end their life, `seqno` is the wallet's (TON), `blockhash` and `slot` what they were made
    on (Solana). `outcome`: null while it is undecided, then a SigningOutcome. `seen_at`: the wallet's history has shown it.
    """

    __tablename__ = "payout_signings"
    __table_args__ = (
        UniqueConstraint("chain", "tx_hash"),
        Index("ix_payout_signings_undecided", "chain", "source", unique=True, postgresql_where=text("outcome IS NULL")),
        Index("ix_payout_signings_unseen", "created_at", postgresql_where=text("outcome = 'landed' AND seen_at IS NULL")),
    )

    id: Mapped[Id]
    chain: Mapped[Str]
    source: Mapped[Str]
    raw: Mapped[bytes] = mapped_column(LargeBinary)
    tx_hash: Mapped[Str]
    blockhash: Mapped[Str | None]
    slot: Mapped[int | None] = mapped_column(BigInteger)
    expires_at_height: Mapped[int | None] = mapped_column(BigInteger)
    seqno: Mapped[int | None] = mapped_column(BigInteger)
    valid_until: Mapped[int | None] = mapped_column(BigInteger)
    times_sent: Mapped[int] = mapped_column(default=0)
    sent_at: Mapped[Moment | None]
    answer: Mapped[Str | None]
    outcome: Mapped[Str | None]
    error: Mapped[Str | None]
    landed_hash: Mapped[Str | None]
    block_number: Mapped[int | None] = mapped_column(BigInteger)
    block_time: Mapped[Moment | None]
    created_at: Mapped[Created]
    decided_at: Mapped[Moment | None]
    seen_at: Mapped[Moment | None]


class PayoutSigningItem(Base):
    """One payout of a signing, in its place. `outcome`: null while undecided, paid or unpaid."""

    __tablename__ = "payout_signing_items"

    signing_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("payout_signings.id"), primary_key=True)
    ordinal: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    payout_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("payouts.id"), index=True)
    outcome: Mapped[Str | None]


class PayoutWallet(Base):
    """A hot wallet. Its row is the lock under which a transaction is taken on; its history was read up to `cursor`.

    `halted_at`: nothing is signed for it until an operator has acknowledged what differs.
    """

    __tablename__ = "payout_wallets"

    chain: Mapped[Str] = mapped_column(primary_key=True)
    address: Mapped[Str] = mapped_column(primary_key=True)
    cursor: Mapped[Str | None]
    read_at: Mapped[Moment | None]
    halted_at: Mapped[Moment | None]
    halted_reason: Mapped[Str | None]
    created_at: Mapped[Created]


class PayoutDifference(Base):
    """What the books and a chain do not agree on. `kind`: unrecorded (there, and not in the books), twice (there, and its payout
    was paid otherwise), missing (the books say it is there), amount (both, but not the same).

    `reference` keeps one finding from being noted twice.
    """

    __tablename__ = "payout_differences"
    __table_args__ = (
        Index("ix_payout_differences_open", "chain", "source", postgresql_where=text("acknowledged_at IS NULL")),
    )

    id: Mapped[Id]
    chain: Mapped[Str]
    source: Mapped[Str]
    kind: Mapped[Str]
    reference: Mapped[Str] = mapped_column(unique=True)
    tx_hash: Mapped[Str | None]
    payout_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("payouts.id"))
    detail: Mapped[Str]
    found_at: Mapped[Created]
    acknowledged_at: Mapped[Moment | None]
    acknowledged_by: Mapped[Str | None]


class PayoutAddress(Base):
    """Where an account wants to be paid on a chain, as its wallet has signed. It counts from `usable_at` on, unless revoked.

    `is_automatic`: what is due goes there without being asked for.
    """

    __tablename__ = "payout_addresses"
    __table_args__ = (
        Index("ix_payout_addresses_account", "account_id", "chain", "usable_at"),
        Index(
            "ix_payout_addresses_automatic", "chain", postgresql_where=text("is_automatic AND revoked_at IS NULL")
        ),
    )

    id: Mapped[Id]
    account_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("accounts.id"))
    chain: Mapped[Str]
    address: Mapped[Str]
    is_automatic: Mapped[bool] = mapped_column(default=True)
    signed_message: Mapped[Str]
    signature: Mapped[Str]
    created_at: Mapped[Created]
    usable_at: Mapped[Moment]
    revoked_at: Mapped[Moment | None]
