"""Challenges for wallets: what one is asked to sign, to prove whose it is."""

from sqlalchemy import Index
from sqlalchemy.orm import Mapped, mapped_column

from app.db import Base
from app.models.columns import Created, Moment, Str


class WalletChallenge(Base):
    """`payload` is random text, good once, for one wallet, until `expires_at`. `address` is canonical: base58, or raw for TON."""

    __tablename__ = "wallet_challenges"
    __table_args__ = (Index("ix_wallet_challenges_wallet", "chain", "address", "created_at"),)

    payload: Mapped[Str] = mapped_column(primary_key=True)
    chain: Mapped[Str]
    address: Mapped[Str]
    created_at: Mapped[Created]
    expires_at: Mapped[Moment] = mapped_column(index=True)
    used_at: Mapped[Moment | None]
