"""What runs for every unit, and every second, must not read a marketplace's past: the plans are looked at, not the clock."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import event, text
from sqlalchemy.orm import Session

from app.api.rendertrust import job_states
from app.core import (
    claims,
    completions,
    expected_results,
    figures,
    jobs,
    outcomes,
    owned,
    payments,
    provider_outcomes,
    pushes,
    render_nodes,
    render_queue,
    tallies,
)
from app.core.claims import Claim
from app.core.completions import Finished
from app.db import Database
from app.models.nodes import Node
from bench.history import write_history
from tests.factories.dispatching import Dispatcher
from tests.factories.market import Marketplace

PAST_JOBS = 4000
LARGE = {"jobs", "work_units", "attempts", "payments", "chain_transactions", "transfers", "entries"}
ASK = {"capabilities": ["render"], "limit": 3}


@pytest.fixture
def market(database: Database) -> Marketplace:
    """One provider, one node, one job under way, and thousands that are over."""
    made = Marketplace(database)
    write_history(database, PAST_JOBS)
    made.paid_job(frames=5)
    return made


@pytest.fixture
def plans(database: Database) -> Iterator[Callable[[], list[dict[str, Any]]]]:
    """The plans of every statement since the test began, as PostgreSQL would run them now."""
    said: list[tuple[str, Any]] = []

    def note(_connection: object, _cursor: object, statement: str, parameters: Any, *_: object) -> None:
        if statement.lstrip().startswith(("SELECT", "WITH", "UPDATE")):
            said.append((statement, parameters))

    event.listen(database.engine, "before_cursor_execute", note)

    def explain() -> list[dict[str, Any]]:
        event.remove(database.engine, "before_cursor_execute", note)
        found = []
        with database.engine.connect() as connection:
            for statement, parameters in said:
                rows = connection.exec_driver_sql(f"EXPLAIN (FORMAT JSON) {statement}", parameters).scalar_one()
                found.append((json.loads(rows) if isinstance(rows, str) else rows)[0]["Plan"])
        return found

    yield explain


def scanned(plan: dict[str, Any]) -> set[str]:
    """The tables that a plan reads from end to end."""
    own = {plan["Relation Name"]} if plan["Node Type"] == "Seq Scan" else set()
    return own.union(*(scanned(child) for child in plan.get("Plans", [])))


def sorted_before_locking(plan: dict[str, Any], is_locked: bool = False) -> bool:
    """Whether rows are sorted below the node that locks them: all of them are read then, whatever the limit."""
    kind = plan["Node Type"]
    if kind == "Sort" and is_locked:
        return True
    return any(sorted_before_locking(child, kind == "LockRows") for child in plan.get("Plans", []))


def claim(session: Session, market: Marketplace, node: Any) -> list[Claim]:
    return claims.claim(session, session.get_one(Node, node), ASK, 60, 90)


def test_the_scan_of_a_whole_table_would_be_seen(market: Marketplace, database: Database, plans: Any) -> None:
    with database.unit_of_work() as session:
        session.execute(text("SELECT count(*) FROM jobs WHERE name = 'past'"))
    assert [scanned(plan) for plan in plans()] == [{"jobs"}]


def test_claiming_and_booking_read_no_large_table_whole(market: Marketplace, database: Database, plans: Any) -> None:
    node = market.node("n")
    with database.unit_of_work() as session:
        session.execute(text("ANALYZE"))
    with database.unit_of_work() as session:
        found = claim(session, market, node)
    assert len(found) == 3
    with database.unit_of_work() as session:
        assert len(expected_results.find(session, node, {item.attempt_id: item.fence for item in found})) == 3
        jobs.renew(session, node, [(item.attempt_id, item.fence, 0.5) for item in found], 60)
        done = [Finished(item.attempt_id, item.fence, "key", "0" * 64, 1, 0.1) for item in found]
        assert len(completions.complete(session, done)) == 3
    seen = plans()
    assert len(seen) >= 4
    assert [scanned(plan) & LARGE for plan in seen if scanned(plan) & LARGE] == []


@pytest.mark.parametrize("is_anybodys", [False, True])
def test_a_claim_reads_the_queue_in_order_and_stops(
    market: Marketplace, database: Database, plans: Any, is_anybodys: bool
) -> None:
    node = market.node("n")
    with database.unit_of_work() as session:
        session.execute(text("ANALYZE"))  # of a time when hardly anything waited: that is what statistics show of a queue
    open_one = market.paid_job(frames=1000)
    if is_anybodys:
        with database.unit_of_work() as session:
            session.execute(text("UPDATE work_units SET provider_id = NULL WHERE state = 'queued'"))
    with database.unit_of_work() as session:
        assert len(claim(session, market, node)) == 3
    with database.unit_of_work() as session:
        asked = {**ASK, "job_id": open_one}
        assert len(claims.claim(session, session.get_one(Node, node), asked, 60, 90, open_nodes=True)) == 3
    picks = [plan for plan in plans() if any("CTE own" in str(child.get("Subplan Name")) for child in plan.get("Plans", []))]
    assert len(picks) == 2
    assert not sorted_before_locking(picks[0])
    assert [scanned(plan) & LARGE for plan in picks] == [set(), set()]


def test_the_sweeps_read_no_large_table_whole(market: Marketplace, database: Database, plans: Any) -> None:
    with database.unit_of_work() as session:
        outcomes.expire_leases(session, (3, 5))
        provider_outcomes.end_noted_failures(session)
        pushes.waiting(session, set())
        payments.pending(session)
    seen = plans()
    assert len(seen) >= 5
    assert [scanned(plan) & LARGE for plan in seen if scanned(plan) & LARGE] == []


def test_dispatching_reads_no_large_table_whole(market: Marketplace, database: Database, plans: Any) -> None:
    """Loads are counted from what is under way; an owner's list and an offer are found by their indexes."""
    renter = Dispatcher(database)
    node = renter.node("compute")
    with database.unit_of_work() as session:
        session.execute(text("ANALYZE"))
    job_id, _ = renter.dispatch("echo", "1")
    with database.unit_of_work() as session:
        assert owned.page(session, renter.account_id, 50, 0, job_states.states_of("DISPATCHED"))[0].job.id == job_id
        assert len(owned.page(session, renter.account_id, 50, 0)) == 1
    [claim] = renter.claim(node)
    assert renter.complete(claim)
    seen = plans()
    assert len(seen) >= 10
    assert [scanned(plan) & LARGE for plan in seen if scanned(plan) & LARGE] == []


