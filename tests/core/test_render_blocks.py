"""Each render's own list of nodes that get nothing more of it: one bad node sinks no job."""

import uuid

import pytest

from app.core import outcomes, render_blocks, render_orders
from app.db import Database
from app.models.jobs import Attempt
from app.models.nodes import Node
from app.values.money import parse
from tests.factories.render_market import LIMITS, Renders
from tests.factories.task_market import moving_clock


@pytest.fixture
def renders(database: Database) -> Renders:
    return Renders(database)


def alive(renders: Renders, *node_ids: uuid.UUID) -> None:
    for node_id in node_ids:
        renders.beat(node_id)


def take_back(renders: Renders) -> None:
    with renders.database.unit_of_work() as session:
        outcomes.expire_leases(session, LIMITS)


def blocked(renders: Renders, job_id: uuid.UUID) -> list[uuid.UUID]:
    with renders.database.unit_of_work() as session:
        return render_blocks.of_job(session, job_id)


def attempts(renders: Renders, node_id: uuid.UUID) -> list[str]:
    with renders.database.unit_of_work() as session:
        return [item.state for item in session.query(Attempt).filter_by(node_id=node_id)]


def test_24_frames_over_three_nodes_one_killed_one_always_failing(renders: Renders) -> None:
    with moving_clock() as hours:
        good, killed, bad = renders.node(), renders.node(), renders.node()
        job_id = renders.place(24, window_units=6)
        lost = renders.claim(killed, 2)
        while renders.job(job_id).state == "open":
            for item in renders.claim(bad, 1):
                renders.node_fails(item)
            taken = renders.claim(good, 2)
            hours.wait(10)
            alive(renders, good, bad)
            renders.complete(taken)
            take_back(renders)
        assert renders.job(job_id).state == "completed"
        assert renders.complete(lost) == 0  # woken up again: too late
        units = renders.units(job_id)
        assert sorted(unit.frame for unit in units) == list(range(1, 25))
        assert {unit.state for unit in units} == {"completed"}
        assert sorted(attempts(renders, good)) == ["completed"] * 24
        assert attempts(renders, bad) == ["failed"]  # one crash, and it got no more
        assert sorted(attempts(renders, killed)) == ["lost", "lost"]
        assert blocked(renders, job_id) == [bad]
        assert renders.order(job_id).charged_minor == parse("2.4", "RCREDIT").minor
        assert renders.earned(bad).minor == renders.earned(killed).minor == 0
        renders.assert_conserved(job_id, good, killed, bad)


def test_two_soft_failures_block_one_does_not_and_only_for_that_job(renders: Renders) -> None:
    with moving_clock():
        node, other = renders.node(), renders.node()
        job_id = renders.place(10)
        for count, expected in ((1, []), (2, [node])):
            (item,) = renders.claim(node, 1)
            assert renders.node_fails(item, "UPLOAD_FAILED") == "queued"
            assert blocked(renders, job_id) == expected, count
        assert renders.claim(node, 64) == []
        assert len(renders.claim(other, 64)) == 4
        second = renders.place(10)
        assert {item.job.id for item in renders.claim(node, 64)} == {second}


def test_what_is_handed_out_later_and_what_comes_back_is_kept_from_it_too(renders: Renders) -> None:
    with moving_clock() as hours:
        bad, good = renders.node(), renders.node()
        job_id = renders.place(10, window_units=2)
        (held,) = renders.claim(good, 1)
        (item,) = renders.claim(bad, 1)
        renders.node_fails(item, "GPU_ERROR")
        with renders.database.unit_of_work() as session:
            outcomes.release(session, held.attempt_id, held.fence)
        assert renders.claim(bad, 64) == []
        taken = renders.claim(good, 64)
        assert len(taken) == 2
        hours.wait(5)
        assert renders.complete(taken) == 2
        assert renders.claim(bad, 64) == []
        with renders.database.unit_of_work() as session:
            render_orders.pause(session, renders.account_id, job_id)
            render_orders.resume(session, renders.account_id, job_id)
        assert renders.claim(bad, 64) == [] and len(renders.claim(good, 64)) == 2


