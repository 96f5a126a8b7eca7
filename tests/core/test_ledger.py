import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from app.core import accounts, audit, ledger
from app.core.ledger import Party
from app.db import Database
from app.errors import Conflict, PaymentRequired
from app.values.money import Money


def funded(database: Database, minor: int) -> uuid.UUID:
    with database.unit_of_work() as session:
        owner = accounts.ensure_identity(session, "solana", uuid.uuid4().hex)
        ledger.post(session, Party("chain"), Party("balance", owner), Money(minor, "SOL"), f"fund:{owner}")
    return owner


def test_one_reference_posts_once_and_never_another_amount(database: Database) -> None:
    owner = funded(database, 100)
    for expected in (True, False):
        with database.unit_of_work() as session:
            spent = ledger.post(session, Party("balance", owner), Party("fees"), Money(30, "SOL"), "spend:1")
            assert spent is expected
    with pytest.raises(Conflict), database.unit_of_work() as session:
        ledger.post(session, Party("balance", owner), Party("fees"), Money(31, "SOL"), "spend:1")
    with database.unit_of_work() as session:
        assert ledger.balance(session, Party("balance", owner), "SOL").minor == 70
        assert ledger.balance(session, Party("fees"), "SOL").minor == 30
        assert ledger.balance(session, Party("chain"), "SOL").minor == -100
        assert audit.differences(session) == []


def test_a_balance_good_for_ten_serves_ten_of_fifty_at_once(database: Database) -> None:
    owner = funded(database, 10)

    def spend(index: int) -> bool:
        try:
            with database.unit_of_work() as session:
                return ledger.post(session, Party("balance", owner), Party("fees"), Money(1, "SOL"), f"race:{index}")
        except PaymentRequired:
            return False

    with ThreadPoolExecutor(10) as pool:
        assert sum(pool.map(spend, range(50))) == 10
    with database.unit_of_work() as session:
        assert ledger.balance(session, Party("balance", owner), "SOL").minor == 0
        assert audit.differences(session) == []


def test_entries_get_gap_free_numbers_after_a_rollback_too(database: Database) -> None:
    owner = funded(database, 5)
    with pytest.raises(PaymentRequired), database.unit_of_work() as session:
        ledger.post(session, Party("balance", owner), Party("fees"), Money(9, "SOL"), "too much")
    funded(database, 7)
    with database.unit_of_work() as session:
        assert audit.number_entries(session) == (1, 4)
        assert audit.number_entries(session) == (5, 0)
        assert audit.differences_since(session, 1) == []
        numbers = list(session.scalars(text("SELECT number FROM entry_numbers ORDER BY number")))
    assert numbers == [1, 2, 3, 4]


CHANGES = ["UPDATE entries SET amount_minor = 1", "DELETE FROM transfers", "TRUNCATE entries CASCADE"]


@pytest.mark.parametrize("statement", CHANGES)
def test_the_ledger_is_append_only(database: Database, statement: str) -> None:
    funded(database, 5)
    with pytest.raises(DBAPIError, match="append-only"), database.unit_of_work() as session:
        session.execute(text(statement))


def test_units_of_work_do_not_nest(database: Database) -> None:
    with database.unit_of_work(), pytest.raises(RuntimeError), database.unit_of_work():
        pass
