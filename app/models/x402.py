"""Payments by x402: what clients handed over unsent, and the wallet that pays the fees of it."""

import uuid

from sqlalchemy import BigInteger, ForeignKey, Index, LargeBinary, text
from sqlalchemy.orm import Mapped, mapped_column

from app.db import Base
from app.models.columns import Created, Id, Minor, Moment, Str


class X402Settlement(Base):
    """A transaction that a client signed for a payment, and that the hub signs as the payer of its fee, and sends.

    `state`: received, refused (it was never signed by us, so never sent), signed (from here on it may land, whatever we know),
    landed, failed (on the chain, and nothing was paid), expired (it can't land any more). `raw` are the bytes as they came, then
    those that are sent. `message_hash` is the same whoever has signed: the same transfer counts once. Of a payment one at a time
    may land. `mint` and `memo` are what it was to show: SOL is paid as a token, and a memo that is too long has a short form.
    `payee` is null where the hub is paid, and `fee_lamports` the most that it costs the hub.
    """

    __tablename__ = "x402_settlements"
    __table_args__ = (
        Index(
            "ix_x402_settlements_live",
            "payment_id",
            unique=True,
            postgresql_where=text("state IN ('received', 'signed')"),
        ),
        Index("ix_x402_settlements_open", "created_at", postgresql_where=text("state IN ('received', 'signed')")),
        Index(
            "ix_x402_settlements_payees",
            "created_at",
            postgresql_include=["payee", "fee_lamports"],
            postgresql_where=text("payee IS NOT NULL AND state <> 'refused'"),
        ),
    )

    id: Mapped[Id]
    payment_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("payments.id"), index=True)
    message_hash: Mapped[Str] = mapped_column(unique=True)
    network: Mapped[Str]
    payer: Mapped[Str]
    mint: Mapped[Str]
    memo: Mapped[Str]
    amount_minor: Mapped[Minor]
    payee: Mapped[Str | None]
    fee_lamports: Mapped[Minor] = mapped_column(server_default="10000")
    raw: Mapped[bytes] = mapped_column(LargeBinary)
    blockhash: Mapped[Str]
    slot: Mapped[int | None] = mapped_column(BigInteger)
    expires_at_height: Mapped[int | None] = mapped_column(BigInteger)
    tx_signature: Mapped[Str | None] = mapped_column(unique=True)
    state: Mapped[Str] = mapped_column(default="received")
    code: Mapped[Str | None]
    message: Mapped[Str | None]
    times_sent: Mapped[int] = mapped_column(default=0)
    created_at: Mapped[Created]
    signed_at: Mapped[Moment | None]
    decided_at: Mapped[Moment | None]


class X402FeePayer(Base):
    """A wallet of the signer's that pays fees, as a sweep saw it last; without a fresh one nobody is offered to pay so."""

    __tablename__ = "x402_fee_payers"

    address: Mapped[Str] = mapped_column(primary_key=True)
    network: Mapped[Str]
    lamports: Mapped[Minor]
    seen_at: Mapped[Moment]
