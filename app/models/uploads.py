"""Files that users bring along before they order work with them."""

import uuid

from sqlalchemy import ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from app.db import Base
from app.models.columns import Created, Id, Minor, Moment, Str


class Upload(Base):
    """An address to upload to was given out until `expires_at`; the file is in the store if the user has used it.

    `used_at` is when a job was last ordered with it, `dropped_at` when it was given up: its file may be gone by now.
    """

    __tablename__ = "uploads"
    __table_args__ = (Index("ix_uploads_account_created", "account_id", "created_at"),)

    id: Mapped[Id]
    account_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("accounts.id"))
    storage_key: Mapped[Str]
    file_name: Mapped[Str]
    content_type: Mapped[Str]
    size_bytes: Mapped[Minor]
    sha256: Mapped[Str | None]
    created_at: Mapped[Created]
    expires_at: Mapped[Moment]
    used_at: Mapped[Moment | None]
    dropped_at: Mapped[Moment | None]
