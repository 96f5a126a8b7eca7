"""Stakes on their way back, disputes over tasks, and refunds of what was not paid for by a payment."""

import sqlalchemy as sa
from alembic import op

revision = "0035"
down_revision = "0034"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "unstakings",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("account_id", sa.UUID(), nullable=False),
        sa.Column("asset", sa.Text(), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("releases_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("released_minor", sa.BigInteger()),
        sa.Column("released_at", sa.DateTime(timezone=True)),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("amount_minor > 0", name="ck_unstakings_positive"),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name="fk_unstakings_account_id"),
        sa.PrimaryKeyConstraint("id", name="pk_unstakings"),
    )
    op.create_index("ix_unstakings_pending", "unstakings", ["releases_at"], postgresql_where=sa.text("state = 'pending'"))
    op.create_index("ix_unstakings_account", "unstakings", ["account_id", "created_at"])
    _create_disputes()
    is_captured = sa.text("operator_id IS NOT NULL")
    op.create_index("ix_credit_holds_operator", "credit_holds", ["operator_id", "ended_at"], postgresql_where=is_captured)
    op.alter_column("refunds", "payment_id", nullable=True)


def _create_disputes() -> None:
    op.create_table(
        "disputes",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("job_id", sa.UUID(), nullable=False),
        sa.Column("account_id", sa.UUID(), nullable=False),
        sa.Column("provider_id", sa.UUID()),
        sa.Column("provider_account_id", sa.UUID(), nullable=False),
        sa.Column("opened_by", sa.UUID()),
        sa.Column("asset", sa.Text(), nullable=False),
        sa.Column("cost_minor", sa.BigInteger(), nullable=False),
        sa.Column("grounds", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("expected_sha256", sa.Text()),
        sa.Column("rerun_job_id", sa.UUID()),
        sa.Column("stored_sha256", sa.Text()),
        sa.Column("stored_checked_at", sa.DateTime(timezone=True)),
        sa.Column("answer", sa.Text()),
        sa.Column("answered_at", sa.DateTime(timezone=True)),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("decided_at", sa.DateTime(timezone=True)),
        sa.Column("decided_by", sa.Text()),
        sa.Column("decision_reason", sa.Text()),
        sa.Column("refunded_minor", sa.BigInteger()),
        sa.Column("owed_minor", sa.BigInteger()),
        sa.Column("penalty_minor", sa.BigInteger()),
        sa.CheckConstraint("cost_minor >= 0", name="ck_disputes_not_negative"),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name="fk_disputes_job_id"),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name="fk_disputes_account_id"),
        sa.ForeignKeyConstraint(["provider_id"], ["providers.id"], name="fk_disputes_provider_id"),
        sa.ForeignKeyConstraint(["provider_account_id"], ["accounts.id"], name="fk_disputes_provider_account_id"),
        sa.ForeignKeyConstraint(["opened_by"], ["accounts.id"], name="fk_disputes_opened_by"),
        sa.ForeignKeyConstraint(["rerun_job_id"], ["jobs.id"], name="fk_disputes_rerun_job_id"),
        sa.PrimaryKeyConstraint("id", name="pk_disputes"),
        sa.UniqueConstraint("job_id", name="uq_disputes_job_id"),
    )
    is_open = sa.text("state = 'open'")
    has_provider = sa.text("provider_id IS NOT NULL")
    op.create_index("ix_disputes_open", "disputes", ["provider_account_id", "asset"], postgresql_where=is_open)
    op.create_index("ix_disputes_account", "disputes", ["account_id", "created_at"])
    op.create_index("ix_disputes_provider", "disputes", ["provider_id", "created_at"], postgresql_where=has_provider)
    op.create_index("ix_disputes_provider_account", "disputes", ["provider_account_id", "decided_at"])
    op.create_index("ix_disputes_created_at", "disputes", ["created_at"])


def downgrade() -> None:
    """Refunds without a payment are told by the ledger; the older tables have no place for them."""
    op.execute("DELETE FROM refunds WHERE payment_id IS NULL")
    op.alter_column("refunds", "payment_id", nullable=False)
    op.drop_index("ix_credit_holds_operator", table_name="credit_holds")
    op.drop_table("disputes")
    op.drop_table("unstakings")
