"""Quotes that nobody paid, by their expiry; their files may go."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    unpaid = sa.text("payment_state = 'pending' AND state = 'open'")
    op.create_index("ix_jobs_unpaid", "jobs", ["expires_at"], postgresql_where=unpaid)
    op.create_index("ix_jobs_scene_id", "jobs", ["scene_id"])


def downgrade() -> None:
    op.drop_index("ix_jobs_scene_id", table_name="jobs")
    op.drop_index("ix_jobs_unpaid", table_name="jobs")
