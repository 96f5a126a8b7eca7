"""Alembic's entry: `config.attributes["engine"]` from the caller (the CLI, the tests), else DATABASE_URL."""

from alembic import context

import app.models  # noqa: F401  makes every table known
from app.config import load
from app.db import Base, make_engine


def run() -> None:
    engine = context.config.attributes.get("engine") or make_engine(load())
    with engine.connect() as connection:
        context.configure(connection=connection, target_metadata=Base.metadata, compare_type=True)
        with context.begin_transaction():
            context.run_migrations()


run()
