"""Trees over the ledger's entries, their anchors on a chain, and a role that can post to the ledger but change nothing in it.

A role is the cluster's, not the database's: it is made where it is missing, and goes when no other database uses it. Where the
migrating user may not make roles, the operator makes it (docs/deploying.md) and the next step up or a second run grants.
"""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0011"
branch_labels = None
depends_on = None

ROLE = "lightyard_app"
APPEND_ONLY = "transfers, entries, entry_numbers"
ANCHORS = "anchor_batches, anchor_attempts"
# An anchor's transaction has a life; what was anchored has none.
CHANGING = {
    "anchor_batches": "state, chain_id, sender, nonce, tx_hash, block_number, block_hash, confirmed_at, finalized_at, reorgs",
    "anchor_attempts": "times_sent, sent_at, answer",
}


def upgrade() -> None:
    op.create_table(
        "anchor_batches",
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("first_number", sa.BigInteger(), nullable=False),
        sa.Column("last_number", sa.BigInteger(), nullable=False),
        sa.Column("tree_size", sa.Integer(), nullable=False),
        sa.Column("root", sa.LargeBinary(), nullable=False),
        sa.Column("leaves", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("chain_id", sa.BigInteger(), nullable=True),
        sa.Column("sender", sa.Text(), nullable=True),
        sa.Column("nonce", sa.BigInteger(), nullable=True),
        sa.Column("tx_hash", sa.Text(), nullable=True),
        sa.Column("block_number", sa.BigInteger(), nullable=True),
        sa.Column("block_hash", sa.Text(), nullable=True),
        sa.Column("confirmed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finalized_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("reorgs", sa.Integer(), nullable=False),
        sa.CheckConstraint(
            "last_number = first_number + tree_size - 1 AND tree_size > 0", name=op.f("ck_anchor_batches_whole")
        ),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_anchor_batches")),
        sa.UniqueConstraint("chain_id", "sender", "nonce", name=op.f("uq_anchor_batches_chain_id_sender_nonce")),
        sa.UniqueConstraint("first_number", name=op.f("uq_anchor_batches_first_number")),
        sa.UniqueConstraint("last_number", name=op.f("uq_anchor_batches_last_number")),
    )
    op.create_index(op.f("ix_anchor_batches_created_at"), "anchor_batches", ["created_at"], unique=False)
    op.create_index(
        "ix_anchor_batches_unfinished", "anchor_batches", ["number"], postgresql_where=sa.text("state <> 'final'")
    )
    op.create_table(
        "anchor_attempts",
        sa.Column("batch_number", sa.BigInteger(), nullable=False),
        sa.Column("ordinal", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("chain_id", sa.BigInteger(), nullable=False),
        sa.Column("sender", sa.Text(), nullable=False),
        sa.Column("nonce", sa.BigInteger(), nullable=False),
        sa.Column("raw", sa.LargeBinary(), nullable=False),
        sa.Column("tx_hash", sa.Text(), nullable=False),
        sa.Column("most_fee_wei", sa.BigInteger(), nullable=False),
        sa.Column("priority_fee_wei", sa.BigInteger(), nullable=False),
        sa.Column("signed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("times_sent", sa.Integer(), nullable=False),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("answer", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["batch_number"], ["anchor_batches.number"], name=op.f("fk_anchor_attempts_batch_number")
        ),
        sa.PrimaryKeyConstraint("batch_number", "ordinal", name=op.f("pk_anchor_attempts")),
        sa.UniqueConstraint("chain_id", "tx_hash", name=op.f("uq_anchor_attempts_chain_id_tx_hash")),
    )
    for table in ANCHORS.split(", "):
        op.execute(
            f"CREATE TRIGGER append_only BEFORE DELETE OR TRUNCATE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
        )
    _make_role()
    _grant()


def _make_role() -> None:
    """Two migrations at once, in two databases of one cluster, may both want to make it."""
    op.execute(f"""
        DO $$ BEGIN
            IF NOT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = '{ROLE}') THEN CREATE ROLE {ROLE} NOLOGIN; END IF;
        EXCEPTION
            WHEN duplicate_object OR unique_violation THEN NULL;
            WHEN insufficient_privilege THEN
                RAISE WARNING 'role {ROLE} is missing and % may not make it: see docs/deploying.md', current_user;
        END $$""")


def _grant() -> None:
    """Everything but what would change the books; tables that later steps make are covered by the default privileges."""
    columns = "".join(f"GRANT UPDATE ({names}) ON {table} TO {ROLE};\n" for table, names in CHANGING.items())
    op.execute(f"""
        DO $$ BEGIN
            IF NOT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = '{ROLE}') THEN RETURN; END IF;
            GRANT USAGE ON SCHEMA public TO {ROLE};
            GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {ROLE};
            GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public TO {ROLE};
            ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO {ROLE};
            ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT USAGE, SELECT ON SEQUENCES TO {ROLE};
            REVOKE UPDATE, DELETE ON {APPEND_ONLY}, {ANCHORS} FROM {ROLE};
            REVOKE INSERT, UPDATE, DELETE ON alembic_version FROM {ROLE};
            {columns}
        END $$""")


def downgrade() -> None:
    op.drop_table("anchor_attempts")
    op.drop_table("anchor_batches")
    op.execute(f"""
        DO $$ BEGIN
            IF NOT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = '{ROLE}') THEN RETURN; END IF;
            REVOKE ALL ON ALL TABLES IN SCHEMA public FROM {ROLE};
            REVOKE ALL ON ALL SEQUENCES IN SCHEMA public FROM {ROLE};
            REVOKE USAGE ON SCHEMA public FROM {ROLE};
            ALTER DEFAULT PRIVILEGES IN SCHEMA public REVOKE ALL ON TABLES FROM {ROLE};
            ALTER DEFAULT PRIVILEGES IN SCHEMA public REVOKE ALL ON SEQUENCES FROM {ROLE};
            BEGIN
                DROP ROLE {ROLE};
            EXCEPTION WHEN dependent_objects_still_exist OR insufficient_privilege THEN NULL;  -- another database's
            END;
        END $$""")
