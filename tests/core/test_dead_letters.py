"""What fails is tried again later and elsewhere, and in the end lies where an operator sees it."""

from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest
from sqlalchemy import update

from app.core import dead_letters, nodes, stale_jobs
from app.db import Database
from app.errors import Conflict, NotFound, PaymentRequired
from app.models.jobs import Job
from app.models.nodes import Node
from app.values import clock
from tests.factories.dispatching import Dispatcher
from tests.factories.market import Marketplace


@pytest.fixture
def market(database: Database) -> Dispatcher:
    return Dispatcher(database, "10")


def letters(market: Dispatcher, is_replayed: bool | None = False) -> list:
    with market.database.unit_of_work() as session:
        return dead_letters.page(session, is_replayed, 10)


def fail_for_good(market: Dispatcher) -> None:
    for _ in range(3):
        found = [claim for node_id in market.nodes for claim in market.claim(node_id)]
        assert len(found) == 1
        market.fail(found[0])
        market.hasten(60)


@pytest.fixture
def failed(market: Dispatcher) -> Dispatcher:
    market.nodes = [market.node("compute") for _ in range(3)]
    market.job_id, _ = market.dispatch("echo", "10")
    market.hasten(60)
    fail_for_good(market)
    return market


@pytest.fixture
def stopped() -> Iterator[datetime]:
    """The time, which stands still."""
    moment = clock.now()
    clock.replace_clock(lambda: moment)
    yield moment
    clock.replace_clock(None)


def test_a_failure_backs_off_two_four_eight_seconds_and_goes_to_another_node(market: Dispatcher, stopped: datetime) -> None:
    first, second = market.node("compute"), market.node("compute", load=0.5)
    job_id, node_id = market.dispatch("echo", "10")
    assert node_id == first
    market.fail(market.claim(first)[0])
    assert market.unit(job_id).queued_at - stopped == timedelta(seconds=2)
    assert market.claim(first) == market.claim(second) == [], "not before its time"
    market.hasten(1.5)
    assert market.claim(second) == []
    market.hasten(0.5)
    assert market.claim(first) == [], "not where it failed, while another node is there"
    [claim] = market.claim(second)
    market.fail(claim)
    assert market.unit(job_id).queued_at - stopped == timedelta(seconds=4)
    market.hasten(4)
    assert len(market.claim(first)) == 1, "it failed everywhere, so everybody may try again"


def test_after_three_failures_the_hold_is_released_and_a_dead_letter_lies_there(failed: Dispatcher) -> None:
    job = failed.job(failed.job_id)
    assert (job.state, job.payment_state, job.reason_code) == ("failed", "refunded", "CRASHED")
    assert (failed.money(), failed.money("held")) == ("10.0000", "0.0000")
    [letter] = letters(failed)
    assert (letter["job_id"], letter["attempts"], letter["error_message"]) == (str(failed.job_id), 3, "boom")
    assert letters(failed, True) == [] and len(letters(failed, None)) == 1


def test_a_cancelled_job_and_one_of_another_dialect_leave_no_dead_letter(market: Dispatcher) -> None:
    node_id = market.node("compute")
    market.cancel(market.dispatch()[0])
    rayment = Marketplace(market.database)
    rayment_job, worker = rayment.paid_job(), rayment.node("n")
    for _ in range(3):
        market.fail(rayment.claim(worker, 1)[0])
    assert market.job(rayment_job).state == "failed"
    assert letters(market) == [] and market.claim(node_id) == []


def test_a_replay_takes_a_new_hold_and_starts_over(failed: Dispatcher) -> None:
    [letter] = letters(failed)
    with failed.database.unit_of_work() as session:
        dead_letters.replay(session, letter["id"])
    assert (failed.money(), failed.money("held")) == ("0.0000", "10.0000")
    job, unit = failed.job(failed.job_id), failed.unit(failed.job_id)
    assert (job.state, job.payment_state, job.error_message, unit.failures) == ("open", "confirmed", None, 0)
    with pytest.raises(Conflict), failed.database.unit_of_work() as session:
        dead_letters.replay(session, letter["id"])
    make_well(failed)
    [claim] = failed.claim(failed.nodes[0])
    assert failed.complete(claim)
    assert (failed.money(), failed.money("held")) == ("0.0000", "0.0000")
    assert failed.platform("fees").minor == 30_000
    failed.assert_books_balance()


