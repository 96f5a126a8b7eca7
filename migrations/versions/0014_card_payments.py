"""What Stripe told us: events, payments by card, and what went back of them."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "card_events",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("payment", sa.Text(), nullable=True),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("code", sa.Text(), nullable=True),
        sa.Column("message", sa.Text(), nullable=True),
        sa.Column("body", sa.Text(), nullable=True),
        sa.Column("happened_at", MOMENT, nullable=True),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("ended_at", MOMENT, nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_card_events")),
    )
    op.create_index(op.f("ix_card_events_payment"), "card_events", ["payment"])
    op.create_index(
        "ix_card_events_problems", "card_events", ["created_at"], postgresql_where=sa.text("outcome = 'problem'")
    )
    op.create_table(
        "card_payments",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("account_id", sa.UUID(), nullable=True),
        sa.Column("sku", sa.Text(), nullable=True),
        sa.Column("credits_minor", sa.BigInteger(), nullable=False),
        sa.Column("paid_minor", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=True),
        sa.Column("taken_minor", sa.BigInteger(), nullable=False),
        sa.Column("changes", sa.Integer(), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("credited_at", MOMENT, nullable=True),
        sa.CheckConstraint("taken_minor BETWEEN 0 AND credits_minor", name=op.f("ck_card_payments_taken")),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_card_payments_account_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_card_payments")),
    )
    op.create_index(op.f("ix_card_payments_account_id"), "card_payments", ["account_id"])
    op.create_table(
        "card_reversals",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("payment", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("is_counted", sa.Boolean(), nullable=False),
        sa.Column("told_at", sa.BigInteger(), nullable=False),
        sa.Column("rank", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["payment"], ["card_payments.id"], name=op.f("fk_card_reversals_payment")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_card_reversals")),
    )
    op.create_index(op.f("ix_card_reversals_payment"), "card_reversals", ["payment"])


def downgrade() -> None:
    for table in ("card_reversals", "card_payments", "card_events"):
        op.drop_table(table)
