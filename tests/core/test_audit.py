"""The audit finds what was done to the books behind their back."""

import pytest
from sqlalchemy import text

from app.core import audit
from app.db import Database
from tests.core.test_ledger import funded

TAMPERING = {
    "an amount": "UPDATE entries SET amount_minor = amount_minor + 1 WHERE id = (SELECT id FROM entries LIMIT 1)",
    "a leg": "DELETE FROM entry_numbers; DELETE FROM entries WHERE direction = 'DEBIT'",
    "a balance": "UPDATE ledger_accounts SET balance_minor = balance_minor + 1 WHERE balance_minor IS NOT NULL",
    "a running balance": "UPDATE entries SET balance_after_minor = balance_after_minor + 1 WHERE balance_after_minor IS NOT NULL",
}


@pytest.mark.parametrize("what", TAMPERING)
def test_a_change_behind_the_books_back_is_found(database: Database, what: str) -> None:
    funded(database, 5)
    funded(database, 7)
    with database.unit_of_work() as session:
        for table in ("transfers", "entries", "entry_numbers"):
            session.execute(text(f"ALTER TABLE {table} DISABLE TRIGGER append_only"))
        for statement in TAMPERING[what].split("; "):
            session.execute(text(statement))
    with database.unit_of_work() as session:
        first, count = audit.number_entries(session)
        assert (first, count) == (1, 2 if what == "a leg" else 4)
    with database.unit_of_work() as session:
        assert audit.differences_since(session, first) != []
        if what != "a running balance":  # what only the running check sees
            assert audit.differences(session) != []


def test_an_entry_that_commits_late_is_numbered_by_the_whole_audit(database: Database) -> None:
    funded(database, 5)
    with database.unit_of_work() as session:
        assert audit.number_entries(session, look_back=1) == (1, 1)
        assert audit.number_entries(session, look_back=1) == (2, 0)
        assert audit.number_entries(session, look_back=2**62) == (2, 1)