def test_a_scrape_reads_no_large_table_whole(market: Marketplace, database: Database, plans: Any) -> None:
    """Totals are sums of a few rows, however many jobs were counted."""
    with database.unit_of_work() as session:
        found = {(item.name, *item.labels.values()): item.value for item in tallies.read(session, ("render",))}
        assert found["jobs_dispatched", "render"] == PAST_JOBS + 1
        assert len([*figures.read(session, 90), *figures.read_fleet(session, 90)]) > 5
    seen = plans()
    assert len(seen) >= 10
    assert [scanned(plan) & LARGE for plan in seen if scanned(plan) & LARGE] == []
    with database.unit_of_work() as session:
        assert session.execute(text("SELECT count(*) FROM tallies")).scalar_one() < tallies.FOLD_FROM


def test_estimates_and_the_queue_read_no_large_table_whole(market: Marketplace, database: Database, plans: Any) -> None:
    terms = render_nodes.Terms(90, True, 60, 900)
    with database.unit_of_work() as session:
        session.execute(text("ANALYZE"))
    with database.unit_of_work() as session:
        assert render_queue.raise_overdue(session, 900) == 0
        assert set(render_nodes.availability(session, terms)) == {"priority", "economy"}
    seen = plans()
    assert len(seen) >= 3
    assert [scanned(plan) & LARGE for plan in seen if scanned(plan) & LARGE] == []
