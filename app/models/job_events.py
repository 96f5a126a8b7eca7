"""What an agent can follow of a render, and go on following without a gap."""

import uuid

from sqlalchemy import BigInteger, ForeignKey, Identity, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from app.db import Base
from app.models.columns import Json, Minor, Moment, Str


class JobStream(Base):
    """One render's stream: how many of its events have a number. A trigger makes it with its order.

    Whoever numbers events locks this row, and whoever writes one does not: events refer to it and not to the job, which is
    locked by those who still wait for units. `seed` is the secret that its previews' watermarks are drawn from. `emptied_at`:
    when its events were deleted, some time after the job's end.
    """

    __tablename__ = "job_streams"
    __table_args__ = (Index("ix_job_streams_kept", "job_id", postgresql_where=text("emptied_at IS NULL")),)

    job_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("render_orders.job_id"), primary_key=True)
    events: Mapped[Minor] = mapped_column(default=0)
    seed: Mapped[uuid.UUID] = mapped_column(default=uuid.uuid4)
    emptied_at: Mapped[Moment | None]


class JobEvent(Base):
    """Something that became of a render: of the whole (`kind` job: its states, its money) or of a unit (`kind` frame).

    Triggers write it in the very transaction that changes things, as the last that this does before its commit. `id` says in
    which order events were written, which is not the order in which they were committed: `sequence` is given to it afterwards,
    by whoever first reads it (`core.job_events`), has no gaps, and is what clients see.
    """

    __tablename__ = "job_events"
    __table_args__ = (
        UniqueConstraint("job_id", "sequence"),
        Index("ix_job_events_new", "job_id", "id", postgresql_where=text("sequence IS NULL")),
        Index("ix_job_events_of_job", "job_id", "id", postgresql_where=text("kind = 'job'")),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    job_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("job_streams.job_id", ondelete="CASCADE"))
    sequence: Mapped[int | None] = mapped_column(BigInteger)
    kind: Mapped[Str]
    facts: Mapped[Json]
    noted_at: Mapped[Moment]
