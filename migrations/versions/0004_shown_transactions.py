"""Showing a transaction takes nothing away from its payer: what is unique is that it is booked."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

TABLE = "chain_transactions"


def upgrade() -> None:
    op.drop_constraint("uq_chain_transactions_chain_signature", TABLE, type_="unique")
    op.create_unique_constraint(
        "uq_chain_transactions_chain_signature_payment_id", TABLE, ["chain", "signature", "payment_id"]
    )
    booked = sa.text("state IN ('accepted', 'refundable')")
    op.create_index("ix_chain_transactions_booked", TABLE, ["chain", "signature"], unique=True, postgresql_where=booked)


def downgrade() -> None:
    op.execute(
        f"DELETE FROM {TABLE} a USING {TABLE} b WHERE a.chain = b.chain AND a.signature = b.signature AND a.id <> b.id"
        " AND a.state IN ('pending', 'refused') AND (b.state IN ('accepted', 'refundable') OR a.id > b.id)"
    )
    op.drop_index("ix_chain_transactions_booked", table_name=TABLE)
    op.drop_constraint("uq_chain_transactions_chain_signature_payment_id", TABLE, type_="unique")
    op.create_unique_constraint("uq_chain_transactions_chain_signature", TABLE, ["chain", "signature"])
