"""The migrations go up, down and up again, step by step, and end at what the models say."""

import psycopg
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, text

import app.models  # noqa: F401  fills Base.metadata
from app.config import Settings
from app.core import tallies
from app.db import Base, Database, make_engine
from app.stack.postgres import Postgres
from tests.conftest import alembic_config


def empty(postgres: Postgres, name: str) -> Database:
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return Database(make_engine(Settings(database_url=postgres.database_url(name))))


def differences(database: Database) -> list:
    with database.engine.connect() as connection:
        options = {"compare_type": True, "compare_server_default": False}
        return compare_metadata(MigrationContext.configure(connection, opts=options), Base.metadata)


def test_up_down_up_leaves_what_the_models_say(postgres: Postgres) -> None:
    database = empty(postgres, "migrations_whole")
    config = alembic_config(database)
    command.upgrade(config, "head")
    assert differences(database) == []
    command.downgrade(config, "base")
    assert inspect(database.engine).get_table_names() == ["alembic_version"]
    with database.engine.connect() as connection:
        left = connection.scalar(
            text("SELECT count(*) FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE n.nspname = 'public'")
        )
    assert left == 0, "a function was left behind"
    command.upgrade(config, "head")
    assert differences(database) == []
    database.engine.dispose()


def test_each_step_can_be_undone_alone(postgres: Postgres) -> None:
    database = empty(postgres, "migrations_steps")
    config = alembic_config(database)
    steps = [script.revision for script in ScriptDirectory.from_config(config).walk_revisions()][::-1]
    assert len(ScriptDirectory.from_config(config).get_heads()) == 1
    for revision in steps:
        command.upgrade(config, revision)
        command.downgrade(config, "-1")
        command.upgrade(config, revision)
    assert differences(database) == []
    database.engine.dispose()


def test_totals_begin_with_what_was_counted_before_there_were_any(postgres: Postgres) -> None:
    """0018 counts the past: paid jobs by how they ended, a replayed failure beside what came of it, credits used for good."""
    database = empty(postgres, "migrations_tallies")
    config = alembic_config(database)
    command.upgrade(config, str(ScriptDirectory.from_config(config).get_revision("0018").down_revision))
    job = """
        INSERT INTO jobs (id, dialect, kind, name, state, payment_state, settings, breakdown, price_minor, asset, priority, tier,
            units_total, units_completed, render_seconds, created_at, paid_at)
        VALUES (gen_random_uuid(), 'rendertrust', 'echo', '', '{0}', 'confirmed', '{{}}', '{{}}', 1, 'CREDIT', 0, 'priority',
            1, 0, 0, now(), {1}) RETURNING id"""
    with database.unit_of_work() as session:
        for state, paid_at in (("failed", "now()"), ("open", "now()"), ("cancelled", "NULL")):
            session.execute(text(job.format(state, paid_at)))
        done = session.execute(text(job.format("completed", "now()"))).scalar_one()
        letter = """INSERT INTO dead_letters (id, job_id, reason_code, error_message, attempts, created_at, replayed_at)
            VALUES (gen_random_uuid(), :job, 'X', '', 3, now(), now())"""
        session.execute(text(letter), {"job": done})
        owner = text("""
            INSERT INTO accounts (id, name, roles, rate_tier, is_active, created_at)
            VALUES (gen_random_uuid(), '', '{}', 'free', true, now()) RETURNING id""")
        hold = """INSERT INTO credit_holds (id, account_id, job_id, number, amount_minor, state, created_at)
            VALUES (gen_random_uuid(), :owner, :job, 2, 25000, 'captured', now())"""
        session.execute(text(hold), {"owner": session.execute(owner).scalar_one(), "job": done})
    command.upgrade(config, "0018")
    with database.unit_of_work() as session:
        found = {(item.name, *item.labels.values()): item.value for item in tallies.read(session, ("echo",)) if item.value}
    assert found == {
        ("jobs_dispatched", "echo"): 4,
        ("jobs_completed", "echo", "completed"): 1,
        ("jobs_completed", "echo", "failed"): 2,
        ("credits_consumed",): 2.5,
    }
    database.engine.dispose()
