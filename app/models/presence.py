"""Whether providers' own software for compute tasks is there, now and over time."""

import uuid
from datetime import datetime

from sqlalchemy import BigInteger, DateTime, ForeignKey
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from app.db import Base
from app.models.columns import Moment, Str


class ProviderPresence(Base):
    """The last sign of life of a provider's software, and what its last heartbeat said; Rayment's status is another matter."""

    __tablename__ = "provider_presences"

    provider_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("providers.id"), primary_key=True)
    status: Mapped[Str]
    active_tasks: Mapped[object | None] = mapped_column(JSONB(none_as_null=True))
    resources_available: Mapped[object | None] = mapped_column(JSONB(none_as_null=True))
    heard_at: Mapped[Moment]


class ProviderHour(Base):
    """In which minutes of the hour that begins `at` a provider was there: bit n stands for minute n."""

    __tablename__ = "provider_hours"

    at: Mapped[datetime] = mapped_column(DateTime(timezone=True), primary_key=True)
    provider_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("providers.id"), primary_key=True)
    minutes: Mapped[int] = mapped_column(BigInteger)
