"""Accounts, the identities that sign in to them, their roles and API keys."""

import uuid

from sqlalchemy import ARRAY, CheckConstraint, ForeignKey, Text, UniqueConstraint
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from app.db import Base
from app.models.columns import Created, Id, Moment, Str

ROLES = ("client", "provider", "finance", "operator")
SCOPES = tuple(
    f"{noun}:{right}"
    for noun in (
        "jobs scenes credits keys tasks wallet billing providers nodes workers participants payouts admin".split()
    )
    for right in ("read", "write")
)


class Account(Base):
    """`requests_per_minute` is what an enterprise has agreed on (app/values/rate_tiers.py)."""

    __tablename__ = "accounts"
    __table_args__ = (CheckConstraint("requests_per_minute > 0", name="requests_per_minute_positive"),)

    id: Mapped[Id]
    name: Mapped[Str] = mapped_column(default="")
    roles: Mapped[list[str]] = mapped_column(ARRAY(Text), default=lambda: ["client"])
    rate_tier: Mapped[Str] = mapped_column(default="free")
    requests_per_minute: Mapped[int | None]
    is_active: Mapped[bool] = mapped_column(default=True)
    created_at: Mapped[Created]


class Identity(Base):
    """One way to be recognised: an e-mail address, a Solana or TON wallet, or a node's key."""

    __tablename__ = "identities"
    __table_args__ = (UniqueConstraint("kind", "value"),)

    id: Mapped[Id]
    account_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("accounts.id"), index=True)
    kind: Mapped[Str]
    value: Mapped[Str]
    secret_hash: Mapped[Str | None]
    verified_at: Mapped[Moment | None]
    created_at: Mapped[Created]


class ApiKey(Base):
    __tablename__ = "api_keys"

    id: Mapped[Id]
    account_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("accounts.id"), index=True)
    name: Mapped[Str]
    prefix: Mapped[Str]
    secret_hash: Mapped[Str] = mapped_column(unique=True)
    scopes: Mapped[list[str]] = mapped_column(ARRAY(Text))
    needs_wallet_signature: Mapped[bool] = mapped_column(default=False)
    signature_version: Mapped[int] = mapped_column(default=1, server_default="1")
    created_at: Mapped[Created]
    expires_at: Mapped[Moment | None]
    revoked_at: Mapped[Moment | None]


class UsedMessage(Base):
    """A signed message that was good once; kept until its window is over."""

    __tablename__ = "used_messages"

    digest: Mapped[Str] = mapped_column(primary_key=True)
    expires_at: Mapped[Moment] = mapped_column(index=True)


class IdempotencyKey(Base):
    """The committed answer to a POST that moves money, kept for 24 hours."""

    __tablename__ = "idempotency_keys"
    __table_args__ = (UniqueConstraint("caller", "key"),)

    id: Mapped[Id]
    caller: Mapped[Str]
    key: Mapped[Str]
    request_hash: Mapped[Str]
    status: Mapped[int | None]
    body: Mapped[Str | None]
    headers: Mapped[dict[str, str] | None] = mapped_column(JSONB)
    expires_at: Mapped[Moment] = mapped_column(index=True)
