"""Compute tasks: whose software has one, for which price, and since when it runs."""

import sqlalchemy as sa
from alembic import op

revision = "0032"
down_revision = "0031"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("tasks", sa.Column("price_minor", sa.BigInteger()))
    op.add_column("tasks", sa.Column("running_at", sa.DateTime(timezone=True)))
    op.add_column("attempts", sa.Column("provider_id", sa.UUID()))
    op.create_foreign_key("fk_attempts_provider_id", "attempts", "providers", ["provider_id"], ["id"])
    op.create_index(
        "ix_attempts_provider_id",
        "attempts",
        ["provider_id", "started_at"],
        postgresql_where=sa.text("provider_id IS NOT NULL"),
    )


def downgrade() -> None:
    op.drop_index("ix_attempts_provider_id", "attempts")
    op.drop_constraint("fk_attempts_provider_id", "attempts")
    op.drop_column("attempts", "provider_id")
    op.drop_column("tasks", "running_at")
    op.drop_column("tasks", "price_minor")
