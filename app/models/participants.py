"""Participants: who runs Cocoon workers and is paid in TON."""

import uuid
from decimal import Decimal

from sqlalchemy import BigInteger, ForeignKey, Identity, Integer, Numeric
from sqlalchemy.orm import Mapped, mapped_column

from app.db import Base
from app.models.columns import Created, Moment, Str


class Participant(Base):
    """A wallet that is paid; `wallet` is its raw address, by which its account is recognised as `ton:<wallet>`.

    `share_percent` is its part of what its workers earn; null: what the settings say.
    """

    __tablename__ = "participants"

    id: Mapped[int] = mapped_column(Integer, Identity(), primary_key=True)
    account_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("accounts.id"), index=True)
    wallet: Mapped[Str] = mapped_column(unique=True)
    telegram_user_id: Mapped[int | None] = mapped_column(BigInteger)
    username: Mapped[Str | None]
    email: Mapped[Str | None]
    share_percent: Mapped[Decimal | None] = mapped_column(Numeric(5, 2))
    is_active: Mapped[bool] = mapped_column(default=True)
    created_at: Mapped[Created]
    updated_at: Mapped[Moment]
