"""which of a node's sockets on the relay is the newest, and whether it lives"""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    op.add_column("nodes", sa.Column("relay_epoch", sa.BigInteger(), nullable=False, server_default="0"))
    op.alter_column("nodes", "relay_epoch", server_default=None)
    op.add_column("nodes", sa.Column("relay_seen_at", sa.DateTime(timezone=True), nullable=True))


def downgrade() -> None:
    op.drop_column("nodes", "relay_seen_at")
    op.drop_column("nodes", "relay_epoch")
