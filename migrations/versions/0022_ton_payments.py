"""Payments on TON: what arrived, how far a walk has come, and owners' jetton wallets."""

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("chain_cursors", sa.Column("walk_head", sa.Text()))
    op.add_column("chain_cursors", sa.Column("walk_next", sa.Text()))
    op.create_table(
        "jetton_wallets",
        sa.Column("master", sa.Text(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("wallet", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("master", "owner", name="pk_jetton_wallets"),
    )
    op.create_table(
        "chain_arrivals",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("chain", sa.Text(), nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("pay_to", sa.Text(), nullable=False),
        sa.Column("lt", sa.BigInteger(), nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.Column("asset", sa.Text()),
        sa.Column("token", sa.Text()),
        sa.Column("amount_minor", sa.Numeric(48, 0), nullable=False),
        sa.Column("comment", sa.Text()),
        sa.Column("payer", sa.Text()),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("code", sa.Text()),
        sa.Column("payment_id", sa.UUID()),
        sa.Column("assigned_to", sa.UUID()),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("decided_at", sa.DateTime(timezone=True)),
        sa.ForeignKeyConstraint(["payment_id"], ["payments.id"], name="fk_chain_arrivals_payment_id"),
        sa.ForeignKeyConstraint(["assigned_to"], ["accounts.id"], name="fk_chain_arrivals_assigned_to"),
        sa.PrimaryKeyConstraint("id", name="pk_chain_arrivals"),
        sa.UniqueConstraint("chain", "account", "hash", name="uq_chain_arrivals_chain_account_hash"),
    )
    op.create_index("ix_chain_arrivals_payment_id", "chain_arrivals", ["payment_id"])
    waiting, unclaimed = sa.text("state IN ('found', 'proven')"), sa.text("state = 'unclaimed'")
    op.create_index("ix_chain_arrivals_waiting", "chain_arrivals", ["account", "lt"], postgresql_where=waiting)
    op.create_index("ix_chain_arrivals_unclaimed", "chain_arrivals", ["created_at"], postgresql_where=unclaimed)


def downgrade() -> None:
    op.drop_table("chain_arrivals")
    op.drop_table("jetton_wallets")
    op.drop_column("chain_cursors", "walk_next")
    op.drop_column("chain_cursors", "walk_head")
