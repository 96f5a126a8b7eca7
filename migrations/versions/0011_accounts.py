"""Sign-ins, credits held for jobs, uploads, and what a transfer was for."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.add_column("transfers", sa.Column("purpose", sa.Text(), nullable=True))
    op.add_column("transfers", sa.Column("description", sa.Text(), nullable=True))
    _make_sign_ins()
    _make_credit_holds()
    _make_uploads()


def _make_sign_ins() -> None:
    op.create_table(
        "sign_ins",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("account_id", sa.UUID(), nullable=False),
        sa.Column("refresh_id", sa.UUID(), nullable=False),
        sa.Column("previous_refresh_id", sa.UUID(), nullable=True),
        sa.Column("rotated_at", MOMENT, nullable=False),
        sa.Column("expires_at", MOMENT, nullable=False),
        sa.Column("ended_at", MOMENT, nullable=True),
        sa.Column("end_reason", sa.Text(), nullable=True),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_sign_ins_account_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sign_ins")),
    )
    op.create_index(op.f("ix_sign_ins_account_id"), "sign_ins", ["account_id"])
    op.create_index(op.f("ix_sign_ins_expires_at"), "sign_ins", ["expires_at"])


def _make_credit_holds() -> None:
    op.create_table(
        "credit_holds",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("account_id", sa.UUID(), nullable=False),
        sa.Column("job_id", sa.UUID(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("operator_id", sa.UUID(), nullable=True),
        sa.Column("operator_minor", sa.BigInteger(), nullable=True),
        sa.Column("earned_minor", sa.BigInteger(), nullable=True),
        sa.Column("earned_asset", sa.Text(), nullable=True),
        sa.Column("rate", sa.Numeric(precision=30, scale=12), nullable=True),
        sa.Column("rate_source", sa.Text(), nullable=True),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("ended_at", MOMENT, nullable=True),
        sa.CheckConstraint("amount_minor >= 0", name=op.f("ck_credit_holds_not_negative")),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_credit_holds_account_id")),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_credit_holds_job_id")),
        sa.ForeignKeyConstraint(["operator_id"], ["accounts.id"], name=op.f("fk_credit_holds_operator_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_credit_holds")),
        sa.UniqueConstraint("job_id", "number", name=op.f("uq_credit_holds_job_id_number")),
    )
    op.create_index(op.f("ix_credit_holds_account_id"), "credit_holds", ["account_id"])
    op.create_index(
        "ix_credit_holds_held", "credit_holds", ["job_id"], unique=True, postgresql_where=sa.text("state = 'held'")
    )


def _make_uploads() -> None:
    op.create_table(
        "uploads",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("account_id", sa.UUID(), nullable=False),
        sa.Column("storage_key", sa.Text(), nullable=False),
        sa.Column("file_name", sa.Text(), nullable=False),
        sa.Column("content_type", sa.Text(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=True),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("expires_at", MOMENT, nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_uploads_account_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_uploads")),
    )
    op.create_index("ix_uploads_account_created", "uploads", ["account_id", "created_at"])


def downgrade() -> None:
    for table in ("uploads", "credit_holds", "sign_ins"):
        op.drop_table(table)
    op.drop_column("transfers", "description")
    op.drop_column("transfers", "purpose")
