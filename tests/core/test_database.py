"""A database that is away, or has no connection to spare, is Unavailable: asking again may help, and nothing was written."""

from dataclasses import replace

import pytest
from sqlalchemy import text

from app.config import Settings
from app.db import Database, make_engine
from app.errors import Unavailable


def test_a_server_that_is_away(database_url: str) -> None:
    away = Database(make_engine(Settings(database_url="postgresql://postgres@127.0.0.1:9/none")))
    with pytest.raises(Unavailable), away.unit_of_work() as session:
        session.execute(text("SELECT 1"))


def test_a_connection_that_the_server_ended(database: Database) -> None:
    with pytest.raises(Unavailable), database.unit_of_work() as session:
        session.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))
    with database.unit_of_work() as session:
        assert session.scalar(text("SELECT 1")) == 1


def test_no_connection_to_spare(database_url: str) -> None:
    settings = replace(Settings(database_url=database_url), database_pool_size=1)
    engine = make_engine(settings)
    engine.pool._timeout = 0.05  # type: ignore[attr-defined]  the pool's wait, which would be 30 s
    with engine.connect(), engine.connect():
        with pytest.raises(Unavailable, match="TimeoutError"), Database(engine).unit_of_work() as session:
            session.execute(text("SELECT 1"))
    engine.dispose()
