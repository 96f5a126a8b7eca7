"""Trees over the ledger: every entry in exactly one, built beside the postings, never in their way."""

import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from app.core import anchors, ledger
from app.core.anchors import Rules
from app.core.ledger import Party
from app.db import Database, Session
from app.flows import anchors as flows
from app.models.anchors import AnchorBatch
from app.values import anchoring, clock
from app.values.anchoring import Fees, SignedAnchor
from app.values.money import Money
from tests.factories.ledgers import batches, build_trees, only_batch, post_transfers

RULES = Rules(enough=100, most=1000, seconds=300)
SENDER = "0x" + "1" * 40


def build(database: Database, rules: Rules = RULES) -> int | None:
    with database.unit_of_work() as session:
        return anchors.build_next(session, rules)


def test_a_tree_is_built_by_count_or_by_time_and_never_empty(database: Database) -> None:
    assert build(database) is None
    post_transfers(database, 49)
    assert build(database) is None, "98 entries, and none has waited for long"
    post_transfers(database, 1)
    assert build(database) == 100
    post_transfers(database, 1)
    assert build(database) is None
    later = clock.now() + timedelta(seconds=301)
    clock.replace_clock(lambda: later)
    try:
        assert build(database) == 2
    finally:
        clock.replace_clock(None)
    assert build(database) is None


def test_every_entry_is_in_exactly_one_tree_without_a_gap(database: Database) -> None:
    post_transfers(database, 60)
    assert flows.build(database, Rules(enough=1, most=50, seconds=300)) == 120
    post_transfers(database, 3)
    assert flows.build(database, Rules(enough=1, most=50, seconds=300)) == 6
    ranges = [(batch.first_number, batch.last_number, batch.tree_size) for batch in batches(database)]
    assert ranges == [(1, 50, 50), (51, 100, 50), (101, 120, 20), (121, 126, 6)]


def test_builders_at_once_build_each_tree_once(database: Database) -> None:
    post_transfers(database, 40)
    with ThreadPoolExecutor(8) as pool:
        sizes = [size for size in pool.map(lambda _: build(database, Rules(1, 10, 300)), range(16)) if size]
    assert sizes == [10] * 8
    assert [batch.first_number for batch in batches(database)] == [1, 11, 21, 31, 41, 51, 61, 71]


def test_a_posting_does_not_wait_for_a_builder(database: Database) -> None:
    """The builder's transaction stays open all the while: a posting that waited for a lock of its would end in a time-out."""
    owner = post_transfers(database, 50)
    with ThreadPoolExecutor(1) as pool, database.unit_of_work() as session:
        assert anchors.build_next(session, RULES) == 100

        def post() -> bool:
            with database.unit_of_work() as other:
                other.execute(text("SET LOCAL lock_timeout = '100ms'"))
                return ledger.post(other, Party("balance", owner), Party("fees"), Money(1, "CREDIT"), f"beside:{uuid.uuid4()}")

        assert pool.submit(post).result(timeout=20) is True
    assert only_batch(database).tree_size == 100


def test_a_builder_does_not_wait_for_a_posting(database: Database) -> None:
    owner = post_transfers(database, 50)
    with ThreadPoolExecutor(1) as pool, database.unit_of_work() as session:
        assert ledger.post(session, Party("balance", owner), Party("fees"), Money(1, "CREDIT"), "open")
        assert pool.submit(build, database).result(timeout=20) == 100


@pytest.mark.parametrize("table", ["anchor_batches", "anchor_attempts"])
@pytest.mark.parametrize("statement", ["DELETE FROM {}", "TRUNCATE {} CASCADE"])
def test_what_was_anchored_is_kept(database: Database, table: str, statement: str) -> None:
    build_trees(database, 1)
    with pytest.raises(DBAPIError, match="append-only"), database.unit_of_work() as session:
        session.execute(text(statement.format(table)))


def signed(batch: AnchorBatch, fee: int = 10) -> SignedAnchor:
    data = anchoring.encode(batch.tree_size, batch.root)
    return SignedAnchor(data, "0x" + uuid.uuid4().hex * 2, Fees(fee, fee))


def reserve(database: Database, number: int, first_free: int, chain_id: int = 1) -> int | None:
    with database.unit_of_work() as session:
        return anchors.reserve_nonce(session, number, chain_id, SENDER, first_free)


def test_nonces_are_the_lowest_that_nobody_has_and_are_kept(database: Database) -> None:
    build_trees(database, 4)
    assert [reserve(database, number, 7) for number in (1, 2, 3)] == [7, 8, 9]
    assert reserve(database, 2, 20) == 8, "it has one"
    with database.unit_of_work() as session:
        assert anchors.note_signed(session, 2, 8, signed(batches_now(session)[1]), 0)
        anchors.start_over(session, 2, 8)
    assert reserve(database, 4, 7) == 8, "the hole is filled"
    assert reserve(database, 2, 7) == 10
    assert reserve(database, 1, 0, chain_id=2) == 0, "another chain counts for itself"


def batches_now(session: Session) -> list[AnchorBatch]:
    return list(reversed(anchors.page(session, 10, 0)[0]))


def test_of_two_that_sign_one_batch_only_the_first_is_kept(database: Database) -> None:
    build_trees(database, 1)
    batch = only_batch(database)
    assert reserve(database, 1, 0) == 0
    with database.unit_of_work() as session:
        assert anchors.note_signed(session, 1, 0, signed(batch), 0)
        assert not anchors.note_signed(session, 1, 0, signed(batch), 0), "stored already"
        anchors.note_sent(session, 1, 1, "taken")
        assert not anchors.note_signed(session, 1, 0, signed(batch, 20), 0), "made before the first was known"
        assert not anchors.note_signed(session, 1, 9, signed(batch, 20), 1), "with another nonce"
        assert anchors.note_signed(session, 1, 0, signed(batch, 20), 1)
    assert reserve(database, 1, 0) is None
