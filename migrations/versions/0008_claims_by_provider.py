"""Waiting units by whose they are: a claim no longer reads past other providers' queues."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

NAME, TABLE = "ix_work_units_claimable", "work_units"
ORDER = [sa.text("priority DESC"), "queued_at", "job_id", "ordinal"]


def _replace(columns: list) -> None:
    op.drop_index(NAME, table_name=TABLE)
    op.create_index(NAME, TABLE, columns, postgresql_where=sa.text("state = 'queued'"))


def upgrade() -> None:
    _replace(["capability", "provider_id", *ORDER])


def downgrade() -> None:
    _replace(["capability", *ORDER])
