"""Stakes that are on their way back to their providers."""

import uuid

from sqlalchemy import CheckConstraint, ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from app.db import Base
from app.models.columns import Created, Id, Minor, Moment, Str


class Unstaking(Base):
    """A part of an account's stake that it has asked back. Until its release it lies in the ledger's `unstaking`, where it no
    longer counts as staked and can still be slashed.

    `state` is an UnstakingState. `released_minor` is what came back: less than was asked for where it was slashed meanwhile.
    """

    __tablename__ = "unstakings"
    __table_args__ = (
        CheckConstraint("amount_minor > 0", name="positive"),
        Index("ix_unstakings_pending", "releases_at", postgresql_where=text("state = 'pending'")),
        Index("ix_unstakings_account", "account_id", "created_at"),
    )

    id: Mapped[Id]
    account_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("accounts.id"))
    asset: Mapped[Str]
    amount_minor: Mapped[Minor]
    state: Mapped[Str] = mapped_column(default="pending")
    releases_at: Mapped[Moment]
    released_minor: Mapped[Minor | None]
    released_at: Mapped[Moment | None]
    created_at: Mapped[Created]
