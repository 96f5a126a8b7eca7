"""Payouts: what is owed to users on its way to their wallets, the transactions signed for it, and what the chains say of them."""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)
TABLES = (
    "payout_signing_items",
    "payout_differences",
    "payouts",
    "payout_addresses",
    "payout_wallets",
    "payout_signings",
)


def upgrade() -> None:
    op.create_table(
        "payout_signings",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("chain", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("raw", sa.LargeBinary(), nullable=False),
        sa.Column("tx_hash", sa.Text(), nullable=False),
        sa.Column("blockhash", sa.Text(), nullable=True),
        sa.Column("slot", sa.BigInteger(), nullable=True),
        sa.Column("expires_at_height", sa.BigInteger(), nullable=True),
        sa.Column("seqno", sa.BigInteger(), nullable=True),
        sa.Column("valid_until", sa.BigInteger(), nullable=True),
        sa.Column("times_sent", sa.Integer(), nullable=False),
        sa.Column("sent_at", MOMENT, nullable=True),
        sa.Column("answer", sa.Text(), nullable=True),
        sa.Column("outcome", sa.Text(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("landed_hash", sa.Text(), nullable=True),
        sa.Column("block_number", sa.BigInteger(), nullable=True),
        sa.Column("block_time", MOMENT, nullable=True),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("decided_at", MOMENT, nullable=True),
        sa.Column("seen_at", MOMENT, nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_payout_signings")),
        sa.UniqueConstraint("chain", "tx_hash", name=op.f("uq_payout_signings_chain_tx_hash")),
    )
    op.create_index(
        "ix_payout_signings_undecided",
        "payout_signings",
        ["chain", "source"],
        unique=True,
        postgresql_where=sa.text("outcome IS NULL"),
    )
    op.create_index(
        "ix_payout_signings_unseen",
        "payout_signings",
        ["created_at"],
        postgresql_where=sa.text("outcome = 'landed' AND seen_at IS NULL"),
    )
    op.create_table(
        "payout_wallets",
        sa.Column("chain", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("cursor", sa.Text(), nullable=True),
        sa.Column("read_at", MOMENT, nullable=True),
        sa.Column("halted_at", MOMENT, nullable=True),
        sa.Column("halted_reason", sa.Text(), nullable=True),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("chain", "address", name=op.f("pk_payout_wallets")),
    )
    op.create_table(
        "payout_addresses",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("account_id", sa.UUID(), nullable=False),
        sa.Column("chain", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("is_automatic", sa.Boolean(), nullable=False),
        sa.Column("signed_message", sa.Text(), nullable=False),
        sa.Column("signature", sa.Text(), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("usable_at", MOMENT, nullable=False),
        sa.Column("revoked_at", MOMENT, nullable=True),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_payout_addresses_account_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_payout_addresses")),
    )
    op.create_index("ix_payout_addresses_account", "payout_addresses", ["account_id", "chain", "usable_at"])
    op.create_index(
        "ix_payout_addresses_automatic",
        "payout_addresses",
        ["chain"],
        postgresql_where=sa.text("is_automatic AND revoked_at IS NULL"),
    )
    op.create_table(
        "payouts",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("number", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("origin", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("account_id", sa.UUID(), nullable=False),
        sa.Column("participant_id", sa.Integer(), nullable=True),
        sa.Column("chain", sa.Text(), nullable=False),
        sa.Column("asset", sa.Text(), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("destination", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=True),
        sa.Column("memo", sa.Text(), nullable=False),
        sa.Column("reference", sa.Text(), nullable=False),
        sa.Column("amount_usd", sa.Numeric(precision=30, scale=12), nullable=True),
        sa.Column("usd_rate", sa.Numeric(precision=30, scale=12), nullable=True),
        sa.Column("usd_rate_source", sa.Text(), nullable=True),
        sa.Column("tx_hash", sa.Text(), nullable=True),
        sa.Column("block_number", sa.BigInteger(), nullable=True),
        sa.Column("confirmations", sa.Integer(), nullable=False),
        sa.Column("transaction_time", MOMENT, nullable=True),
        sa.Column("period_start", MOMENT, nullable=True),
        sa.Column("period_end", MOMENT, nullable=True),
        sa.Column("total_requests", sa.BigInteger(), nullable=True),
        sa.Column("total_compute_time_seconds", sa.BigInteger(), nullable=True),
        sa.Column("is_confirmed", sa.Boolean(), nullable=False),
        sa.Column("signing_id", sa.UUID(), nullable=True),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("held_reason", sa.Text(), nullable=True),
        sa.Column("looked_at", MOMENT, nullable=True),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("confirmed_at", MOMENT, nullable=True),
        sa.CheckConstraint("amount_minor > 0", name=op.f("ck_payouts_positive")),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_payouts_account_id")),
        sa.ForeignKeyConstraint(["signing_id"], ["payout_signings.id"], name=op.f("fk_payouts_signing_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_payouts")),
        sa.UniqueConstraint("number", name=op.f("uq_payouts_number")),
        sa.UniqueConstraint("reference", name=op.f("uq_payouts_reference")),
    )
    op.create_index("ix_payouts_account_number", "payouts", ["account_id", "number"])
    op.create_index(op.f("ix_payouts_created_at"), "payouts", ["created_at"])
    op.create_index(
        "ix_payouts_open",
        "payouts",
        ["chain", "number"],
        postgresql_where=sa.text("origin = 'engine' AND state IN ('created', 'signed', 'sent', 'expired')"),
    )
    op.create_index("ix_payouts_participant_number", "payouts", ["participant_id", "number"])
    op.create_index(
        "ix_payouts_recorded_hash",
        "payouts",
        ["chain", "tx_hash"],
        unique=True,
        postgresql_where=sa.text("origin = 'recorded'"),
    )
    op.create_index(op.f("ix_payouts_transaction_time"), "payouts", ["transaction_time"])
    op.create_index(op.f("ix_payouts_tx_hash"), "payouts", ["tx_hash"])
    op.create_index(
        "ix_payouts_unconfirmed_records",
        "payouts",
        ["created_at"],
        postgresql_where=sa.text("origin = 'recorded' AND state <> 'confirmed'"),
    )
    op.create_table(
        "payout_differences",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("chain", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("reference", sa.Text(), nullable=False),
        sa.Column("tx_hash", sa.Text(), nullable=True),
        sa.Column("payout_id", sa.UUID(), nullable=True),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("found_at", MOMENT, nullable=False),
        sa.Column("acknowledged_at", MOMENT, nullable=True),
        sa.Column("acknowledged_by", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["payout_id"], ["payouts.id"], name=op.f("fk_payout_differences_payout_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_payout_differences")),
        sa.UniqueConstraint("reference", name=op.f("uq_payout_differences_reference")),
    )
    op.create_index(
        "ix_payout_differences_open",
        "payout_differences",
        ["chain", "source"],
        postgresql_where=sa.text("acknowledged_at IS NULL"),
    )
    op.create_table(
        "payout_signing_items",
        sa.Column("signing_id", sa.UUID(), nullable=False),
        sa.Column("ordinal", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("payout_id", sa.UUID(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["payout_id"], ["payouts.id"], name=op.f("fk_payout_signing_items_payout_id")),
        sa.ForeignKeyConstraint(
            ["signing_id"], ["payout_signings.id"], name=op.f("fk_payout_signing_items_signing_id")
        ),
        sa.PrimaryKeyConstraint("signing_id", "ordinal", name=op.f("pk_payout_signing_items")),
    )
    op.create_index(op.f("ix_payout_signing_items_payout_id"), "payout_signing_items", ["payout_id"])


def downgrade() -> None:
    for table in TABLES:
        op.drop_table(table)
