"""Compute tasks, and what is held for them."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0030"
down_revision = "0029"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "tasks",
        sa.Column("job_id", sa.UUID(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("docker_image", sa.Text(), nullable=False),
        sa.Column("command", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("environment", postgresql.JSONB(), nullable=False),
        sa.Column("has_network", sa.Boolean(), nullable=False),
        sa.Column("cpu_cores", sa.Numeric(9, 3), nullable=False),
        sa.Column("gpu_count", sa.Integer(), nullable=False),
        sa.Column("gpu_memory_gb", sa.Numeric(9, 3), nullable=False),
        sa.Column("ram_gb", sa.Numeric(9, 3), nullable=False),
        sa.Column("storage_gb", sa.Numeric(9, 3), nullable=False),
        sa.Column("location", sa.Text()),
        sa.Column("priority", sa.Text(), nullable=False),
        sa.Column("max_price_minor", sa.BigInteger(), nullable=False),
        sa.Column("timeout_seconds", sa.Integer(), nullable=False),
        sa.Column("provider_id", sa.UUID()),
        sa.Column("resource_id", sa.UUID()),
        sa.Column("container_id", sa.Text()),
        sa.Column("resource_usage", postgresql.JSONB()),
        sa.Column("exit_code", sa.Integer()),
        sa.Column("claimed_seconds", sa.Integer()),
        sa.Column("billed_seconds", sa.Integer()),
        sa.Column("billed_minor", sa.BigInteger()),
        sa.CheckConstraint("max_price_minor >= 0", name="ck_tasks_price_not_negative"),
        sa.CheckConstraint("timeout_seconds > 0", name="ck_tasks_timeout_positive"),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name="fk_tasks_job_id"),
        sa.ForeignKeyConstraint(["provider_id"], ["providers.id"], name="fk_tasks_provider_id"),
        sa.PrimaryKeyConstraint("job_id", name="pk_tasks"),
    )
    op.create_index(
        "ix_tasks_provider_id", "tasks", ["provider_id", "job_id"], postgresql_where=sa.text("provider_id IS NOT NULL")
    )
    op.create_table(
        "task_holds",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("job_id", sa.UUID(), nullable=False),
        sa.Column("account_id", sa.UUID(), nullable=False),
        sa.Column("asset", sa.Text(), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("provider_account_id", sa.UUID()),
        sa.Column("earned_minor", sa.BigInteger()),
        sa.Column("fee_minor", sa.BigInteger()),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True)),
        sa.CheckConstraint("amount_minor >= 0", name="ck_task_holds_not_negative"),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name="fk_task_holds_job_id"),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name="fk_task_holds_account_id"),
        sa.ForeignKeyConstraint(["provider_account_id"], ["accounts.id"], name="fk_task_holds_provider_account_id"),
        sa.PrimaryKeyConstraint("id", name="pk_task_holds"),
        sa.UniqueConstraint("job_id", name="uq_task_holds_job_id"),
    )
    for name in ("account_id", "provider_account_id"):
        op.create_index(f"ix_task_holds_{name}", "task_holds", [name])


def downgrade() -> None:
    op.drop_table("task_holds")
    op.drop_table("tasks")
