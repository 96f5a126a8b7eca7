"""How providers' work on compute tasks ended, and the reputation that follows from it."""

import uuid
from datetime import date

from sqlalchemy import Date, ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from app.db import Base
from app.models.columns import Created, Id, Minor, Moment, Str


class ProviderMark(Base):
    """One end of a provider's work for one client (`values.reputation.Outcome`): inserted once per `source_id` (the attempt, the
    dispute) and outcome, never changed but for `folded_at`: when a sweep has added it to the provider's records, where it is one
    that counts. `seconds` and `earned_minor` are what it took and brought."""

    __tablename__ = "provider_marks"
    __table_args__ = (
        UniqueConstraint("source_id", "outcome"),
        Index("ix_provider_marks_provider_id", "provider_id", "created_at"),
        Index("ix_provider_marks_unfolded", "created_at", postgresql_where=text("is_counted AND folded_at IS NULL")),
    )

    id: Mapped[Id]
    provider_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("providers.id"))
    client_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("accounts.id"))
    outcome: Mapped[Str]
    source_id: Mapped[uuid.UUID]
    seconds: Mapped[int] = mapped_column(default=0)
    earned_minor: Mapped[Minor] = mapped_column(default=0)
    asset: Mapped[Str | None]
    is_counted: Mapped[bool]
    created_at: Mapped[Created]
    folded_at: Mapped[Moment | None]


class ProviderRecord(Base):
    """What one client's tasks say of a provider: weights of good, bad and proven bad work, faded up to `as_of`."""

    __tablename__ = "provider_records"

    provider_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("providers.id"), primary_key=True)
    client_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("accounts.id"), primary_key=True)
    good: Mapped[float]
    bad: Mapped[float]
    proven_bad: Mapped[float]
    as_of: Mapped[Moment]


class ProviderStanding(Base):
    """A provider's reputation, 0 to 1; who has no row has 0. `good` and `bad` are what counts of its clients' records, `days` on
    how many days (UTC) up to `last_day` it did good work."""

    __tablename__ = "provider_standings"
    __table_args__ = (Index("ix_provider_standings_updated_at", "updated_at"), Index("ix_provider_standings_score", "score"))

    provider_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("providers.id"), primary_key=True)
    score: Mapped[float]
    good: Mapped[float]
    bad: Mapped[float]
    clients: Mapped[int]
    days: Mapped[int]
    last_day: Mapped[date | None] = mapped_column(Date)
    updated_at: Mapped[Moment]
