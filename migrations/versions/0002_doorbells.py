"""Indexes for the doorbells (who is busy, who waits unrung) and for a unit by its attempt."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_attempts_live", "attempts", ["node_id"], postgresql_where=sa.text("state = 'live'"))
    op.create_index("ix_work_units_rung", "work_units", ["rung_at"], postgresql_where=sa.text("state = 'queued'"))
    op.create_index("ix_work_units_attempt", "work_units", ["attempt_id"], postgresql_where=sa.text("attempt_id IS NOT NULL"))


def downgrade() -> None:
    op.drop_index("ix_work_units_attempt", table_name="work_units")
    op.drop_index("ix_work_units_rung", table_name="work_units")
    op.drop_index("ix_attempts_live", table_name="attempts")
