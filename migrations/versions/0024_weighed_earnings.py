"""What Cocoon workers earned counts at the price coefficient of its own time, not at the one of the day it is proposed."""

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None

HISTORY = ("samples", "steps", "hours", "past_hours")
# What was earned so far is weighed as it was proposed until now.
_WEIGH = """
UPDATE cocoon_worker_{name} h SET weighed_nano = least(h.revenue_nano::numeric * coalesce(w.coefficient, s.said_coefficient, 1000)
    / 1000, 2::numeric ^ 58)
FROM cocoon_workers w LEFT JOIN cocoon_worker_states s ON s.worker_id = w.id WHERE w.id = h.worker_id AND h.revenue_nano > 0
"""


def upgrade() -> None:
    for name in HISTORY:
        table = f"cocoon_worker_{name}"
        op.add_column(table, sa.Column("weighed_nano", sa.BigInteger(), nullable=False, server_default="0"))
        op.execute(_WEIGH.format(name=name))
        op.alter_column(table, "weighed_nano", server_default=None)


def downgrade() -> None:
    for name in HISTORY:
        op.drop_column(f"cocoon_worker_{name}", "weighed_nano")
