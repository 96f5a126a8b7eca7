"""Scenes that accounts bring along for RNP-019: on their way, looked at, ready."""

import uuid

from sqlalchemy import ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from app.db import Base
from app.models.columns import Created, Id, Minor, Moment, Str


class AccountScene(Base):
    """One account's scene, by the content that it announced. Its row in `scenes`, of the same id, is made once the bytes are
    there.

    `extension` is the file name's: the same bytes under another one are another scene. `received_bytes` have come so far, the
    last at `received_at`; until `expires_at` more may. `used_at` is when a job was last ordered with it, `dropped_at` when it was
    given up: its file may be gone by now.
    """

    __tablename__ = "account_scenes"
    __table_args__ = (
        Index(
            "ix_account_scenes_known",
            "account_id",
            "sha256",
            "extension",
            unique=True,
            postgresql_where=text("state <> 'rejected' AND dropped_at IS NULL"),
        ),
        Index("ix_account_scenes_uploading", "received_at", postgresql_where=text("state = 'uploading' AND dropped_at IS NULL")),
    )

    id: Mapped[Id]
    account_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("accounts.id"), index=True)
    state: Mapped[Str]
    sha256: Mapped[Str]
    size_bytes: Mapped[Minor]
    file_name: Mapped[Str]
    extension: Mapped[Str]
    received_bytes: Mapped[Minor] = mapped_column(default=0)
    received_at: Mapped[Moment | None]
    error_code: Mapped[Str | None]
    error_message: Mapped[Str | None]
    created_at: Mapped[Created]
    expires_at: Mapped[Moment]
    used_at: Mapped[Moment | None]
    dropped_at: Mapped[Moment | None]


class SceneChunk(Base):
    """A part of a scene that is on its way: where it begins, and the file that holds it until the whole is there."""

    __tablename__ = "scene_chunks"
    __table_args__ = (UniqueConstraint("scene_id", "offset_bytes"),)

    id: Mapped[Id]
    scene_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("account_scenes.id"))
    offset_bytes: Mapped[Minor]
    size_bytes: Mapped[Minor]
    storage_key: Mapped[Str]
