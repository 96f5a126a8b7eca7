"""Participants, who run Cocoon workers, and the pay-outs proposed to them."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "participants",
        sa.Column("id", sa.Integer(), sa.Identity(), nullable=False),
        sa.Column("account_id", sa.UUID(), nullable=False),
        sa.Column("wallet", sa.Text(), nullable=False),
        sa.Column("telegram_user_id", sa.BigInteger(), nullable=True),
        sa.Column("username", sa.Text(), nullable=True),
        sa.Column("email", sa.Text(), nullable=True),
        sa.Column("share_percent", sa.Numeric(5, 2), nullable=True),
        sa.Column("is_active", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name="fk_participants_account_id"),
        sa.PrimaryKeyConstraint("id", name="pk_participants"),
        sa.UniqueConstraint("wallet", name="uq_participants_wallet"),
    )
    op.create_index("ix_participants_account_id", "participants", ["account_id"])
    op.create_table(
        "payout_proposals",
        sa.Column("id", sa.Integer(), sa.Identity(), nullable=False),
        sa.Column("participant_id", sa.Integer(), nullable=False),
        sa.Column("period_start", sa.DateTime(timezone=True), nullable=False),
        sa.Column("period_end", sa.DateTime(timezone=True), nullable=False),
        sa.Column("earned_minor", sa.BigInteger(), nullable=False),
        sa.Column("share_percent", sa.Numeric(5, 2), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("total_requests", sa.BigInteger(), nullable=False),
        sa.Column("total_compute_time_seconds", sa.BigInteger(), nullable=False),
        sa.Column("workers", postgresql.JSONB(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("payout_id", sa.UUID(), nullable=True),
        sa.Column("approved_by", sa.UUID(), nullable=True),
        sa.Column("approved_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("period_end > period_start", name=op.f("ck_payout_proposals_period")),
        sa.CheckConstraint("amount_minor > 0", name=op.f("ck_payout_proposals_positive")),
        sa.ForeignKeyConstraint(["participant_id"], ["participants.id"], name="fk_payout_proposals_participant_id"),
        sa.ForeignKeyConstraint(["payout_id"], ["payouts.id"], name="fk_payout_proposals_payout_id"),
        sa.ForeignKeyConstraint(["approved_by"], ["accounts.id"], name="fk_payout_proposals_approved_by"),
        sa.PrimaryKeyConstraint("id", name="pk_payout_proposals"),
        sa.UniqueConstraint("participant_id", "period_start", name="uq_payout_proposals_participant_id_period_start"),
    )
    op.create_index(
        "ix_payout_proposals_open", "payout_proposals", ["id"], postgresql_where=sa.text("state = 'proposed'")
    )
    op.create_index(
        "ix_payouts_unpriced",
        "payouts",
        ["number"],
        postgresql_where=sa.text("amount_usd IS NULL AND transaction_time IS NOT NULL"),
    )


def downgrade() -> None:
    op.drop_index("ix_payouts_unpriced", "payouts")
    op.drop_table("payout_proposals")
    op.drop_table("participants")
