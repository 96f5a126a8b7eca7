"""The tier economy comes last, and never starves: however much of the other tier is ordered, a frame waits for a bounded time."""

import uuid

import pytest

from app.core import outcomes, render_orders, render_queue
from app.db import Database
from tests.factories.render_market import Renders
from tests.factories.task_market import Hours, moving_clock

BOUND_SECONDS, FRAME_SECONDS = 60, 7


@pytest.fixture
def renders(database: Database) -> Renders:
    return Renders(database)


def turn(renders: Renders, node: uuid.UUID, hours: Hours) -> uuid.UUID:
    """A sweep, then the node renders the frame that is best for it. Returns whose it was."""
    renders.beat(node)
    with renders.database.unit_of_work() as session:
        render_queue.raise_overdue(session, BOUND_SECONDS)
    [taken] = renders.claim(node)
    hours.wait(FRAME_SECONDS)
    assert renders.complete([taken]) == 1
    return taken.job.id


def test_a_frame_of_the_tier_economy_waits_for_its_bound_and_no_longer(renders: Renders) -> None:
    with moving_clock() as hours:
        node, cheap = renders.node(), renders.place(3, tier="economy", window_units=1, priority=100)
        flood = [renders.place(4, window_units=8, priority=-100)]
        served: list[float] = []
        since = hours.now
        while len(served) < 3:
            flood.append(renders.place(1, priority=100))  # there is always more of the other tier than the node can do
            if turn(renders, node, hours) == cheap:
                served.append((hours.now - since).total_seconds())
                since = hours.now
    # Each frame stands in the queue from when the one before it is done; the node may be busy for a frame when it is due.
    assert all(BOUND_SECONDS < waited <= BOUND_SECONDS + 2 * FRAME_SECONDS for waited in served)
    assert renders.job(cheap).state == "completed"


def test_however_much_waits_overdue_the_other_tier_goes_on(renders: Renders) -> None:
    """Half of what nodes have in hand may be overdue, whatever its owner does, and nothing of it is what no node can do."""
    with moving_clock() as hours:
        node = renders.node(memory_bytes=10**9)
        unfit = renders.place(4, tier="economy", allocation={"scene_memory_bytes": 10**12})
        cheap = {renders.place(4, tier="economy", window_units=2) for _ in range(9)}
        hours.wait(BOUND_SECONDS + 1)
        served = []
        for _ in range(24):
            paid_well = renders.place(1)
            served.append(turn(renders, node, hours) in cheap)
            if served[-1]:
                [taken] = renders.claim(node)  # before the next turn of the sweep, a node is free
                assert taken.job.id not in cheap | {unfit} and renders.complete([taken]) == 1
            assert renders.job(paid_well).units_total == 1
        assert all(served), "what no node can do takes nobody's turn"
        for limit in (6, 6):
            renders.place(12, window_units=12)
            taken = renders.claim(node, limit)
            with renders.database.unit_of_work() as session:
                render_queue.raise_overdue(session, BOUND_SECONDS)
        mine = [item.job.id for item in taken if item.job.id in cheap]
        assert len(mine) == 3 and {item.job.id for item in taken} - cheap, "half of the six that it had in hand"
        with renders.database.unit_of_work() as session:
            for job_id in set(mine):
                render_orders.set_priority(session, renders.account_id, job_id, 7)
            assert render_queue.raise_overdue(session, BOUND_SECONDS) == 12 // 2 - 3, "they count as what they were"


def test_only_what_waits_in_the_queue_grows_overdue_and_its_owner_keeps_its_place(renders: Renders) -> None:
    with moving_clock() as hours:
        node, cheap = renders.node(), renders.place(6, tier="economy", window_units=2)
        hours.wait(BOUND_SECONDS - 1)
        with renders.database.unit_of_work() as session:
            assert render_queue.raise_overdue(session, BOUND_SECONDS) == 0
        hours.wait(2)
        in_hand = [item for _ in range(2) if (renders.place(2, window_units=2)) for item in renders.claim(node, 2)]
        with renders.database.unit_of_work() as session:
            assert render_queue.raise_overdue(session, BOUND_SECONDS) == 2  # four are parked: they stand in no queue yet
            assert render_queue.raise_overdue(session, BOUND_SECONDS) == 2, "the same, anew"
        with renders.database.unit_of_work() as session:
            render_orders.set_priority(session, renders.account_id, cheap, 3)
        assert renders.complete(in_hand) == 4
        renders.place(1, priority=100)
        assert turn(renders, node, hours) == cheap  # moved among its owner's, and overdue still
        assert turn(renders, node, hours) == cheap
        assert turn(renders, node, hours) != cheap


def test_the_scene_that_a_node_has_open_comes_first_among_equals_alone(renders: Renders) -> None:
    with moving_clock() as hours:
        node, urgent = renders.node(), renders.place(1)
        open_one = renders.place(20, window_units=8)
        assert renders.claim(node, 1, open_one)[0].job.id == open_one  # as urgent as the other, which came before it
        with renders.database.unit_of_work() as session:
            render_orders.set_priority(session, renders.account_id, urgent, 5)
        assert renders.claim(node, 1, open_one)[0].job.id == urgent
        assert renders.claim(node, 1, open_one)[0].job.id == open_one
        cheap = renders.place(1, tier="economy")
        hours.wait(BOUND_SECONDS + 1)
        with renders.database.unit_of_work() as session:
            render_queue.raise_overdue(session, BOUND_SECONDS)
        assert [item.job.id for item in renders.claim(node, 2, open_one)] in ([cheap, open_one], [open_one, cheap])


def test_what_a_node_had_when_the_priority_changed_comes_back_with_the_new_one(renders: Renders) -> None:
    with moving_clock():
        node, first, second = renders.node(), renders.place(1), renders.place(1)
        [held] = renders.claim(node)
        with renders.database.unit_of_work() as session:
            render_orders.set_priority(session, renders.account_id, first, -5)
        with renders.database.unit_of_work() as session:
            assert outcomes.release(session, held.attempt_id, held.fence)
        assert [renders.claim(node)[0].job.id for _ in range(2)] == [second, first]


def test_priorities_move_a_job_within_its_tier_alone(renders: Renders) -> None:
    with moving_clock() as hours:
        node = renders.node()
        cheap, last = renders.place(1, tier="economy", priority=10**6), renders.place(1)
        first, second = renders.place(1), renders.place(1, priority=-(10**6))
        with renders.database.unit_of_work() as session:
            render_orders.set_priority(session, renders.account_id, first, 10**6)
        assert [turn(renders, node, hours) for _ in range(4)] == [first, last, second, cheap]
