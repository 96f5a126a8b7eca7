"""A pay-out proposal may be rejected, with a reason that its participant reads."""

import sqlalchemy as sa
from alembic import op

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("payout_proposals", sa.Column("rejected_by", sa.UUID(), nullable=True))
    op.add_column("payout_proposals", sa.Column("rejected_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("payout_proposals", sa.Column("rejected_because", sa.Text(), nullable=True))
    op.create_foreign_key("fk_payout_proposals_rejected_by", "payout_proposals", "accounts", ["rejected_by"], ["id"])


def downgrade() -> None:
    op.drop_constraint("fk_payout_proposals_rejected_by", "payout_proposals")
    for name in ("rejected_because", "rejected_at", "rejected_by"):
        op.drop_column("payout_proposals", name)
