"""Paid jobs that are not over: the sweeps look at these, and never at a marketplace's past."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    under_way = sa.text("state = 'open' AND payment_state = 'confirmed'")
    op.create_index("ix_jobs_under_way", "jobs", ["paid_at"], postgresql_where=under_way)


def downgrade() -> None:
    op.drop_index("ix_jobs_under_way", table_name="jobs")
