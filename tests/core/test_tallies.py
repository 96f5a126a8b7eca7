"""Totals since the first day: what is counted once, in whose words, and that nothing ever takes any of it back."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import text

from app.core import credits, dead_letters, tallies
from app.db import Database
from app.errors import PaymentRequired
from app.values.money import parse
from tests.factories.dispatching import Dispatcher
from tests.factories.market import Marketplace

TYPES = ("render", "echo")


@pytest.fixture
def renter(database: Database) -> Dispatcher:
    return Dispatcher(database)


def totals(database: Database, types: tuple[str, ...] = TYPES) -> dict[tuple[str, ...], float]:
    """What is not zero."""
    with database.unit_of_work() as session:
        return {(found.name, *found.labels.values()): found.value for found in tallies.read(session, types) if found.value}


def fold(database: Database, at_least: int = 1) -> None:
    with database.unit_of_work() as session:
        tallies.fold(session, TYPES, at_least)


def rows(database: Database) -> int:
    with database.unit_of_work() as session:
        return session.execute(text("SELECT count(*) FROM tallies")).scalar_one()


def fail_for_good(renter: Dispatcher, *nodes: object) -> None:
    for _ in range(3):
        renter.hasten(60)
        [claim] = [claim for node_id in nodes for claim in renter.claim(node_id)]  # type: ignore[arg-type]
        renter.fail(claim)


def test_a_job_counts_when_it_is_dispatched_and_when_it_ends(renter: Dispatcher) -> None:
    node = renter.node("compute")
    renter.dispatch("echo", "2.5")
    assert totals(renter.database) == {("jobs_dispatched", "echo"): 1}
    assert renter.complete(renter.claim(node)[0])
    cancelled, _ = renter.dispatch("echo", "4")
    renter.cancel(cancelled)
    assert totals(renter.database) == {
        ("jobs_dispatched", "echo"): 2,
        ("jobs_completed", "echo", "completed"): 1,
        ("jobs_completed", "echo", "cancelled"): 1,
        ("credits_consumed",): 2.5,
    }


def test_a_replayed_job_is_dispatched_again_and_stays_counted_as_failed(renter: Dispatcher) -> None:
    nodes = [renter.node("compute") for _ in range(3)]
    renter.dispatch("echo", "1")
    fail_for_good(renter, *nodes)
    with renter.database.unit_of_work() as session:
        [letter] = dead_letters.page(session, False, 10)
        dead_letters.replay(session, letter["id"])
    assert totals(renter.database) == {("jobs_dispatched", "echo"): 2, ("jobs_completed", "echo", "failed"): 1}
    renter.fund("1")
    fail_for_good(renter, *nodes)
    assert totals(renter.database) == {("jobs_dispatched", "echo"): 2, ("jobs_completed", "echo", "failed"): 2}


def test_what_users_deduct_is_consumed_once_a_reference_and_a_refusal_is_not(renter: Dispatcher) -> None:
    for reference in ("a", "a", "b"):
        with renter.database.unit_of_work() as session:
            credits.deduct(session, renter.account_id, parse("1.2345", "CREDIT"), reference)
    with pytest.raises(PaymentRequired), renter.database.unit_of_work() as session:
        credits.deduct(session, renter.account_id, parse("5000", "CREDIT"), "c")
    assert totals(renter.database) == {("credits_consumed",): 2.469}


def test_a_job_of_any_dialect_counts_from_its_payment_on(database: Database) -> None:
    market = Marketplace(database)
    market.paid_job(frames=2)
    assert totals(database) == {("jobs_dispatched", "render"): 1}


def test_types_that_users_make_up_are_one_before_and_after_they_are_folded(renter: Dispatcher) -> None:
    renter.node("compute", *(f"made-up-{number}" for number in range(5)))
    for number in range(5):
        renter.dispatch(f"made-up-{number}", "1")
    renter.dispatch("echo", "1")
    expected = {("jobs_dispatched", "other"): 5, ("jobs_dispatched", "echo"): 1}
    assert totals(renter.database) == expected
    fold(renter.database)
    assert rows(renter.database) == 2
    assert totals(renter.database) == expected
    fold(renter.database)
    assert totals(renter.database) == expected


def test_few_rows_are_left_as_they_are(renter: Dispatcher) -> None:
    renter.node("compute")
    for _ in range(3):
        renter.dispatch("echo", "0")
    fold(renter.database, at_least=4)
    assert rows(renter.database) == 3
    fold(renter.database, at_least=3)
    assert rows(renter.database) == 1


def test_totals_never_fall_while_many_count_and_fold_at_once(database: Database) -> None:
    counted, each, counters = parse("0.0001", "CREDIT"), 150, 3
    done = threading.Event()

    def count() -> None:
        for _ in range(each):
            with database.unit_of_work() as session:
                tallies.count_credits(session, counted)

    def keep_folding() -> None:
        while not done.is_set():
            fold(database)

    def watch() -> list[float]:
        seen = []
        while not done.is_set():
            seen.append(totals(database).get(("credits_consumed",), 0.0))
        return seen

    with ThreadPoolExecutor(8) as pool:
        folders, watcher = [pool.submit(keep_folding) for _ in range(2)], pool.submit(watch)
        try:
            for counter in [pool.submit(count) for _ in range(counters)]:
                counter.result()
        finally:
            done.set()
        for folder in folders:
            folder.result()
        seen = watcher.result()
    assert len(seen) > 2 and seen == sorted(seen)
    assert totals(database) == {("credits_consumed",): pytest.approx(each * counters / 10_000)}
