"""Totals that survive restarts: jobs dispatched and ended, credits consumed."""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

# A replay of a dead letter pays a job again: it is dispatched once more. A quote that nobody paid was never dispatched.
TRIGGERS = {
    "tally_dispatched": ("jobs_dispatched", "INSERT", "NEW.paid_at IS NOT NULL"),
    "tally_paid": (
        "jobs_dispatched",
        "UPDATE OF paid_at",
        "NEW.paid_at IS NOT NULL AND NEW.paid_at IS DISTINCT FROM OLD.paid_at",
    ),
    "tally_ended": (
        "jobs_completed",
        "UPDATE OF state",
        "NEW.paid_at IS NOT NULL AND OLD.state IN ('open', 'paused') AND NEW.state IN ('completed', 'failed', 'cancelled')",
    ),
}
PAST = """
INSERT INTO tallies (name, job_type, status, amount)
SELECT 'jobs_dispatched', kind, '', count(*) FROM jobs WHERE paid_at IS NOT NULL GROUP BY kind
UNION ALL SELECT 'jobs_completed', kind, state, count(*) FROM jobs
    WHERE paid_at IS NOT NULL AND state IN ('completed', 'failed', 'cancelled') GROUP BY kind, state
UNION ALL SELECT 'jobs_dispatched', j.kind, '', count(*) FROM dead_letters d JOIN jobs j ON j.id = d.job_id
    WHERE d.replayed_at IS NOT NULL GROUP BY j.kind
UNION ALL SELECT 'jobs_completed', j.kind, 'failed', count(*) FROM dead_letters d JOIN jobs j ON j.id = d.job_id
    WHERE d.replayed_at IS NOT NULL GROUP BY j.kind
UNION ALL SELECT 'credits_consumed_minor', '', '', sum(amount_minor) FROM credit_holds
    WHERE state = 'captured' HAVING count(*) > 0
UNION ALL SELECT 'credits_consumed_minor', '', '', sum(amount_minor) FROM transfers
    WHERE asset = 'CREDIT' AND reference LIKE 'credits:user:%' HAVING count(*) > 0
"""


def upgrade() -> None:
    op.create_table(
        "tallies",
        sa.Column("id", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("job_type", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_tallies"),
    )
    op.execute("""
        CREATE FUNCTION tally_job() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            INSERT INTO tallies (name, job_type, status, amount)
            VALUES (TG_ARGV[0], NEW.kind, CASE TG_ARGV[0] WHEN 'jobs_completed' THEN NEW.state ELSE '' END, 1);
            RETURN NULL;
        END $$
    """)
    for trigger, (name, event, condition) in TRIGGERS.items():
        op.execute(
            f"CREATE TRIGGER {trigger} AFTER {event} ON jobs FOR EACH ROW WHEN ({condition}) EXECUTE FUNCTION tally_job('{name}')"
        )
    op.execute(PAST)  # after the triggers, which keep writers of jobs out until this commits: nothing is missed or counted twice


def downgrade() -> None:
    for trigger in TRIGGERS:
        op.execute(f"DROP TRIGGER {trigger} ON jobs")
    op.execute("DROP FUNCTION tally_job()")
    op.drop_table("tallies")
