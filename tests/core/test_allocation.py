"""Renders' parts of the nodes: by how their owner's jobs ended, and by what is there now."""

import uuid

import pytest

from app.core import allocation, nodes, render_nodes, render_orders
from app.db import Database
from app.models.nodes import Node
from tests.factories.render_market import SETTINGS, Renders
from tests.factories.task_market import Hours, moving_clock

TERMS = render_nodes.Terms(silence_seconds=90, open_nodes=True, guess_seconds=60, economy_seconds=900)
DAY = 86_400


@pytest.fixture
def renders(database: Database) -> Renders:
    return Renders(database)


def record(renders: Renders, account_id: uuid.UUID | None = None) -> allocation.Record:
    with renders.database.unit_of_work() as session:
        return allocation.record_of(session, account_id or renders.account_id)


def rendered(renders: Renders, hours: Hours, node_id: uuid.UUID, **changes: object) -> uuid.UUID:
    """A render of two frames, done."""
    with renders.database.unit_of_work() as session:
        nodes.heartbeat(session, session.get_one(Node, node_id), {})
    job_id = renders.place(2, **changes)
    taken = renders.claim(node_id, 64)
    hours.wait(5)
    assert renders.complete(taken) == 2
    return job_id


def test_reputation_is_of_paid_work_over_days_and_nobody_has_less_than_a_newcomer(renders: Renders) -> None:
    with moving_clock() as hours:
        node = renders.node()
        assert record(renders).reputation == 0.0
        scores = []
        for _ in range(3):
            rendered(renders, hours, node)
            scores.append(record(renders).reputation)
            hours.wait(DAY)
        assert 0 < scores[0] < scores[1] < scores[2] < 1
        rendered(renders, hours, node, mode="pay_before_download")
        assert record(renders).reputation == scores[2]  # not owed for long yet
        hours.wait(2 * DAY)
        assert record(renders).owed == 1 and 0 < record(renders).reputation < scores[2]
        job_id = renders.place(2)
        with renders.database.unit_of_work() as session:
            render_orders.cancel(session, renders.account_id, job_id)
        assert record(renders) == allocation.Record(3, 1, 0, 1, 3)
        stranger = renders.account("0")
        assert record(renders, stranger) == allocation.Record(0, 0, 0, 0, 0)
        rendered(renders, hours, node, account_id=stranger, mode="pay_before_download")
        hours.wait(2 * DAY)
        assert record(renders, stranger).owed == 1
        assert record(renders, stranger).reputation == 0.0


def test_an_order_has_the_part_that_its_owners_reputation_is_worth_while_others_wait(renders: Renders) -> None:
    with moving_clock() as hours:
        node, stranger = renders.node(), renders.account("0")
        for _ in range(5):
            rendered(renders, hours, node)
            hours.wait(DAY)
        there = render_nodes.Availability("priority", 20, 0, queued=50, rendering=20, wait_seconds=9, wait_high_seconds=9)
        with renders.database.unit_of_work() as session:
            known, newcomer = (
                allocation.for_order(session, account_id, there, None, 60.0)
                for account_id in (renders.account_id, stranger)
            )
        assert newcomer.words["nodes"] == 5 < known.words["nodes"] < 20, "a quarter, and more"
        assert 0 < known.words["reputation"] == round(record(renders).reputation, 4)
        assert f"a reputation of {known.words['reputation']:.2f} counts" in known.words["explanation"]


def test_the_part_follows_the_nodes_that_come_and_how_long_frames_take(renders: Renders) -> None:
    with moving_clock() as hours:
        first = renders.node()
        job_id = renders.place(200, window_units=2, allocation={"frame_seconds": 60.0})
        assert len(renders.claim(first, 64)) == 2
        second = renders.node()
        with renders.database.unit_of_work() as session:
            assert allocation.look_again(session, TERMS, allocation.waiting(session)) == 1
        assert renders.order(job_id).allocation["nodes"] == 2
        taken = renders.claim(second, 64)
        assert len(taken) == 2
        hours.wait(1)
        renders.complete(taken)
        with renders.database.unit_of_work() as session:
            assert allocation.look_again(session, TERMS, allocation.waiting(session)) == 1
        order = renders.order(job_id)
        assert (order.allocation["units_per_node"], order.window_units) == (10, 20)  # a second each, as it turned out
        assert len(renders.claim(second, 64)) == 18
        with renders.database.unit_of_work() as session:
            assert allocation.look_again(session, TERMS, allocation.waiting(session)) == 0
            render_orders.pause(session, renders.account_id, job_id)
            session.flush()
            assert allocation.waiting(session) == [] and allocation.look_again(session, TERMS, [job_id]) == 0


def test_a_scene_goes_where_there_is_memory_for_it_whatever_nodes_say_of_themselves(renders: Renders) -> None:
    small, large, silent, liar = (
        renders.node(**machine) for machine in ({"memory_bytes": 2**30}, {"memory_bytes": 2**34}, {}, {"memory_bytes": "lots"})
    )
    with renders.database.unit_of_work() as session:
        assert render_nodes.availability(session, TERMS, 2**33)["priority"].nodes == 3
        nodes.heartbeat(session, session.get_one(Node, large), {"machine": {"memory_bytes": 2**35}})
    heavy = renders.place(4, allocation={"scene_memory_bytes": 2**34})
    light = renders.place(1)
    assert {item.job.id for item in renders.claim(small, 64)} == {light}
    for node_id in (large, silent, liar):
        assert [item.job.id for item in renders.claim(node_id, 1)] == [heavy]
    with renders.database.unit_of_work() as session:
        assert allocation.look_again(session, TERMS, [heavy]) == 1
    [item] = renders.claim(large, 1)
    renders.node_fails(item, "OUT_OF_MEMORY")
    assert renders.claim(small, 64) == []


def test_an_engine_is_asked_of_nodes_that_have_it(renders: Renders) -> None:
    plain, able = renders.node(engines=["cycles"]), renders.node(engines=["cycles", "eevee"])
    with renders.database.unit_of_work() as session:
        assert render_nodes.availability(session, TERMS, engine="eevee")["priority"].nodes == 1
    job_id = renders.place(2, settings={**SETTINGS, "engine": "eevee"})
    assert renders.claim(plain, 64) == []
    [item, _] = renders.claim(able, 64)
    renders.node_fails(item, "GPU_ERROR")
    assert renders.claim(plain, 64) == [] and renders.job(job_id).state == "open"
