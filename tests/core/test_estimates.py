"""Estimates: what renders of the same bytes took decides, prices in every asset, and who is there."""

import uuid
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import update

from app.config import Settings
from app.core import estimates, render_nodes, render_orders
from app.core.estimates import Work
from app.db import Database
from app.errors import InvalidInput
from app.models.jobs import Scene, SceneTiming
from app.models.nodes import Node
from app.values import clock
from app.values.money import Money, parse
from app.values.rates import read_table
from app.values.render_tiers import read_tariff
from tests.factories.render_market import SETTINGS, Renders
from tests.factories.task_market import moving_clock

TERMS = estimates.Terms(read_tariff("3.6", "priority=2,economy=1"), render_nodes.Terms(90, True, 60, 900), 3600)
RATES = read_table(Settings().rates)


@pytest.fixture
def renders(database: Database) -> Renders:
    return Renders(database)


def scene(database: Database) -> Scene:
    with database.unit_of_work() as session:
        made = Scene(
            id=uuid.uuid4(),
            account_id=None,
            sha256=uuid.uuid4().hex * 2,
            size_bytes=1000,
            storage_key="",
            file_name="a.blend",
            format=".blend",
            facts={},
            report={"samples": 1},
            created_at=clock.now(),
        )
        session.add(made)
    return made


def tiers(database: Database, sha256: str | None, frames: int = 10, **settings: object) -> dict[str, estimates.TierEstimate]:
    work = Work(sha256, 1000, frames, SETTINGS | settings, None)
    with database.unit_of_work() as session:
        return {item.tier: item for item in estimates.estimate(session, work, TERMS)}


def test_what_a_render_took_is_what_the_next_one_is_estimated_at(renders: Renders) -> None:
    database, made = renders.database, scene(renders.database)
    assert tiers(database, made.sha256)["economy"].basis == "guessed"
    with moving_clock() as hours:
        node = renders.node()
        renders.place(4, scene_id=made.id, window_units=1)
        for seconds in (8, 10, 10, 12):
            taken = renders.claim(node)
            hours.wait(seconds)
            assert renders.complete(taken) == 1
        found = tiers(database, made.sha256)
    with database.unit_of_work() as session:
        row = session.query(SceneTiming).filter_by(sha256=made.sha256).one()
        assert (row.frames, row.seconds_total, row.seconds_squared, row.probes) == (4, 40.0, 408.0, 0)
    economy, priority = found["economy"], found["priority"]
    assert (economy.basis, economy.frame_seconds) == ("measured", 10.0)
    assert economy.expected == parse("0.1", "RENDER")  # a hundred seconds, each a thousandth of a RENDER
    assert economy.expected < economy.bound <= parse("0.2", "RENDER")
    assert (priority.per_hour, priority.expected) == (parse("7.2", "RENDER"), parse("0.2", "RENDER"))
    assert economy.seconds_low < economy.seconds == 100 < economy.seconds_high
    larger = tiers(database, made.sha256, samples=4)["economy"]
    assert (larger.basis, larger.frame_seconds) == ("measured", 0.5 + 9.5 * 4)


def test_frames_of_a_render_that_was_called_off_count_and_what_its_owners_node_says_does_not(renders: Renders) -> None:
    database, made = renders.database, scene(renders.database)
    with moving_clock() as hours:
        for is_own in (True, False):
            node, job_id = renders.node(), renders.place(4, scene_id=made.id, window_units=1)
            if is_own:
                with database.unit_of_work() as session:
                    session.get_one(Node, node).account_id = renders.account_id
            taken = renders.claim(node)
            hours.wait(1 if is_own else 9)
            renders.complete(taken)
            with database.unit_of_work() as session:
                render_orders.cancel(session, renders.account_id, job_id)
                render_orders.cancel(session, renders.account_id, job_id)
    with database.unit_of_work() as session:
        row = session.query(SceneTiming).filter_by(sha256=made.sha256).one()
        assert (row.frames, row.seconds_total) == (1, 9.0)


def test_a_price_is_in_what_it_is_paid_with_and_render_credits_are_one_for_one(database: Database) -> None:
    found = tiers(database, None)["priority"]
    credits, render = (estimates.in_asset(found, asset, read_table("RENDER=4,RCREDIT=9")) for asset in ("RCREDIT", "RENDER"))
    assert credits.bound.minor == render.bound.minor == found.bound.minor
    assert (credits.rate, credits.per_hour) == (Decimal(1), Money(found.per_hour.minor, "RCREDIT"))
    dollars = estimates.in_asset(found, "USDC", RATES)
    assert (dollars.rate, dollars.rate_source, dollars.per_hour) == (Decimal(4), "settings", parse("28.8", "USDC"))
    assert dollars.bound.decimal >= found.bound.decimal * 4 > dollars.bound.decimal - Decimal("0.000001")
    table = read_table("RENDER=4,SOL=200,USDT=1")
    sol, usdt = (estimates.in_asset(found, asset, table) for asset in ("SOL", "USDT"))
    assert (sol.rate, usdt.rate) == (Decimal("0.02"), Decimal(4)) and (sol.bound.asset, usdt.bound.asset) == ("SOL", "USDT")
    assert 0 <= sol.bound.decimal - found.bound.decimal * sol.rate < Decimal("1e-9")
    with pytest.raises(InvalidInput, match="RCREDIT"):
        estimates.in_asset(found, "TON", RATES)


def test_the_largest_work_there_is_has_a_price_and_the_smallest_is_not_free(database: Database) -> None:
    most = tiers(database, None, 10_000, width=65_536, height=2048, samples=65_536)["priority"]
    assert most.bound == parse("72000", "RENDER")  # no frame may take longer than a node may work on it
    least = tiers(database, None, 10_000, width=1, height=1, samples=1)["economy"]
    assert estimates.in_asset(least, "USDC", RATES).bound.minor >= 10_000


def test_who_is_there_is_told_and_what_waits_before(renders: Renders) -> None:
    database = renders.database
    assert tiers(database, None)["priority"].availability.wait_seconds is None
    nodes = [renders.node() for _ in range(2)]
    free = tiers(database, None, 1)["economy"].availability
    assert (free.nodes, free.free, free.queued, free.wait_seconds) == (2, 2, 0, 0.0)
    renders.place(4)
    renders.claim(nodes[0])
    busy = tiers(database, None, 1)["priority"].availability
    assert (busy.nodes, busy.free, busy.queued, busy.rendering) == (2, 1, 3, 1)
    assert busy.wait_seconds == (3 * 60 + 60 / 2) / 2
    assert busy.wait_high_seconds is not None and busy.wait_high_seconds > busy.wait_seconds
    renders.place(4, tier="economy")
    both = tiers(database, None, 1)
    assert [both[tier].availability.queued for tier in ("priority", "economy")] == [3, 7], "the cheaper one comes after all"


def test_who_is_silent_leaves_is_ill_or_does_something_else_is_not_there(renders: Renders) -> None:
    ago, ahead = clock.now() - timedelta(seconds=91), clock.now() + timedelta(seconds=60)
    others: list[dict[str, Any]] = [
        {"last_heartbeat_at": ago}, {"is_draining": True}, {"unhealthy_until": ahead}, {"capabilities": ["compute"]}
    ]  # fmt: skip
    for values in others:
        node = renders.node()
        with renders.database.unit_of_work() as session:
            session.execute(update(Node).where(Node.id == node).values(**values))
    there = tiers(renders.database, None)["priority"].availability
    assert (there.nodes, there.free, there.wait_seconds) == (0, 0, None)
    renders.node()
    assert tiers(renders.database, None)["priority"].availability.nodes == 1
