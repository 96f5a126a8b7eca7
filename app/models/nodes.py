"""Providers (who sells), and nodes (the hosts that work)."""

import uuid
from decimal import Decimal
from typing import Any

from sqlalchemy import ARRAY, BigInteger, ForeignKey, Numeric, Text, UniqueConstraint
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from app.db import Base
from app.models.columns import Created, Id, Json, Moment, Str

PROVIDER_STATUSES = ("online", "offline", "busy", "maintenance")


class Provider(Base):
    __tablename__ = "providers"
    __table_args__ = (UniqueConstraint("wallet", "name"),)

    id: Mapped[Id]
    account_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("accounts.id"), index=True)
    name: Mapped[Str]
    wallet: Mapped[Str]
    endpoint: Mapped[Str | None]
    spec: Mapped[Json]
    price_per_frame: Mapped[Decimal] = mapped_column(Numeric(30, 12))
    price_per_second: Mapped[Decimal] = mapped_column(Numeric(30, 12))
    price_per_gb: Mapped[Decimal] = mapped_column(Numeric(30, 12))
    minimum_price: Mapped[Decimal] = mapped_column(Numeric(30, 12))
    currency: Mapped[Str] = mapped_column(default="SOL")
    status: Mapped[Str] = mapped_column(default="offline", index=True)
    rating: Mapped[Decimal] = mapped_column(Numeric(4, 2), default=Decimal(5))
    completed_jobs: Mapped[int] = mapped_column(default=0)
    signs_timestamps: Mapped[bool] = mapped_column(default=False)
    registered_at: Mapped[Created]
    last_seen_at: Mapped[Moment | None]


class Node(Base):
    __tablename__ = "nodes"

    id: Mapped[Id]
    account_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("accounts.id"), index=True)
    provider_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("providers.id"), index=True)
    is_trusted: Mapped[bool] = mapped_column(default=False)
    name: Mapped[Str]
    public_key: Mapped[Str] = mapped_column(unique=True)
    capabilities: Mapped[list[str]] = mapped_column(ARRAY(Text))
    machine: Mapped[Json]
    agent: Mapped[Str] = mapped_column(default="")
    current_load: Mapped[float] = mapped_column(default=0.0)
    is_draining: Mapped[bool] = mapped_column(default=False)
    # Since when the operator lets it have nothing new, whatever it says of itself.
    drained_at: Mapped[Moment | None]
    gpu_memory_bytes: Mapped[int | None] = mapped_column(BigInteger)
    # The machine's own, as far as the node says something sensible.
    memory_bytes: Mapped[int | None] = mapped_column(BigInteger)
    # And what it renders with: null where it does not say.
    engines: Mapped[list[str] | None] = mapped_column(ARRAY(Text))
    last_heartbeat_at: Mapped[Moment | None] = mapped_column(index=True)
    failures_in_a_row: Mapped[int] = mapped_column(default=0)
    unhealthy_until: Mapped[Moment | None]
    # Until then something may be offered to it: its claims look for that only so long.
    offered_until: Mapped[Moment | None]
    # The relay: which of its sockets is the newest, and when that one last gave a sign of life; null where there is none.
    relay_epoch: Mapped[int] = mapped_column(BigInteger, default=0)
    relay_seen_at: Mapped[Moment | None]
    created_at: Mapped[Created]

    @property
    def is_drained(self) -> bool:
        """Whether the operator lets it have nothing new."""
        return self.drained_at is not None


class NodeToken(Base):
    """A node's session: the challenge belongs to it, and so does the proof.

    `told` is what a registration with a known key said of the node; it waits here until the challenge is answered.
    """

    __tablename__ = "node_tokens"

    id: Mapped[Id]
    node_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("nodes.id"), index=True)
    challenge: Mapped[Str]
    told: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    proven_at: Mapped[Moment | None]
    expires_at: Mapped[Moment]