def test_frames_wait_for_another_node_than_the_bad_one_that_is_alone(renders: Renders) -> None:
    with moving_clock() as hours:
        bad, job_id = renders.node(), renders.place(6, window_units=6)
        (item,) = renders.claim(bad, 1)
        renders.node_fails(item, "OUT_OF_MEMORY")
        hours.wait(render_blocks.SECOND_TRY_SECONDS - 1)
        alive(renders, bad)
        assert renders.claim(bad, 64) == []
        good = renders.node()
        taken = renders.claim(good, 64)
        hours.wait(2)
        assert renders.claim(bad, 64) == []
        assert renders.complete(taken) == 6
        assert renders.job(job_id).state == "completed"
        renders.assert_conserved(job_id, bad, good)


@pytest.mark.parametrize("code", ["CRASHED", "UPLOAD_FAILED"])
def test_a_render_whose_only_node_is_bad_fails_in_a_bounded_time_with_the_reason(renders: Renders, code: str) -> None:
    with moving_clock() as hours:
        bad, job_id = renders.node(), renders.place(6, window_units=6)
        began, tries = hours.now, 0
        while renders.job(job_id).state == "open":
            for item in renders.claim(bad, 1):
                renders.node_fails(item, code)
                tries += 1
            hours.wait(30)
            alive(renders, bad)
        assert tries == 3
        assert (hours.now - began).total_seconds() <= 2 * render_blocks.SECOND_TRY_SECONDS + 90
        job = renders.job(job_id)
        assert (job.state, job.reason_code) == ("failed", code)
        assert job.error_message == "it broke (tried 3 times, on 1 node)"
        assert renders.balance() == parse("100", "RCREDIT")
        renders.assert_conserved(job_id, bad)


def test_who_falls_silent_again_and_again_does_not_use_up_a_frames_attempts(renders: Renders) -> None:
    with moving_clock() as hours:
        silent, other = renders.node(), renders.node()
        job_id = renders.place(1)
        for expected in ([], [], [silent]):
            assert len(renders.claim(silent, 1)) == 1
            hours.wait(61)
            alive(renders, silent, other)
            take_back(renders)
            assert blocked(renders, job_id) == expected
        assert renders.claim(silent, 1) == []
        taken = renders.claim(other, 1)
        hours.wait(5)
        assert renders.complete(taken) == 1
        assert renders.job(job_id).state == "completed"
        renders.assert_conserved(job_id, silent, other)


def test_a_render_that_is_too_heavy_for_its_quote_makes_no_node_ill(renders: Renders) -> None:
    """Its limit is what was quoted for it; the node gets nothing more of that job."""
    node = renders.node()
    for code, row in (("TIME_LIMIT", 0), ("CRASHED", 1)):
        job_id = renders.place(1)
        (taken,) = renders.claim(node)
        renders.node_fails(taken, code)
        with renders.database.unit_of_work() as session:
            assert session.get_one(Node, node).failures_in_a_row == row
        assert blocked(renders, job_id) == [node]
        renders.cancel(job_id)


def test_a_node_that_has_worked_for_nothing_gets_no_second_try_whatever_it_says_then(renders: Renders) -> None:
    with moving_clock() as hours:
        node = renders.node()
        alive(renders, renders.node())
        job_id = renders.place(8)
        held = renders.claim(node, 2)
        with renders.database.unit_of_work() as session:
            render_blocks.note_overwork(session, job_id, node)
        renders.node_fails(held[0], "CRASHED")
        hours.wait(50)
        take_back(renders)
        hours.wait(3600)
        alive(renders, node)
        assert renders.claim(node, 8) == [] and blocked(renders, job_id) == [node]
