"""The migrations go up, down and up again, step by step, and end at what the models say."""

import psycopg
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, text

import app.models  # noqa: F401  fills Base.metadata
from app.config import Settings
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
