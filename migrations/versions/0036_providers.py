"""Compute resources, the reputation of those who offer them, and when they were there."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0036"
down_revision = "0035"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)
SIZE = sa.Numeric(9, 3)


def upgrade() -> None:
    _resources()
    _reputation()
    _presence()


def _resources() -> None:
    op.create_table(
        "resources",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("provider_id", sa.UUID(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("specifications", postgresql.JSONB(), nullable=False),
        sa.Column("cpu_cores", SIZE),
        sa.Column("gpu_count", sa.Integer(), nullable=False),
        sa.Column("gpu_memory_gb", SIZE),
        sa.Column("ram_gb", SIZE),
        sa.Column("storage_gb", SIZE),
        sa.Column("location", sa.Text()),
        sa.Column("price_minor", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.Text()),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("updated_at", MOMENT, nullable=False),
        sa.Column("deleted_at", MOMENT),
        sa.CheckConstraint("price_minor >= 0", name="ck_resources_price_not_negative"),
        sa.ForeignKeyConstraint(["provider_id"], ["providers.id"], name="fk_resources_provider_id"),
        sa.PrimaryKeyConstraint("id", name="pk_resources"),
    )
    op.create_index(
        "ix_resources_provider_id", "resources", ["provider_id", "created_at"], postgresql_where=sa.text("deleted_at IS NULL")
    )


def _reputation() -> None:
    op.create_table(
        "provider_marks",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("provider_id", sa.UUID(), nullable=False),
        sa.Column("client_id", sa.UUID(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("source_id", sa.UUID(), nullable=False),
        sa.Column("seconds", sa.Integer(), nullable=False),
        sa.Column("earned_minor", sa.BigInteger(), nullable=False),
        sa.Column("asset", sa.Text()),
        sa.Column("is_counted", sa.Boolean(), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("folded_at", MOMENT),
        sa.ForeignKeyConstraint(["provider_id"], ["providers.id"], name="fk_provider_marks_provider_id"),
        sa.ForeignKeyConstraint(["client_id"], ["accounts.id"], name="fk_provider_marks_client_id"),
        sa.PrimaryKeyConstraint("id", name="pk_provider_marks"),
        sa.UniqueConstraint("source_id", "outcome", name="uq_provider_marks_source_id_outcome"),
    )
    op.create_index("ix_provider_marks_provider_id", "provider_marks", ["provider_id", "created_at"])
    op.create_index(
        "ix_provider_marks_unfolded",
        "provider_marks",
        ["created_at"],
        postgresql_where=sa.text("is_counted AND folded_at IS NULL"),
    )
    op.create_table(
        "provider_records",
        sa.Column("provider_id", sa.UUID(), nullable=False),
        sa.Column("client_id", sa.UUID(), nullable=False),
        sa.Column("good", sa.Float(), nullable=False),
        sa.Column("bad", sa.Float(), nullable=False),
        sa.Column("proven_bad", sa.Float(), nullable=False),
        sa.Column("as_of", MOMENT, nullable=False),
        sa.ForeignKeyConstraint(["provider_id"], ["providers.id"], name="fk_provider_records_provider_id"),
        sa.ForeignKeyConstraint(["client_id"], ["accounts.id"], name="fk_provider_records_client_id"),
        sa.PrimaryKeyConstraint("provider_id", "client_id", name="pk_provider_records"),
    )
    op.create_table(
        "provider_standings",
        sa.Column("provider_id", sa.UUID(), nullable=False),
        sa.Column("score", sa.Float(), nullable=False),
        sa.Column("good", sa.Float(), nullable=False),
        sa.Column("bad", sa.Float(), nullable=False),
        sa.Column("clients", sa.Integer(), nullable=False),
        sa.Column("days", sa.Integer(), nullable=False),
        sa.Column("last_day", sa.Date()),
        sa.Column("updated_at", MOMENT, nullable=False),
        sa.ForeignKeyConstraint(["provider_id"], ["providers.id"], name="fk_provider_standings_provider_id"),
        sa.PrimaryKeyConstraint("provider_id", name="pk_provider_standings"),
    )
    op.create_index("ix_provider_standings_updated_at", "provider_standings", ["updated_at"])
    op.create_index("ix_provider_standings_score", "provider_standings", ["score"])


def _presence() -> None:
    op.create_table(
        "provider_presences",
        sa.Column("provider_id", sa.UUID(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("active_tasks", postgresql.JSONB()),
        sa.Column("resources_available", postgresql.JSONB()),
        sa.Column("heard_at", MOMENT, nullable=False),
        sa.ForeignKeyConstraint(["provider_id"], ["providers.id"], name="fk_provider_presences_provider_id"),
        sa.PrimaryKeyConstraint("provider_id", name="pk_provider_presences"),
    )
    op.create_table(
        "provider_hours",
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("provider_id", sa.UUID(), nullable=False),
        sa.Column("minutes", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["provider_id"], ["providers.id"], name="fk_provider_hours_provider_id"),
        sa.PrimaryKeyConstraint("at", "provider_id", name="pk_provider_hours"),
    )


def downgrade() -> None:
    for name in ("provider_hours", "provider_presences", "provider_standings", "provider_records", "provider_marks", "resources"):
        op.drop_table(name)