def make_well(market: Dispatcher) -> None:
    with market.database.unit_of_work() as session:
        session.execute(update(Node).values(unhealthy_until=None, failures_in_a_row=0))


def test_a_job_that_fails_again_after_its_replay_leaves_another_dead_letter(failed: Dispatcher) -> None:
    [letter] = letters(failed)
    with failed.database.unit_of_work() as session:
        dead_letters.replay(session, letter["id"])
    make_well(failed)
    fail_for_good(failed)
    assert len(letters(failed)) == 1 and len(letters(failed, None)) == 2
    assert (failed.money(), failed.money("held")) == ("10.0000", "0.0000")


def test_a_job_that_nobody_took_is_replayed_with_its_unit(market: Dispatcher) -> None:
    node_id = market.node("compute")
    job_id, _ = market.dispatch("echo", "10")
    with market.database.unit_of_work() as session:
        session.execute(update(Job).where(Job.id == job_id).values(paid_at=clock.now() - timedelta(hours=2)))
    with market.database.unit_of_work() as session:
        assert stale_jobs.fail_untaken_jobs(session, 3600) == 1
    [letter] = letters(market)
    assert (letter["reason_code"], market.money()) == ("NO_TAKER", "10.0000")
    with market.database.unit_of_work() as session:
        dead_letters.replay(session, letter["id"])
    [claim] = market.claim(node_id)
    assert market.complete(claim)
    assert (market.job(job_id).state, market.money("held")) == ("completed", "0.0000")
    market.assert_books_balance()


def test_an_owner_who_cannot_pay_gets_no_replay_and_the_letter_stays(failed: Dispatcher) -> None:
    failed.dispatch("echo", "1")
    [letter] = letters(failed)
    with pytest.raises(PaymentRequired) as refused, failed.database.unit_of_work() as session:
        dead_letters.replay(session, letter["id"])
    assert refused.value.details["available"] == "9.0000"
    assert letters(failed) == [letter] and failed.job(failed.job_id).state == "failed"
    with pytest.raises(NotFound), failed.database.unit_of_work() as session:
        dead_letters.replay(session, failed.job_id)


def test_the_breaker_opens_after_three_failures_and_is_half_open_five_minutes_later(database: Database) -> None:
    market = Dispatcher(database, "1000")
    node_id = market.node("compute")

    def state() -> tuple[str, int, int]:
        with database.unit_of_work() as session:
            node = session.get_one(Node, node_id)
            return nodes.status(node, 90), node.failures_in_a_row, nodes.units_at_once(node, 10)

    def fail_one() -> None:
        market.dispatch("echo", "1")
        market.fail(market.claim(node_id)[0])

    fail_one(), fail_one()
    assert state() == ("HEALTHY", 2, 10)
    fail_one()
    assert state() == ("UNHEALTHY", 3, 1)
    later(database)
    assert state() == ("HEALTHY", 3, 1), "half open: one unit shows whether it is well again"
    fail_one()
    assert state()[0] == "UNHEALTHY", "the first failure opens it again"
    later(database)
    market.dispatch("echo", "1")
    assert market.complete(market.claim(node_id)[0])
    assert state() == ("HEALTHY", 0, 10)


def later(database: Database) -> None:
    """Five minutes have passed, for the breaker."""
    with database.unit_of_work() as session:
        session.execute(update(Node).values(unhealthy_until=Node.unhealthy_until - timedelta(seconds=301)))


def test_the_works_own_fault_is_no_fault_of_the_node(database: Database) -> None:
    market = Dispatcher(database, "1000")
    node_id = market.node("inference")
    market.dispatch("inference", "5")
    market.fail(market.claim(node_id)[0], "PAYLOAD_INVALID")
    with database.unit_of_work() as session:
        assert session.get_one(Node, node_id).failures_in_a_row == 0
