"""Sign-ins: each is one chain of refresh tokens, and everything that was signed with it ends when it ends."""

import uuid

from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from app.db import Base
from app.models.columns import Created, Id, Moment, Str


class SignIn(Base):
    """`refresh_id` is the one refresh token that is good now, `previous_refresh_id` the one it was made from."""

    __tablename__ = "sign_ins"

    id: Mapped[Id]
    account_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("accounts.id"), index=True)
    refresh_id: Mapped[uuid.UUID]
    previous_refresh_id: Mapped[uuid.UUID | None]
    rotated_at: Mapped[Moment]
    expires_at: Mapped[Moment] = mapped_column(index=True)
    ended_at: Mapped[Moment | None]
    end_reason: Mapped[Str | None]
    created_at: Mapped[Created]
