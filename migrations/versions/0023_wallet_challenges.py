"""Challenges that wallets sign to prove whose they are."""

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "wallet_challenges",
        sa.Column("payload", sa.Text(), nullable=False),
        sa.Column("chain", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("payload", name="pk_wallet_challenges"),
    )
    op.create_index("ix_wallet_challenges_wallet", "wallet_challenges", ["chain", "address", "created_at"])
    op.create_index("ix_wallet_challenges_expires_at", "wallet_challenges", ["expires_at"])


def downgrade() -> None:
    op.drop_table("wallet_challenges")
