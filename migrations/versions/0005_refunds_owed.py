"""Refunds that are still owed: what a later credit pays, and what operators watch."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_refunds_owed", "refunds", ["debtor_id"], postgresql_where=sa.text("status = 'owed'"))


def downgrade() -> None:
    op.drop_index("ix_refunds_owed", table_name="refunds")
