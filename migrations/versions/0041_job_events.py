"""What can be followed of a render: events that triggers write, and that readers number."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0041"
down_revision = "0040"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)

_BEGIN = """
CREATE FUNCTION begin_job_stream() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO job_streams (job_id, events, seed) VALUES (NEW.job_id, 0, gen_random_uuid());
    RETURN NULL;
END $$
"""
# The triggers below are deferred: they run at the commit, when all is as it stays, and lock nothing that anybody waits for.
# Several changes of one transaction are one event, and a change that says nothing new is none.
_NOTE_JOB = """
CREATE FUNCTION note_render() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    of_job uuid;
    now_is jsonb;
    before jsonb;
    so_far jsonb;
BEGIN
    IF TG_TABLE_NAME = 'jobs' THEN of_job := NEW.id; ELSE of_job := NEW.job_id; END IF;
    SELECT jsonb_build_object('payment_state', j.payment_state, 'job_state', j.state, 'has_begun', j.started_at IS NOT NULL,
            'reason', j.reason_code, 'message', j.error_message, 'priority', j.priority,
            'limit_minor', o.limit_minor, 'is_settled', o.settled_at IS NOT NULL),
        jsonb_build_object('asset', j.asset, 'completed', j.units_completed, 'total', j.units_total,
            'charged_minor', o.charged_minor)
        INTO now_is, so_far
        FROM jobs j JOIN render_orders o ON o.job_id = j.id JOIN job_streams s ON s.job_id = j.id WHERE j.id = of_job;
    IF now_is IS NULL THEN RETURN NULL; END IF;
    SELECT facts INTO before FROM job_events WHERE job_id = of_job AND kind = 'job' ORDER BY id DESC LIMIT 1;
    IF before @> now_is THEN RETURN NULL; END IF;
    INSERT INTO job_events (job_id, kind, facts, noted_at) VALUES (of_job, 'job', now_is || so_far, clock_timestamp());
    RETURN NULL;
END $$
"""
# What is cancelled is so because its job ended, which the job's event says for all of them at once.
_NOTE_UNIT = """
CREATE FUNCTION note_render_unit() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO job_events (job_id, kind, facts, noted_at)
        SELECT s.job_id, 'frame', jsonb_build_object('frame', NEW.frame, 'tile', NEW.tile, 'unit', NEW.kind,
            'status', CASE WHEN NEW.state IN ('assigned', 'rendering', 'uploaded') THEN 'rendering' ELSE NEW.state END,
            'attempts', NEW.fence, 'error', CASE WHEN NEW.state IN ('queued', 'failed') THEN a.error_code END,
            'seconds', least(u.seconds, round(extract(epoch FROM u.completed_at - a.started_at), 3)),
            'cost_minor', u.cost_minor, 'asset', j.asset, 'completed', j.units_completed, 'total', j.units_total,
            'charged_minor', o.charged_minor), clock_timestamp()
        FROM job_streams s JOIN render_orders o ON o.job_id = s.job_id JOIN jobs j ON j.id = s.job_id
        JOIN work_units u ON u.id = NEW.id
        LEFT JOIN attempts a ON a.unit_id = NEW.id AND a.fence = NEW.fence
        WHERE s.job_id = NEW.job_id;
    RETURN NULL;
END $$
"""
FUNCTIONS = {"begin_job_stream": _BEGIN, "note_render": _NOTE_JOB, "note_render_unit": _NOTE_UNIT}
_HELD = "('assigned', 'rendering', 'uploaded')"
# A node may take a unit and give it back for ever: only so many attempts at one are told, and how it ended.
TOLD_ATTEMPTS = 50
DEFERRED = {
    "note_render_order": ("render_orders", "INSERT", "", "note_render"),
    "note_render_money": (
        "render_orders",
        "UPDATE OF limit_minor, settled_at",
        "WHEN ((OLD.limit_minor, OLD.settled_at) IS DISTINCT FROM (NEW.limit_minor, NEW.settled_at))",
        "note_render",
    ),
    "note_render": (
        "jobs",
        "UPDATE OF state, payment_state, reason_code, error_message, priority, started_at",
        "WHEN (NEW.dialect = 'rnp019' AND (OLD.state, OLD.payment_state, OLD.reason_code, OLD.error_message, OLD.priority,"
        " OLD.started_at) IS DISTINCT FROM (NEW.state, NEW.payment_state, NEW.reason_code, NEW.error_message, NEW.priority,"
        " NEW.started_at))",
        "note_render",
    ),
    "note_render_unit": (
        "work_units",
        "UPDATE OF state",
        "WHEN (NEW.ordinal >= 0 AND NEW.kind <> 'container' AND OLD.state <> NEW.state AND NEW.state <> 'cancelled'"
        f" AND NOT (OLD.state IN {_HELD} AND NEW.state IN {_HELD})"
        f" AND (NEW.fence <= {TOLD_ATTEMPTS} OR NEW.state IN ('completed', 'failed')))",
        "note_render_unit",
    ),
}


def upgrade() -> None:
    _tables()
    for function in FUNCTIONS.values():
        op.execute(function)
    op.execute("CREATE TRIGGER begin_job_stream AFTER INSERT ON render_orders FOR EACH ROW EXECUTE FUNCTION begin_job_stream()")
    for name, (table, event, condition, function) in DEFERRED.items():
        op.execute(
            f"CREATE CONSTRAINT TRIGGER {name} AFTER {event} ON {table} DEFERRABLE INITIALLY DEFERRED FOR EACH ROW {condition}"
            f" EXECUTE FUNCTION {function}()"
        )
    op.execute("INSERT INTO job_streams (job_id, events, seed) SELECT job_id, 0, gen_random_uuid() FROM render_orders")


def _tables() -> None:
    op.create_table(
        "job_streams",
        sa.Column("job_id", sa.UUID(), nullable=False),
        sa.Column("events", sa.BigInteger(), nullable=False),
        sa.Column("seed", sa.UUID(), nullable=False),
        sa.Column("emptied_at", MOMENT),
        sa.ForeignKeyConstraint(["job_id"], ["render_orders.job_id"], name="fk_job_streams_job_id"),
        sa.PrimaryKeyConstraint("job_id", name="pk_job_streams"),
    )
    op.create_index("ix_job_streams_kept", "job_streams", ["job_id"], postgresql_where=sa.text("emptied_at IS NULL"))
    op.create_table(
        "job_events",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("job_id", sa.UUID(), nullable=False),
        sa.Column("sequence", sa.BigInteger()),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("facts", postgresql.JSONB(), nullable=False),
        sa.Column("noted_at", MOMENT, nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["job_streams.job_id"], name="fk_job_events_job_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_job_events"),
        sa.UniqueConstraint("job_id", "sequence", name="uq_job_events_job_id_sequence"),
    )
    for name, only in (("new", "sequence IS NULL"), ("of_job", "kind = 'job'")):
        op.create_index(f"ix_job_events_{name}", "job_events", ["job_id", "id"], postgresql_where=sa.text(only))


def downgrade() -> None:
    for name, (table, *_) in DEFERRED.items():
        op.execute(f"DROP TRIGGER {name} ON {table}")
    op.execute("DROP TRIGGER begin_job_stream ON render_orders")
    for name in FUNCTIONS:
        op.execute(f"DROP FUNCTION {name}()")
    op.drop_table("job_events")
    op.drop_table("job_streams")
