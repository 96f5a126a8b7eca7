"""Units offered to one node first, and dead letters."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_jobs_account_id_created_at", "jobs", ["account_id", "created_at"])
    op.drop_index("ix_jobs_account_id", table_name="jobs")
    op.add_column("work_units", sa.Column("offered_node_id", sa.UUID(), nullable=True))
    op.create_index(
        "ix_work_units_offered",
        "work_units",
        ["offered_node_id", "queued_at"],
        postgresql_where=sa.text("state = 'queued' AND offered_node_id IS NOT NULL"),
    )
    op.create_table(
        "dead_letters",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("job_id", sa.UUID(), nullable=False),
        sa.Column("reason_code", sa.Text(), nullable=False),
        sa.Column("error_message", sa.Text(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("replayed_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name="fk_dead_letters_job_id"),
        sa.PrimaryKeyConstraint("id", name="pk_dead_letters"),
    )
    op.create_index("ix_dead_letters_created_at", "dead_letters", ["created_at"])
    waiting = sa.text("replayed_at IS NULL")
    op.create_index("ix_dead_letters_waiting", "dead_letters", ["job_id"], unique=True, postgresql_where=waiting)


def downgrade() -> None:
    op.drop_table("dead_letters")
    op.drop_index("ix_work_units_offered", table_name="work_units")
    op.drop_column("work_units", "offered_node_id")
    op.create_index("ix_jobs_account_id", "jobs", ["account_id"])
    op.drop_index("ix_jobs_account_id_created_at", table_name="jobs")
