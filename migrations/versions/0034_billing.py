"""How accounts pay, invoices that nobody changes, and a payer's own word for a payment."""

import sqlalchemy as sa
from alembic import op

revision = "0034"
down_revision = "0033"
branch_labels = None
depends_on = None

FIXED = ("invoices", "invoice_lines")
ROLE = "lightyard_app"


def upgrade() -> None:
    op.add_column("payments", sa.Column("note", sa.Text()))
    op.create_table(
        "payment_methods",
        sa.Column("account_id", sa.UUID(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("is_topped_up", sa.Boolean(), nullable=False),
        sa.Column("topup_below_minor", sa.BigInteger()),
        sa.Column("topup_minor", sa.BigInteger()),
        sa.Column("topup_payment_id", sa.UUID()),
        sa.Column("billing_details", sa.Text()),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "NOT is_topped_up OR (topup_minor > 0 AND topup_below_minor > 0)", name="ck_payment_methods_topup_whole"
        ),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name="fk_payment_methods_account_id"),
        sa.ForeignKeyConstraint(["topup_payment_id"], ["payments.id"], name="fk_payment_methods_topup_payment_id"),
        sa.PrimaryKeyConstraint("account_id", name="pk_payment_methods"),
    )
    op.create_index(
        "ix_payment_methods_topped_up", "payment_methods", ["account_id"], postgresql_where=sa.text("is_topped_up")
    )
    op.create_table(
        "invoice_counters",
        sa.Column("account_id", sa.UUID(), nullable=False),
        sa.Column("last_number", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name="fk_invoice_counters_account_id"),
        sa.PrimaryKeyConstraint("account_id", name="pk_invoice_counters"),
    )
    op.create_table(
        "invoices",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("account_id", sa.UUID(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("asset", sa.Text(), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("lines", sa.Integer(), nullable=False),
        sa.Column("period_start", sa.DateTime(timezone=True), nullable=False),
        sa.Column("period_end", sa.DateTime(timezone=True), nullable=False),
        sa.Column("seller", sa.Text(), nullable=False),
        sa.Column("buyer", sa.Text(), nullable=False),
        sa.Column("issued_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name="fk_invoices_account_id"),
        sa.PrimaryKeyConstraint("id", name="pk_invoices"),
        sa.UniqueConstraint("account_id", "number", name="uq_invoices_account_id_number"),
    )
    op.create_table(
        "invoice_lines",
        sa.Column("invoice_id", sa.UUID(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False, autoincrement=False),
        sa.Column("hold_id", sa.UUID(), nullable=False),
        sa.Column("job_id", sa.UUID(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("seconds", sa.Integer(), nullable=False),
        sa.Column("price_minor", sa.BigInteger(), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True)),
        sa.Column("charged_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["invoice_id"], ["invoices.id"], name="fk_invoice_lines_invoice_id"),
        sa.ForeignKeyConstraint(["hold_id"], ["task_holds.id"], name="fk_invoice_lines_hold_id"),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name="fk_invoice_lines_job_id"),
        sa.PrimaryKeyConstraint("invoice_id", "position", name="pk_invoice_lines"),
        sa.UniqueConstraint("hold_id", name="uq_invoice_lines_hold_id"),
    )
    op.create_index(
        "ix_task_holds_captured", "task_holds", ["ended_at"], postgresql_where=sa.text("state = 'captured'")
    )
    op.execute("""
        CREATE FUNCTION refuse_change_of_invoice() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN RAISE EXCEPTION 'an invoice is never changed: % on % is refused', TG_OP, TG_TABLE_NAME; END $$""")
    for table in FIXED:
        op.execute(
            f"CREATE TRIGGER never_changed BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change_of_invoice()"
        )
    op.execute(f"""
        DO $$ BEGIN
            IF EXISTS (SELECT 1 FROM pg_roles WHERE rolname = '{ROLE}') THEN
                REVOKE UPDATE, DELETE ON {", ".join(FIXED)} FROM {ROLE};
            END IF;
        END $$""")


def downgrade() -> None:
    op.drop_index("ix_task_holds_captured", "task_holds")
    for table in ("invoice_lines", "invoices", "invoice_counters", "payment_methods"):
        op.drop_table(table)
    op.execute("DROP FUNCTION refuse_change_of_invoice()")
    op.drop_column("payments", "note")
