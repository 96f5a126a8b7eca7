"""API keys remember the newest version of wallets' signatures; enterprises have a number of requests of their own."""

import sqlalchemy as sa
from alembic import op

revision = "0031"
down_revision = "0030"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("api_keys", sa.Column("signature_version", sa.Integer(), nullable=False, server_default="1"))
    op.add_column("accounts", sa.Column("requests_per_minute", sa.Integer()))
    op.create_check_constraint("ck_accounts_requests_per_minute_positive", "accounts", "requests_per_minute > 0")


def downgrade() -> None:
    op.drop_constraint("ck_accounts_requests_per_minute_positive", "accounts", type_="check")
    op.drop_column("accounts", "requests_per_minute")
    op.drop_column("api_keys", "signature_version")
