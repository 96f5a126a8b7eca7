"""A claim reads waiting units in their order and stops, whatever the statistics say of a queue that comes and goes.

The index of rings was small enough to be preferred, and everything waiting was read and sorted for each claim; and NULL is no
constant to the planner's sense of order, so the units that anybody may do have an index of their own.
"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

RUNG, TABLE = "ix_work_units_rung", "work_units"


def upgrade() -> None:
    op.drop_index(RUNG, table_name=TABLE)
    op.create_index(RUNG, TABLE, ["rung_at"], postgresql_where=sa.text("state = 'queued' AND rung_at IS NOT NULL"))
    op.create_index(
        "ix_work_units_anybodys",
        TABLE,
        ["capability", sa.text("priority DESC"), "queued_at", "job_id", "ordinal"],
        postgresql_where=sa.text("state = 'queued' AND provider_id IS NULL"),
    )


def downgrade() -> None:
    op.drop_index("ix_work_units_anybodys", table_name=TABLE)
    op.drop_index(RUNG, table_name=TABLE)
    op.create_index(RUNG, TABLE, ["rung_at"], postgresql_where=sa.text("state = 'queued'"))
