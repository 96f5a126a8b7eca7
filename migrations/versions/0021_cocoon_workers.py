"""Cocoon workers, what they said last, and their history: samples, five minutes, hours, and hours of days that are over."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None

HISTORY = ("samples", "steps", "hours", "past_hours")


def upgrade() -> None:
    op.create_table(
        "cocoon_workers",
        sa.Column("id", sa.Integer(), sa.Identity(), nullable=False),
        sa.Column("participant_id", sa.Integer(), nullable=False),
        sa.Column("worker_name", sa.Text(), nullable=False),
        sa.Column("instance_number", sa.Integer(), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("stats_port", sa.Integer(), nullable=False),
        sa.Column("cid", sa.Text(), nullable=True),
        sa.Column("is_active", sa.Boolean(), nullable=False),
        sa.Column("coefficient", sa.Integer(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["participant_id"], ["participants.id"], name="fk_cocoon_workers_participant_id"),
        sa.PrimaryKeyConstraint("id", name="pk_cocoon_workers"),
    )
    op.create_index("ix_cocoon_workers_participant_id", "cocoon_workers", ["participant_id"])
    _create_states()
    for name in HISTORY:
        _create_history(f"cocoon_worker_{name}", is_sorted_by_time=name != "hours")


def _create_states() -> None:
    counters = ("requests", "success", "failed")
    op.create_table(
        "cocoon_worker_states",
        sa.Column("worker_id", sa.Integer(), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        *(sa.Column(name, sa.DateTime(timezone=True), nullable=True) for name in ("polled_at", "seen_at", "checked_at")),
        sa.Column("status", sa.Text(), nullable=True),
        sa.Column("reasons", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("told_active", sa.Boolean(), nullable=True),
        sa.Column("said_coefficient", sa.Integer(), nullable=True),
        *(sa.Column(f"said_{name}", sa.BigInteger(), nullable=True) for name in counters),
        sa.Column("said_time_seconds", sa.Double(), nullable=True),
        *(sa.Column(name, sa.BigInteger(), nullable=True) for name in counters),
        sa.Column("time_seconds", sa.Double(), nullable=True),
        sa.Column("revenue_nano", sa.BigInteger(), nullable=True),
        sa.Column("earned", postgresql.JSONB(), nullable=False),
        sa.Column("latency_seconds", sa.Double(), nullable=True),
        sa.Column("gpus", postgresql.JSONB(), nullable=True),
        sa.Column("errors", postgresql.JSONB(), nullable=False),
        sa.ForeignKeyConstraint(
            ["worker_id"], ["cocoon_workers.id"], name="fk_cocoon_worker_states_worker_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("worker_id", name="pk_cocoon_worker_states"),
        postgresql_with={"fillfactor": "60"},  # each row changes every poll: its new version finds room beside the old one
    )
    op.create_index("ix_cocoon_worker_states_due_at", "cocoon_worker_states", ["due_at"])


def _create_history(table: str, is_sorted_by_time: bool) -> None:
    op.create_table(
        table,
        sa.Column("worker_id", sa.Integer(), nullable=False, autoincrement=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("samples", sa.Integer(), nullable=False),
        sa.Column("answered", sa.Integer(), nullable=False),
        sa.Column("level", sa.SmallInteger(), nullable=False),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in ("requests", "success", "failed")),
        sa.Column("time_seconds", sa.Double(), nullable=False),
        sa.Column("revenue_nano", sa.BigInteger(), nullable=False),
        sa.Column("gpu_samples", sa.Integer(), nullable=False),
        sa.Column("gpu_utilization", sa.Double(), nullable=True),
        sa.Column("gpu_memory_gb", sa.Double(), nullable=True),
        sa.Column("gpu_celsius", sa.REAL(), nullable=True),
        sa.Column("gpu_watts", sa.Double(), nullable=True),
        sa.Column("total_requests", sa.BigInteger(), nullable=True),
        sa.Column("total_revenue_nano", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("worker_id", "at", name=f"pk_{table}"),
    )
    op.create_index(f"ix_{table}_at", table, ["at"], postgresql_using="brin" if is_sorted_by_time else "btree")


def downgrade() -> None:
    for name in HISTORY[::-1]:
        op.drop_table(f"cocoon_worker_{name}")
    op.drop_table("cocoon_worker_states")
    op.drop_table("cocoon_workers")
