"""Payouts that wait until their payee has opened a token account."""

import sqlalchemy as sa
from alembic import op

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None

DELAYED = sa.text("look_again_at IS NOT NULL")


def upgrade() -> None:
    op.add_column("payouts", sa.Column("delayed_reason", sa.Text(), nullable=True))
    op.add_column("payouts", sa.Column("look_again_at", sa.DateTime(timezone=True), nullable=True))
    op.create_index("ix_payouts_delayed", "payouts", ["chain", "look_again_at"], postgresql_where=DELAYED)
    op.create_index("ix_payouts_delayed_accounts", "payouts", ["account_id", "asset"], postgresql_where=DELAYED)


def downgrade() -> None:
    op.drop_index("ix_payouts_delayed_accounts", table_name="payouts")
    op.drop_index("ix_payouts_delayed", table_name="payouts")
    op.drop_column("payouts", "look_again_at")
    op.drop_column("payouts", "delayed_reason")
