"""What a payment by x402 costs in fees, and whom it pays where that is not the hub."""

import sqlalchemy as sa
from alembic import op

revision = "0046"
down_revision = "0045"
branch_labels = None
depends_on = None

TABLE, INDEX = "x402_settlements", "ix_x402_settlements_payees"
COUNTED = sa.text("payee IS NOT NULL AND state <> 'refused'")
# Two signatures; what was offered for compute units on top of it was not kept. It stays: while an upgrade is under way, the
# version before this one goes on writing rows.
LEAST_FEE = "10000"
PAID_TO = "UPDATE x402_settlements s SET payee = p.pay_to FROM payments p WHERE p.id = s.payment_id AND p.purpose = 'job'"


def upgrade() -> None:
    op.add_column(TABLE, sa.Column("payee", sa.Text()))
    op.add_column(TABLE, sa.Column("fee_lamports", sa.BigInteger(), nullable=False, server_default=LEAST_FEE))
    op.execute(PAID_TO)
    op.create_index(INDEX, TABLE, ["created_at"], postgresql_include=["payee", "fee_lamports"], postgresql_where=COUNTED)


def downgrade() -> None:
    op.drop_index(INDEX, TABLE)
    op.drop_column(TABLE, "fee_lamports")
    op.drop_column(TABLE, "payee")
