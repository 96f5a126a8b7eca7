"""A job, its work units, and each node's attempts at them."""

import uuid
from typing import Any

from sqlalchemy import ARRAY, BigInteger, ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.dialects.postgresql import UUID as PgUUID
from sqlalchemy.orm import Mapped, mapped_column

from app import trail
from app.db import Base
from app.models.columns import Created, Id, Json, Minor, Moment, Str


class Scene(Base):
    """An uploaded file that was checked: the bytes in the store, and what is known about rendering it."""

    __tablename__ = "scenes"

    id: Mapped[Id]
    account_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("accounts.id"), index=True)
    sha256: Mapped[Str] = mapped_column(index=True)
    size_bytes: Mapped[Minor]
    # Empty once the file was deleted: its quote was withdrawn unpaid.
    storage_key: Mapped[Str]
    file_name: Mapped[Str]
    format: Mapped[Str]
    facts: Mapped[Json]
    # What a node saw when it opened the file, or {"error": {code, message}}; null until one did.
    report: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    created_at: Mapped[Created]


class SceneTiming(Base):
    """Measured seconds per frame of a scene's bytes with given settings; it replaces the guess in quotes.

    `seconds_squared` is the sum of each frame's seconds squared: with it the spread is known. Null where it never was kept.
    `probes` are those of the frames that were rendered only to see how long one takes.
    """

    __tablename__ = "scene_timings"

    sha256: Mapped[Str] = mapped_column(primary_key=True)
    settings_key: Mapped[Str] = mapped_column(primary_key=True)
    frames: Mapped[int] = mapped_column(default=0)
    seconds_total: Mapped[float] = mapped_column(default=0.0)
    seconds_squared: Mapped[float | None]
    probes: Mapped[int] = mapped_column(default=0)


class Job(Base):
    __tablename__ = "jobs"
    __table_args__ = (
        Index("ix_jobs_unpaid", "expires_at", postgresql_where=text("payment_state = 'pending' AND state = 'open'")),
        Index("ix_jobs_under_way", "paid_at", postgresql_where=text("state = 'open' AND payment_state = 'confirmed'")),
        Index("ix_jobs_account_id_created_at", "account_id", "created_at"),
    )

    id: Mapped[Id]
    dialect: Mapped[Str]
    kind: Mapped[Str]
    name: Mapped[Str] = mapped_column(default="")
    account_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("accounts.id"))
    client_wallet: Mapped[Str | None]
    provider_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("providers.id"), index=True)
    scene_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("scenes.id"), index=True)
    state: Mapped[Str] = mapped_column(default="open")
    reason_code: Mapped[Str | None]
    error_message: Mapped[Str | None]
    payment_state: Mapped[Str] = mapped_column(default="none")
    settings: Mapped[Json]
    breakdown: Mapped[Json]
    price_minor: Mapped[Minor] = mapped_column(default=0)
    asset: Mapped[Str]
    priority: Mapped[int] = mapped_column(default=0)
    tier: Mapped[Str] = mapped_column(default="priority")
    units_total: Mapped[int]
    units_completed: Mapped[int] = mapped_column(default=0)
    render_seconds: Mapped[float] = mapped_column(default=0.0)
    created_at: Mapped[Created] = mapped_column(index=True)
    expires_at: Mapped[Moment | None]
    paid_at: Mapped[Moment | None]
    started_at: Mapped[Moment | None]
    ended_at: Mapped[Moment | None]
    pushed_at: Mapped[Moment | None]
    failure_note: Mapped[Str | None]
    failure_noted_at: Mapped[Moment | None]
    # The request that ordered it, and that request's place in a trace: for logs and spans alone.
    request_id: Mapped[Str | None] = mapped_column(default=trail.request_id)
    traceparent: Mapped[Str | None] = mapped_column(default=trail.traceparent)


