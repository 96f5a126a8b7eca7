"""Real servers for the whole suite: one PostgreSQL and one Valkey, and an empty database for each test that asks."""

import gc
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import certifi
import psycopg
import pytest
import redis
from alembic import command
from alembic.config import Config

from app.config import Settings
from app.db import Database, make_engine
from app.stack.postgres import Postgres
from app.stack.valkey import Valkey
from tests.factories import stores
from tests.factories.databases import FAST, Databases
from tests.factories.ton import ton_chain as ton_chain

ROOT = Path(__file__).parent.parent
TEMPLATE = "lightyard_template"


def pytest_configure(config: pytest.Config) -> None:
    """One authority's certificate for this process and those it starts: nobody here is called over the internet, and to read all
    of them takes every HTTP client longer than what most tests do with it."""
    end = "-----END CERTIFICATE-----"
    folder = tempfile.TemporaryDirectory(prefix="lightyard-authority-")
    config.add_cleanup(folder.cleanup)
    path = Path(folder.name) / "authority.pem"
    path.write_text(certifi.contents().partition(end)[0] + end + "\n")
    os.environ["SSL_CERT_FILE"] = str(path)
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # the suite starts hundreds of processes: each would compile the hub again


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[object]:
    """No garbage is collected while modules are loaded; they stay to the end, and nobody looks through them again and again."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.collect()
        gc.freeze()
        gc.enable()


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Bytes do not name tests: they can't be read, and archives made in two processes differ by their time."""
    return argname if isinstance(val, bytes) else None


def alembic_config(database: Database) -> Config:
    config = Config()
    config.set_main_option("script_location", str(ROOT / "migrations"))
    config.attributes["engine"] = database.engine
    return config


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    folder = tmp_path_factory.mktemp("postgres")
    server = Postgres(folder, settings=FAST)
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    server = Valkey(tmp_path_factory.mktemp("valkey"))
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def template(postgres: Postgres) -> str:
    """A migrated database that every test's own is copied from."""
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {TEMPLATE}")
    database = Database(make_engine(Settings(database_url=postgres.database_url(TEMPLATE))))
    command.upgrade(alembic_config(database), "head")
    database.engine.dispose()
    return TEMPLATE


@pytest.fixture(scope="session")
def databases(postgres: Postgres, template: str) -> Iterator[Databases]:
    found = Databases(postgres, template)
    yield found
    found.close()


@pytest.fixture
def database_url(postgres: Postgres, databases: Databases) -> Iterator[str]:
    name = databases.take()
    yield postgres.database_url(name)
    databases.give_back(name)


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    found = Database(make_engine(Settings(database_url=database_url)))
    yield found
    found.engine.dispose()


@pytest.fixture
def redis_url(valkey: Valkey) -> str:
    redis.Redis.from_url(valkey.url).flushall()
    return valkey.url


@pytest.fixture(scope="session")
def moto_url() -> Iterator[str]:
    with stores.moto_server() as url:
        yield url


@pytest.fixture(scope="session")
def rados_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with stores.rados_server(tmp_path_factory.mktemp("ceph")) as url:
        yield url
