"""What a unit of a render needs of a machine, memory and engine, and what each node says that it has."""

import sqlalchemy as sa
from alembic import op

revision = "0045"
down_revision = "0043"
branch_labels = None
depends_on = None

UNITS, NODES, COLUMN = "work_units", "nodes", "memory_bytes"
ENGINE, ENGINES = "engine", "engines"
# A node may have said anything.
SAID = """
UPDATE nodes SET memory_bytes = (machine ->> 'memory_bytes')::numeric
WHERE CASE WHEN jsonb_typeof(machine -> 'memory_bytes') = 'number'
    THEN (machine ->> 'memory_bytes')::numeric BETWEEN 1 AND 9223372036854775807 ELSE false END
"""
SAID_ENGINES = """
UPDATE nodes SET engines = ARRAY(SELECT jsonb_array_elements_text(machine -> 'engines'))
WHERE jsonb_typeof(machine -> 'engines') = 'array'
"""


def upgrade() -> None:
    op.add_column(UNITS, sa.Column(COLUMN, sa.BigInteger()))
    op.add_column(NODES, sa.Column(COLUMN, sa.BigInteger()))
    op.execute(SAID)
    op.add_column(UNITS, sa.Column(ENGINE, sa.Text()))
    op.add_column(NODES, sa.Column(ENGINES, sa.ARRAY(sa.Text())))
    op.execute(SAID_ENGINES)


def downgrade() -> None:
    op.drop_column(NODES, ENGINES)
    op.drop_column(UNITS, ENGINE)
    op.drop_column(NODES, COLUMN)
    op.drop_column(UNITS, COLUMN)
