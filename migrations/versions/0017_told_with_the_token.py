"""what a registration said of a known node waits with its token for the proof"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    op.add_column("node_tokens", sa.Column("told", postgresql.JSONB(), nullable=True))


def downgrade() -> None:
    op.drop_column("node_tokens", "told")
