"""Chains for anchors: whatever this machine has, and anvil, which can be told to misbehave. A chain and a signer for payouts."""

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from app.config import Settings
from app.db import Database, make_engine
from app.stack.postgres import Postgres
from tests.factories.chain_nodes import Node
from tests.factories.evm_chains import EvmChain, anvil_chain, any_chain
from tests.factories.payouts import SignerProcess, signer_process
from tests.factories.ton import ton_chain  # noqa: F401  a fixture


@pytest.fixture(scope="module")
def local_chain() -> Iterator[EvmChain]:
    with any_chain() as chain:
        yield chain


@pytest.fixture
def anvil() -> Iterator[EvmChain]:
    """Each transaction is mined at once."""
    with anvil_chain() as chain:
        yield chain


@pytest.fixture
def idle_anvil() -> Iterator[EvmChain]:
    """Blocks are made by `mine` only."""
    with anvil_chain("--no-mining") as chain:
        yield chain


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    """A local Solana whose slots move on command."""
    found = Node("--slot-ms", "0")
    yield found
    assert found.end() == (0, "")


@pytest.fixture
def signer(tmp_path: Path) -> Iterator[SignerProcess]:
    with signer_process(tmp_path) as found:
        yield found


class Backups:
    """`keep` copies the database as it is; what it returns gives a database over that copy, as a restore would."""

    def __init__(self, database: Database, postgres: Postgres) -> None:
        self._database, self._postgres, self._made = database, postgres, list[Database]()

    def keep(self) -> Callable[[], Database]:
        self._database.engine.dispose()
        source, name = self._database.engine.url.database, f"backup_{uuid.uuid4().hex}"
        with psycopg.connect(self._postgres.url, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE {source}")

        def restored() -> Database:
            self._made.append(Database(make_engine(Settings(database_url=self._postgres.database_url(name)))))
            return self._made[-1]

        return restored

    def end(self) -> None:
        for made in self._made:
            made.engine.dispose()


@pytest.fixture
def restore(database: Database, postgres: Postgres) -> Iterator[Backups]:
    found = Backups(database, postgres)
    yield found
    found.end()
