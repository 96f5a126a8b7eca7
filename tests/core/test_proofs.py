"""Proofs are for their owners, and a row that was changed behind the books' back is found and named."""

import uuid

import pytest
from sqlalchemy import text

from app.core import proofs
from app.core.proofs import Difference
from app.db import Database
from app.errors import NotFound
from app.models.anchors import AnchorBatch
from app.values import ledger_leaf, merkle
from tests.factories.ledgers import as_superuser, build_tree, post_transfers

SIZE = 10
ENTRY = "SELECT entry_id FROM entry_numbers WHERE number = :number"
OTHER = uuid.UUID(int=7)
OWNED = """
SELECT n.number FROM entry_numbers n JOIN entries e ON e.id = n.entry_id JOIN ledger_accounts a ON a.id = e.account_id
WHERE a.owner_id = :owner"""


@pytest.mark.parametrize("size", [1, 2, 3, 5, 100, 101])
def test_each_entry_is_proven_by_its_integer_and_its_uuid(database: Database, size: int) -> None:
    build_tree(database, size)
    with database.unit_of_work() as session:
        ids = list(session.scalars(text("SELECT entry_id FROM entry_numbers ORDER BY number LIMIT :size"), {"size": size}))
        for number, entry_id in enumerate(ids, 1):
            found = proofs.prove(session, number, None)
            assert found == proofs.prove(session, entry_id, None) and found.number == number
            assert found.leaf_hash == ledger_leaf.hash_text(found.leaf)
            assert merkle.is_included(found.leaf_hash, number - 1, size, found.steps, found.batch.root)


def test_only_the_owner_and_the_operator_are_shown_a_proof(database: Database) -> None:
    owner = build_tree(database, 2)
    with database.unit_of_work() as session:
        mine = session.execute(text(OWNED), {"owner": owner}).scalar_one()
        assert proofs.prove(session, mine, owner).number == mine
        for number, who in ((3 - mine, owner), (mine, OTHER), (99, owner), (99, None), (uuid.uuid4(), None)):
            with pytest.raises(NotFound) as refusal:
                proofs.prove(session, number, who)
            assert refusal.value.code == "ENTRY_NOT_FOUND"


def test_an_entry_that_is_not_in_a_tree_yet_says_so(database: Database) -> None:
    owner = post_transfers(database, 1)
    with database.unit_of_work() as session:
        entry_id = session.execute(text(OWNED.replace("n.number", "e.id", 1)), {"owner": owner}).scalar_one()
        with pytest.raises(NotFound, match="not in a tree yet") as refusal:
            proofs.prove(session, entry_id, owner)
        assert refusal.value.code == "NOT_IN_A_TREE_YET"


def difference(database: Database) -> Difference | None:
    with database.unit_of_work() as session:
        batch = proofs.prove(session, 1, None).batch
        return proofs.first_difference(session, batch, batch.root)


def test_rows_that_nobody_changed_differ_in_nothing(database: Database) -> None:
    build_tree(database, SIZE)
    assert difference(database) is None


CHANGES = {
    "amount": f"UPDATE entries SET amount_minor = amount_minor + 1 WHERE id = ({ENTRY})",
    "direction": f"UPDATE entries SET direction = 'NEITHER' WHERE id = ({ENTRY})",
    "time": f"UPDATE entries SET created_at = created_at + interval '1 microsecond' WHERE id = ({ENTRY})",
    "account": f"UPDATE entries SET account_id = gen_random_uuid() WHERE id = ({ENTRY})",
    "reference": f"UPDATE transfers SET reference = 'x' WHERE id = (SELECT transfer_id FROM entries WHERE id = ({ENTRY}))",
    "asset": f"UPDATE transfers SET asset = 'SOL' WHERE id = (SELECT transfer_id FROM entries WHERE id = ({ENTRY}))",
}


@pytest.mark.parametrize("field", CHANGES)
def test_a_changed_field_is_named_with_its_entry(database: Database, field: str) -> None:
    build_tree(database, SIZE)
    as_superuser(database, CHANGES[field], number=5)
    found = difference(database)
    assert found is not None and (found.number, found.fields) == (5, (field,))
    assert found.message == f"entry 5 was changed after it was anchored: {field} differs"


def test_the_first_of_several_is_named(database: Database) -> None:
    build_tree(database, SIZE)
    as_superuser(database, "UPDATE entries SET amount_minor = 9, direction = 'x'")
    found = difference(database)
    assert found is not None and (found.number, found.fields) == (1, ("amount", "direction"))
    assert found.message.endswith("amount, direction differ")


def test_a_row_that_is_gone_is_named(database: Database) -> None:
    build_tree(database, SIZE)
    as_superuser(database, f"DELETE FROM entries WHERE id = ({ENTRY})", number=3)
    found = difference(database)
    assert found is not None and found.number == 3 and found.message == "entry 3 is not in the ledger any more"
    as_superuser(database, "DELETE FROM entry_numbers WHERE number = 2")
    found = difference(database)
    assert found is not None and found.number == 2 and found.message == "the number 2 is not in the ledger any more"


def test_texts_that_were_changed_with_their_rows_name_no_row_but_are_found(database: Database) -> None:
    build_tree(database, SIZE)
    texts = """UPDATE anchor_batches SET leaves = replace(leaves, '"100000"', '"100001"')"""
    as_superuser(database, CHANGES["amount"], texts, number=5)
    found = difference(database)
    assert found is not None and found.number is None and "no row can be named" in found.message


def test_texts_that_were_changed_alone_change_nothing_for_the_rows(database: Database) -> None:
    build_tree(database, SIZE)
    as_superuser(database, "UPDATE anchor_batches SET leaves = 'x'")
    with database.unit_of_work() as session:
        batch = session.get_one(AnchorBatch, 1)
        assert proofs.first_difference(session, batch, batch.root) is None
