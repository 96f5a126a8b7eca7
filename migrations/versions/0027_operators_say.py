"""What operators say of keys and nodes: when a key ends by itself, and that a node gets nothing new."""

import sqlalchemy as sa
from alembic import op

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("api_keys", sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("nodes", sa.Column("drained_at", sa.DateTime(timezone=True), nullable=True))


def downgrade() -> None:
    op.drop_column("nodes", "drained_at")
    op.drop_column("api_keys", "expires_at")
