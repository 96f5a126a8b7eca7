"""The role that the hub's processes take on: it posts, numbers and anchors, and can change nothing in the ledger."""

import uuid
from collections.abc import Iterator

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from app.config import Settings
from app.core import audit
from app.db import Database, make_engine
from app.stack.stack import LEDGER_ROLE
from tests.factories.ledgers import as_superuser, build_trees, only_batch
from tests.factories.market import Marketplace

LEDGER = ("transfers", "entries", "entry_numbers")
FORBIDDEN = [
    *(f"{verb} {table}" for table in (*LEDGER, "anchor_batches", "anchor_attempts") for verb in ("DELETE FROM", "TRUNCATE")),
    "UPDATE transfers SET amount_minor = 1",
    "UPDATE entries SET direction = 'DEBIT'",
    "UPDATE entry_numbers SET number = number + 1",
    "UPDATE anchor_batches SET root = root",
    "UPDATE anchor_batches SET leaves = leaves",
    "UPDATE anchor_attempts SET raw = raw",
    "ALTER TABLE entries DISABLE TRIGGER append_only",
    "SET LOCAL session_replication_role = replica",
    "DROP TABLE entries CASCADE",
    "CREATE TABLE extra (id int)",
    "UPDATE alembic_version SET version_num = '0'",
]


@pytest.fixture
def limited(database_url: str) -> Iterator[Database]:
    found = Database(make_engine(Settings(database_url=database_url, database_role=LEDGER_ROLE)))
    yield found
    found.engine.dispose()


@pytest.mark.parametrize("statement", FORBIDDEN)
def test_the_role_is_refused(limited: Database, statement: str) -> None:
    with pytest.raises(DBAPIError, match="permission denied|must be owner"), limited.unit_of_work() as session:
        session.execute(text(statement))


@pytest.mark.parametrize("statement", FORBIDDEN[:13])
def test_not_because_of_the_triggers(database: Database, limited: Database, statement: str) -> None:
    with database.unit_of_work() as session:
        for table in (*LEDGER, "anchor_batches", "anchor_attempts"):
            session.execute(text(f"ALTER TABLE {table} DISABLE TRIGGER append_only"))
    with pytest.raises(DBAPIError, match="permission denied"), limited.unit_of_work() as session:
        session.execute(text(statement))


def test_the_marketplace_lives_with_it(limited: Database) -> None:
    market = Marketplace(limited)
    job_id = market.paid_job(3)
    assert len(market.claim(market.node("one"), 3)) == 3
    build_trees(limited, 1)
    assert only_batch(limited).tree_size == 4
    with limited.unit_of_work() as session:
        assert audit.differences(session) == []
        assert session.execute(text("SELECT state FROM jobs WHERE id = :id"), {"id": job_id}).scalar() == "open"


def test_tables_of_later_migrations_are_the_roles_too(database: Database, limited: Database) -> None:
    with database.unit_of_work() as session:
        session.execute(text("CREATE TABLE later (id uuid PRIMARY KEY)"))
    with limited.unit_of_work() as session:
        session.execute(text("INSERT INTO later VALUES (:id)"), {"id": uuid.uuid4()})
        session.execute(text("DELETE FROM later"))


def test_a_superuser_passes_trigger_and_role(database: Database) -> None:
    """What is left for `verify`: see tests/core/test_proofs.py."""
    build_trees(database, 1)
    as_superuser(database, "UPDATE entries SET amount_minor = amount_minor + 1")
    with database.unit_of_work() as session:
        assert audit.differences(session) != []
