"""Money that came in by itself on accounts that the hub watches, and whose jetton wallets they have."""

import uuid
from decimal import Decimal

from sqlalchemy import BigInteger, ForeignKey, Index, Numeric, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from app.db import Base
from app.models.columns import Created, Id, Moment, Str


class Arrival(Base):
    """One transaction by which a watched account was given something, as the chain shows it.

    `account` has the transaction, `pay_to` the money: they differ where a jetton wallet received it. `state`: found (the walk
    has not come to where it was before), proven (it has), then matched (booked for `payment_id`), unclaimed (no payment fits:
    it is on the ledger's account `unclaimed` if `asset` is known), assigned (an operator gave it to somebody), ignored.
    `token` is a jetton's master, or the address that claims to be a jetton's wallet. Amounts of jettons may be huge.
    """

    __tablename__ = "chain_arrivals"
    __table_args__ = (
        UniqueConstraint("chain", "account", "hash"),
        Index("ix_chain_arrivals_waiting", "account", "lt", postgresql_where=text("state IN ('found', 'proven')")),
        Index("ix_chain_arrivals_unclaimed", "created_at", postgresql_where=text("state = 'unclaimed'")),
    )

    id: Mapped[Id]
    chain: Mapped[Str]
    account: Mapped[Str]
    pay_to: Mapped[Str]
    lt: Mapped[int] = mapped_column(BigInteger)
    hash: Mapped[Str]
    asset: Mapped[Str | None]
    token: Mapped[Str | None]
    amount_minor: Mapped[Decimal] = mapped_column(Numeric(48, 0))
    comment: Mapped[Str | None]
    payer: Mapped[Str | None]
    occurred_at: Mapped[Moment]
    state: Mapped[Str] = mapped_column(default="found")
    code: Mapped[Str | None]
    payment_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("payments.id"), index=True)
    assigned_to: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("accounts.id"))
    created_at: Mapped[Created]
    decided_at: Mapped[Moment | None]


class JettonWallet(Base):
    """The jetton wallet that a master's contract names for an owner: asked once, and held against what it says later."""

    __tablename__ = "jetton_wallets"

    master: Mapped[Str] = mapped_column(primary_key=True)
    owner: Mapped[Str] = mapped_column(primary_key=True)
    wallet: Mapped[Str]
    created_at: Mapped[Created]
