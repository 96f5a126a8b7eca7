"""What a node saw when it opened a scene."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("scenes", sa.Column("report", postgresql.JSONB(), nullable=True))
    op.create_index(
        "ix_work_units_inspections",
        "work_units",
        ["provider_id"],
        postgresql_where=sa.text("kind = 'inspection' AND state IN ('queued', 'assigned', 'rendering', 'uploaded')"),
    )


def downgrade() -> None:
    op.drop_index("ix_work_units_inspections", table_name="work_units")
    op.drop_column("scenes", "report")
