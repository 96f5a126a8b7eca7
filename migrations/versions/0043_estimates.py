"""Estimates of renders: how far the seconds of a scene's frames spread, and which of them were only probes."""

import sqlalchemy as sa
from alembic import op

revision = "0043"
down_revision = "0039"
branch_labels = None
depends_on = None

TABLE = "scene_timings"


def upgrade() -> None:
    op.add_column(TABLE, sa.Column("seconds_squared", sa.Float()))
    op.add_column(TABLE, sa.Column("probes", sa.Integer(), nullable=False, server_default=sa.text("0")))
    op.alter_column(TABLE, "probes", server_default=None)


def downgrade() -> None:
    op.drop_column(TABLE, "probes")
    op.drop_column(TABLE, "seconds_squared")
