"""What can be followed of a compute task: changes of its states, lines of its log, samples of what it uses."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0033"
down_revision = "0032"
branch_labels = None
depends_on = None

# Whoever changes a task's states has locked the job, then the unit; the stream's row comes last, here as everywhere.
# A change that says nothing new (two of the tables were changed for one reason) is not written down again, and nothing follows
# the end of the job.
_NOTE = """
CREATE FUNCTION note_task_change() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    of_job uuid;
    number bigint;
    now_is record;
BEGIN
    IF TG_TABLE_NAME = 'jobs' THEN of_job := NEW.id; ELSE of_job := NEW.job_id; END IF;
    IF TG_TABLE_NAME = 'tasks' THEN
        INSERT INTO task_streams (job_id, changes, lines, lines_cut, lines_lost, kept_bytes)
            VALUES (of_job, 0, 0, 0, 0, 0);
    END IF;
    SELECT changes INTO number FROM task_streams WHERE job_id = of_job FOR NO KEY UPDATE;
    IF number IS NULL THEN RETURN NULL; END IF;
    SELECT j.payment_state, coalesce(u.state, 'queued') AS unit_state, j.state AS job_state, j.reason_code,
            coalesce(u.progress, 0) AS progress
        INTO now_is FROM jobs j LEFT JOIN work_units u ON u.job_id = j.id AND u.ordinal = 0 WHERE j.id = of_job;
    PERFORM 1 FROM task_changes c WHERE c.job_id = of_job AND c.sequence = number AND c.job_state = now_is.job_state
        AND (c.job_state NOT IN ('open', 'paused') OR (c.unit_state = now_is.unit_state AND c.progress = now_is.progress));
    IF FOUND THEN RETURN NULL; END IF;
    UPDATE task_streams SET changes = number + 1,
        kept_since = CASE WHEN now_is.job_state IN ('open', 'paused') THEN NULL ELSE clock_timestamp() END
        WHERE job_id = of_job;
    INSERT INTO task_changes (job_id, sequence, payment_state, unit_state, job_state, reason_code, progress, noted_at)
        VALUES (of_job, number + 1, now_is.payment_state, now_is.unit_state, now_is.job_state, now_is.reason_code,
            now_is.progress, clock_timestamp());
    DELETE FROM task_changes WHERE job_id = of_job AND sequence <= number + 1 - 1000;
    RETURN NULL;
END $$
"""
TRIGGERS = {
    "note_task": ("tasks", "INSERT", ""),
    "note_task_job": ("jobs", "UPDATE OF state", "WHEN (NEW.kind = 'task' AND OLD.state <> NEW.state) "),
    "note_task_unit": (
        "work_units",
        "UPDATE OF state, progress",
        "WHEN (NEW.kind = 'container' AND (OLD.state <> NEW.state OR OLD.progress <> NEW.progress)) ",
    ),
}


def upgrade() -> None:
    op.create_table(
        "task_streams",
        sa.Column("job_id", sa.UUID(), nullable=False),
        *(
            sa.Column(name, sa.BigInteger(), nullable=False)
            for name in ("changes", "lines", "lines_cut", "lines_lost", "kept_bytes")
        ),
        sa.Column("kept_since", sa.DateTime(timezone=True)),
        sa.ForeignKeyConstraint(["job_id"], ["tasks.job_id"], name="fk_task_streams_job_id"),
        sa.PrimaryKeyConstraint("job_id", name="pk_task_streams"),
    )
    is_over = sa.text("kept_since IS NOT NULL")
    op.create_index("ix_task_streams_kept_since", "task_streams", ["kept_since"], postgresql_where=is_over)
    op.create_table(
        "task_changes",
        sa.Column("job_id", sa.UUID(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("payment_state", sa.Text(), nullable=False),
        sa.Column("unit_state", sa.Text(), nullable=False),
        sa.Column("job_state", sa.Text(), nullable=False),
        sa.Column("reason_code", sa.Text()),
        sa.Column("progress", sa.Float(), nullable=False),
        sa.Column("noted_at", sa.DateTime(timezone=True), nullable=False),
        *_of_stream("task_changes", "job_id", "sequence"),
    )
    op.create_table(
        "task_log_marks",
        sa.Column("attempt_id", sa.UUID(), nullable=False),
        sa.Column("job_id", sa.UUID(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        *_of_stream("task_log_marks", "attempt_id"),
    )
    op.create_index("ix_task_log_marks_job_id", "task_log_marks", ["job_id"])
    op.create_table(
        "task_log_lines",
        sa.Column("job_id", sa.UUID(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("logged_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("level", sa.Text(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("size_bytes", sa.Integer(), nullable=False),
        *_of_stream("task_log_lines", "job_id", "sequence"),
    )
    op.create_table(
        "task_samples",
        sa.Column("job_id", sa.UUID(), nullable=False),
        sa.Column("sampled_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("figures", postgresql.JSONB(), nullable=False),
        *_of_stream("task_samples", "job_id", "sampled_at"),
    )
    op.execute(_NOTE)
    for name, (table, event, condition) in TRIGGERS.items():
        op.execute(f"CREATE TRIGGER {name} AFTER {event} ON {table} FOR EACH ROW {condition}EXECUTE FUNCTION note_task_change()")


def _of_stream(table: str, *key: str) -> tuple[sa.Constraint, ...]:
    stream = sa.ForeignKeyConstraint(["job_id"], ["task_streams.job_id"], name=f"fk_{table}_job_id", ondelete="CASCADE")
    return stream, sa.PrimaryKeyConstraint(*key, name=f"pk_{table}")


def downgrade() -> None:
    for name, (table, _, _) in TRIGGERS.items():
        op.execute(f"DROP TRIGGER {name} ON {table}")
    op.execute("DROP FUNCTION note_task_change()")
    for table in ("task_samples", "task_log_lines", "task_log_marks", "task_changes", "task_streams"):
        op.drop_table(table)
