"""what a registration said of a known node waits for the proof; when uploads were used, and given up"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0017"
down_revision = "0016"

# What jobs have worked on before anybody noted it counts as used now.
USED = """
UPDATE uploads u SET used_at = now() WHERE EXISTS (
    SELECT 1 FROM jobs j WHERE j.account_id = u.account_id AND j.settings->>'payload_key' = u.storage_key)
"""


def upgrade() -> None:
    op.add_column("node_tokens", sa.Column("told", postgresql.JSONB(), nullable=True))
    op.add_column("uploads", sa.Column("used_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("uploads", sa.Column("dropped_at", sa.DateTime(timezone=True), nullable=True))
    op.execute(USED)


def downgrade() -> None:
    op.drop_column("uploads", "dropped_at")
    op.drop_column("uploads", "used_at")
    op.drop_column("node_tokens", "told")
