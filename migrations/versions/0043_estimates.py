"""Estimates of renders: how far the seconds of a scene's frames spread, and probes, small frames that only show how long they
take."""

import sqlalchemy as sa
from alembic import op

revision = "0043"
down_revision = "0042"
branch_labels = None
depends_on = None

TABLE, PROBES = "scene_timings", "render_probes"


def upgrade() -> None:
    op.add_column(TABLE, sa.Column("seconds_squared", sa.Float()))
    op.add_column(TABLE, sa.Column("probes", sa.Integer(), nullable=False, server_default=sa.text("0")))
    op.alter_column(TABLE, "probes", server_default=None)
    op.create_table(
        PROBES,
        sa.Column("job_id", sa.UUID(), nullable=False),
        sa.Column("account_id", sa.UUID(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("ordered_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name="fk_render_probes_job_id"),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name="fk_render_probes_account_id"),
        sa.PrimaryKeyConstraint("job_id", name="pk_render_probes"),
    )
    op.create_index("ix_render_probes_account_id", PROBES, ["account_id", "ordered_at"])
    op.create_index("ix_render_probes_ordered_at", PROBES, ["ordered_at"])


def downgrade() -> None:
    op.drop_table(PROBES)
    op.drop_column(TABLE, "probes")
    op.drop_column(TABLE, "seconds_squared")