class WorkUnit(Base):
    """A frame, a tile, a run or an inspection: the piece of a job that one node claims."""

    __tablename__ = "work_units"
    __table_args__ = (
        UniqueConstraint("job_id", "ordinal"),
        Index(
            "ix_work_units_claimable",
            "capability",
            "provider_id",
            text("priority DESC"),
            "queued_at",
            "job_id",
            "ordinal",
            postgresql_where=text("state = 'queued' AND NOT is_parked"),
        ),
        Index("ix_work_units_parked", "job_id", "ordinal", postgresql_where=text("state = 'queued' AND is_parked")),
        Index("ix_work_units_attempt", "attempt_id", postgresql_where=text("attempt_id IS NOT NULL")),
        Index(
            "ix_work_units_inspections",
            "provider_id",
            postgresql_where=text("kind = 'inspection' AND state IN ('queued', 'assigned', 'rendering', 'uploaded')"),
        ),
        # Not NULL, so that no claim can use it: it would read and sort all that waits.
        Index("ix_work_units_rung", "rung_at", postgresql_where=text("state = 'queued' AND rung_at IS NOT NULL")),
        Index(
            "ix_work_units_anybodys",
            "capability",
            text("priority DESC"),
            "queued_at",
            "job_id",
            "ordinal",
            postgresql_where=text("state = 'queued' AND provider_id IS NULL AND NOT is_parked"),
        ),
        Index(
            "ix_work_units_offered",
            "offered_node_id",
            "queued_at",
            postgresql_where=text("state = 'queued' AND offered_node_id IS NOT NULL"),
        ),
        Index(
            "ix_work_units_leased",
            "lease_until",
            postgresql_where=text("state IN ('assigned', 'rendering', 'uploaded')"),
        ),
    )

    id: Mapped[Id]
    job_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("jobs.id"))
    ordinal: Mapped[int]
    kind: Mapped[Str]
    frame: Mapped[int | None]
    capability: Mapped[Str]
    provider_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("providers.id"))
    priority: Mapped[int] = mapped_column(default=0)
    # Which part of its frame, of a still that is rendered in tiles: {"column", "row", "columns", "rows"}.
    tile: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    # What its scene is thought to need: nodes that say that they have less don't get it. Null where nobody knows.
    memory_bytes: Mapped[int | None] = mapped_column(BigInteger)
    # And what it is rendered with, where that is known.
    engine: Mapped[Str | None]
    # Nobody may have it now: its job is paused, or has enough of its units out (core.render_units). Only of queued ones.
    is_parked: Mapped[bool] = mapped_column(default=False)
    # Units are made when their job is paid: an unpaid quote of ten thousand frames costs one row.
    state: Mapped[Str] = mapped_column(default="queued")
    # From when anybody who fits may have it: later than now while it backs off, or is offered to one node first.
    queued_at: Mapped[Moment]
    offered_node_id: Mapped[uuid.UUID | None]
    rung_at: Mapped[Moment | None]
    fence: Mapped[int] = mapped_column(default=0)
    attempt_id: Mapped[uuid.UUID | None]
    lease_until: Mapped[Moment | None]
    progress: Mapped[float] = mapped_column(default=0.0)
    failures: Mapped[int] = mapped_column(default=0)
    losses: Mapped[int] = mapped_column(default=0)
    blocked_nodes: Mapped[list[uuid.UUID]] = mapped_column(ARRAY(PgUUID(as_uuid=True)), default=list)
    result_key: Mapped[Str | None]
    result_sha256: Mapped[Str | None]
    result_bytes: Mapped[int | None] = mapped_column(BigInteger)
    seconds: Mapped[float | None]
    # What it cost its client, of a render that is paid frame by frame, in the job's asset.
    cost_minor: Mapped[int | None] = mapped_column(BigInteger)
    completed_at: Mapped[Moment | None]


class Attempt(Base):
    __tablename__ = "attempts"
    __table_args__ = (
        UniqueConstraint("unit_id", "fence"),
        Index("ix_attempts_live", "node_id", postgresql_where=text("state = 'live'")),
        Index("ix_attempts_provider_id", "provider_id", "started_at", postgresql_where=text("provider_id IS NOT NULL")),
    )

    id: Mapped[Id]
    unit_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("work_units.id"))
    node_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("nodes.id"), index=True)
    # Whose own software has a compute task; a node's attempt has none, its node says whose it is.
    provider_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("providers.id"))
    fence: Mapped[int]
    state: Mapped[Str] = mapped_column(default="live")
    upload_key: Mapped[Str]
    started_at: Mapped[Created]
    ended_at: Mapped[Moment | None]
    error_code: Mapped[Str | None]
    error_message: Mapped[Str | None]


class DeadLetter(Base):
    """A dispatched job that failed for good: an operator sees it here, and may have it tried again with a new hold."""

    __tablename__ = "dead_letters"
    __table_args__ = (
        Index("ix_dead_letters_created_at", "created_at"),
        Index("ix_dead_letters_waiting", "job_id", unique=True, postgresql_where=text("replayed_at IS NULL")),
    )

    id: Mapped[Id]
    job_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("jobs.id"))
    reason_code: Mapped[Str]
    error_message: Mapped[Str]
    attempts: Mapped[int]
    created_at: Mapped[Created]
    replayed_at: Mapped[Moment | None]
