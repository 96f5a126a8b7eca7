"""Payments by x402, and answers that are kept with the headers that belong to them."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0042"
down_revision = "0041"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)
TABLE, LIVE = "x402_settlements", sa.text("state IN ('received', 'signed')")


def upgrade() -> None:
    op.create_table(
        TABLE,
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("payment_id", sa.UUID(), nullable=False),
        sa.Column("message_hash", sa.Text(), nullable=False),
        sa.Column("network", sa.Text(), nullable=False),
        sa.Column("payer", sa.Text(), nullable=False),
        sa.Column("mint", sa.Text(), nullable=False),
        sa.Column("memo", sa.Text(), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("raw", sa.LargeBinary(), nullable=False),
        sa.Column("blockhash", sa.Text(), nullable=False),
        sa.Column("slot", sa.BigInteger()),
        sa.Column("expires_at_height", sa.BigInteger()),
        sa.Column("tx_signature", sa.Text()),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("code", sa.Text()),
        sa.Column("message", sa.Text()),
        sa.Column("times_sent", sa.Integer(), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("signed_at", MOMENT),
        sa.Column("decided_at", MOMENT),
        sa.ForeignKeyConstraint(["payment_id"], ["payments.id"], name="fk_x402_settlements_payment_id"),
        sa.PrimaryKeyConstraint("id", name="pk_x402_settlements"),
        sa.UniqueConstraint("message_hash", name="uq_x402_settlements_message_hash"),
        sa.UniqueConstraint("tx_signature", name="uq_x402_settlements_tx_signature"),
    )
    op.create_index("ix_x402_settlements_payment_id", TABLE, ["payment_id"])
    op.create_index("ix_x402_settlements_live", TABLE, ["payment_id"], unique=True, postgresql_where=LIVE)
    op.create_index("ix_x402_settlements_open", TABLE, ["created_at"], postgresql_where=LIVE)
    op.create_table(
        "x402_fee_payers",
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("network", sa.Text(), nullable=False),
        sa.Column("lamports", sa.BigInteger(), nullable=False),
        sa.Column("seen_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("address", name="pk_x402_fee_payers"),
    )
    op.add_column("idempotency_keys", sa.Column("headers", postgresql.JSONB()))


def downgrade() -> None:
    op.drop_column("idempotency_keys", "headers")
    op.drop_table("x402_fee_payers")
    op.drop_table(TABLE)
