"""Nodes that fared badly with one render; which of a job's units still wait, found without reading all of them."""

import sqlalchemy as sa
from alembic import op

revision = "0039"
down_revision = "0038"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)
PARKED = "ix_work_units_parked"


def upgrade() -> None:
    op.create_table(
        "render_blocks",
        sa.Column("job_id", sa.UUID(), nullable=False),
        sa.Column("node_id", sa.UUID(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("silences", sa.Integer(), nullable=False),
        sa.Column("silent_at", MOMENT),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("blocked_at", MOMENT),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name="fk_render_blocks_job_id"),
        sa.ForeignKeyConstraint(["node_id"], ["nodes.id"], name="fk_render_blocks_node_id"),
        sa.PrimaryKeyConstraint("job_id", "node_id", name="pk_render_blocks"),
    )
    waits = sa.text("state = 'queued' AND is_parked")
    op.create_index(PARKED, "work_units", ["job_id", "ordinal"], postgresql_where=waits)


def downgrade() -> None:
    op.drop_index(PARKED, table_name="work_units")
    op.drop_table("render_blocks")
