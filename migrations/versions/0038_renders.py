"""Renders that agents order: their money, and units that wait until they may be handed out."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0038"
down_revision = "0036"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)
CLAIMABLE, ANYBODYS, TABLE = "ix_work_units_claimable", "ix_work_units_anybodys", "work_units"
ORDER = [sa.text("priority DESC"), "queued_at", "job_id", "ordinal"]


def upgrade() -> None:
    op.add_column(TABLE, sa.Column("tile", postgresql.JSONB()))
    op.add_column(TABLE, sa.Column("is_parked", sa.Boolean(), nullable=False, server_default=sa.text("false")))
    op.alter_column(TABLE, "is_parked", server_default=None)
    op.add_column(TABLE, sa.Column("cost_minor", sa.BigInteger()))
    _index_claims(" AND NOT is_parked")
    _orders()
    _holds()


def _index_claims(only: str) -> None:
    op.drop_index(CLAIMABLE, table_name=TABLE)
    op.drop_index(ANYBODYS, table_name=TABLE)
    claimable, anybodys = f"state = 'queued'{only}", f"state = 'queued' AND provider_id IS NULL{only}"
    op.create_index(CLAIMABLE, TABLE, ["capability", "provider_id", *ORDER], postgresql_where=sa.text(claimable))
    op.create_index(ANYBODYS, TABLE, ["capability", *ORDER], postgresql_where=sa.text(anybodys))


def _orders() -> None:
    op.create_table(
        "render_orders",
        sa.Column("job_id", sa.UUID(), nullable=False),
        sa.Column("account_id", sa.UUID(), nullable=False),
        sa.Column("mode", sa.Text(), nullable=False),
        sa.Column("rate", sa.Numeric(30, 12), nullable=False),
        sa.Column("rate_source", sa.Text(), nullable=False),
        sa.Column("price_per_hour_minor", sa.BigInteger(), nullable=False),
        sa.Column("bound_minor", sa.BigInteger(), nullable=False),
        sa.Column("max_amount_minor", sa.BigInteger()),
        sa.Column("limit_minor", sa.BigInteger(), nullable=False),
        sa.Column("charged_minor", sa.BigInteger(), nullable=False),
        sa.Column("window_units", sa.Integer(), nullable=False),
        sa.Column("allocation", postgresql.JSONB(), nullable=False),
        sa.Column("prompt", sa.Text()),
        sa.Column("settled_at", MOMENT),
        sa.CheckConstraint(
            "charged_minor >= 0 AND charged_minor <= limit_minor", name="ck_render_orders_charged_within_limit"
        ),
        sa.CheckConstraint("limit_minor <= bound_minor", name="ck_render_orders_limit_within_bound"),
        sa.CheckConstraint("window_units > 0", name="ck_render_orders_window_positive"),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name="fk_render_orders_job_id"),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name="fk_render_orders_account_id"),
        sa.PrimaryKeyConstraint("job_id", name="pk_render_orders"),
    )
    op.create_index("ix_render_orders_account_id", "render_orders", ["account_id"])


def _holds() -> None:
    op.create_table(
        "render_holds",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("job_id", sa.UUID(), nullable=False),
        sa.Column("account_id", sa.UUID(), nullable=False),
        sa.Column("asset", sa.Text(), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("ended_at", MOMENT),
        sa.CheckConstraint("amount_minor >= 0", name="ck_render_holds_not_negative"),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name="fk_render_holds_job_id"),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name="fk_render_holds_account_id"),
        sa.PrimaryKeyConstraint("id", name="pk_render_holds"),
        sa.UniqueConstraint("job_id", name="uq_render_holds_job_id"),
    )
    op.create_index("ix_render_holds_account_id", "render_holds", ["account_id"])


def downgrade() -> None:
    op.drop_table("render_holds")
    op.drop_table("render_orders")
    _index_claims("")
    for name in ("cost_minor", "is_parked", "tile"):
        op.drop_column(TABLE, name)
