"""Events of renders: whoever changes a render tells of it, and a reader who is cut off misses nothing, in whatever order
transactions commit."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text

from app.core import completions, job_events, outcomes, render_orders
from app.core.completions import Finished
from app.db import Database
from app.models.job_events import JobEvent
from app.values import clock
from app.values.money import parse
from tests.factories.render_market import Renders
from tests.factories.task_market import moving_clock


@pytest.fixture
def renders(database: Database) -> Renders:
    return Renders(database)


def since(renders: Renders, job_id: Any, after: int = 0, most: int = 200) -> list[JobEvent]:
    with renders.database.unit_of_work() as session:
        return job_events.read(session, job_id, after, most).events


def told(events: list[JobEvent]) -> list[tuple[Any, ...]]:
    """The events without what varies."""
    return [
        (event.facts["frame"], event.facts["status"]) if event.kind == "frame" else (
            event.facts["job_state"], event.facts["payment_state"], event.facts["has_begun"])
        for event in events
    ]  # fmt: skip


def test_every_change_is_told_once_with_what_it_cost(renders: Renders) -> None:
    with moving_clock() as hours:
        node = renders.node()
        job_id = renders.place(3)
        first = renders.claim(node, 1)
        hours.wait(5)
        renders.complete(first)
        (broken,) = renders.claim(node, 1)
        renders.node_fails(broken)
        with renders.database.unit_of_work() as session:
            render_orders.pause(session, renders.account_id, job_id)
        with renders.database.unit_of_work() as session:
            render_orders.set_priority(session, renders.account_id, job_id, 5)
        with renders.database.unit_of_work() as session:
            render_orders.cancel(session, renders.account_id, job_id)
    events = since(renders, job_id)
    assert [event.sequence for event in events] == list(range(1, len(events) + 1))
    assert told(events) == [
        ("open", "confirmed", False), (1, "rendering"), ("open", "confirmed", True), (1, "completed"), (2, "rendering"),
        (2, "queued"), ("paused", "confirmed", True), ("paused", "confirmed", True), ("cancelled", "confirmed", True),
    ]  # fmt: skip
    done, failed, end = events[3].facts, events[5].facts, events[-1].facts
    assert (done["seconds"], done["cost_minor"], done["charged_minor"]) == (5, 5 * 10**6, 5 * 10**6)
    assert (done["completed"], done["total"], failed["error"], failed["attempts"]) == (1, 3, "CRASHED", 1)
    assert (end["reason"], end["charged_minor"], end["is_settled"]) == ("CANCELLED_BY_USER", 5 * 10**6, True)


def test_a_job_that_ends_while_its_reader_is_away_for_30_s_is_told_whole(renders: Renders) -> None:
    with moving_clock() as hours:
        node = renders.node()
        job_id = renders.place(12)
        renders.complete(renders.claim(node, 2))
        seen = since(renders, job_id)
        last = seen[-1].sequence or 0
        for _ in range(6):  # the reader is away
            taken = renders.claim(node, 4)
            hours.wait(5)
            renders.complete(taken)
        later = [event for page in range(100) for event in since(renders, job_id, last + page * 3, 3)]
    both = seen + later
    assert [event.sequence for event in both] == list(range(1, len(both) + 1))
    frames = [event.facts["frame"] for event in both if event.kind == "frame" and event.facts["status"] == "completed"]
    assert sorted(frames) == list(range(1, 13))
    assert told(both)[-1] == ("completed", "confirmed", True) or told(both)[-2] == ("completed", "confirmed", True)
    assert both[-1].facts["charged_minor"] == renders.order(job_id).charged_minor
    assert since(renders, job_id, last + len(later)) == since(renders, job_id, 10**9) == []


def test_what_was_written_first_and_committed_last_is_not_missed(renders: Renders) -> None:
    """The trap of a plain counter: the later number is seen first, and whoever goes on from it never sees the earlier one."""
    node = renders.node()
    job_id = renders.place(4)
    one, two = renders.claim(node, 2)
    before = since(renders, job_id)
    with renders.database.engine.connect() as slow:
        slow.execute(text("SET CONSTRAINTS ALL IMMEDIATE"))  # so that its event is written now, and committed later
        slow.execute(text("UPDATE work_units SET state = 'queued' WHERE id = :id"), {"id": one.unit_id})
        with renders.database.engine.begin() as quick:
            quick.execute(text("UPDATE work_units SET state = 'queued' WHERE id = :id"), {"id": two.unit_id})
        seen = since(renders, job_id, len(before))
        assert told(seen) == [(two.frame, "queued")]
        slow.commit()
    later = since(renders, job_id, seen[-1].sequence or 0)
    assert told(later) == [(one.frame, "queued")]
    assert [event.sequence for event in (*before, *seen, *later)] == list(range(1, len(before) + 3))
    assert later[0].id < seen[0].id, "it was written first"


def test_many_write_and_many_read_and_all_see_one_story(renders: Renders) -> None:
    nodes = [renders.node() for _ in range(3)]
    job_id = renders.place(30, window_units=30)
    is_over = threading.Event()

    def work(node: Any) -> None:
        while taken := renders.claim(node, 2):
            renders.complete(taken)

    def follow(_: int) -> list[tuple[int | None, Any]]:
        seen: list[JobEvent] = []
        while True:
            was_over = is_over.is_set()
            found = since(renders, job_id, (seen[-1].sequence or 0) if seen else 0, 7)
            seen += found
            if was_over and not found:
                return [(event.sequence, event.id) for event in seen]

    with ThreadPoolExecutor(6) as pool:
        readers = [pool.submit(follow, number) for number in range(3)]
        for worker in [pool.submit(work, node) for node in nodes]:
            worker.result(60)
        is_over.set()
        stories = [reader.result(60) for reader in readers]
    assert stories[0] == stories[1] == stories[2]
    assert [number for number, _ in stories[0]] == list(range(1, len(stories[0]) + 1))
    done = [event for event in since(renders, job_id) if event.facts.get("status") == "completed"]
    assert sorted(event.facts["frame"] for event in done) == list(range(1, 31))


def test_a_cancel_and_a_claim_of_the_same_job_never_wait_in_a_ring(renders: Renders) -> None:
    """A job's change is told at its commit: while it waits for units, it holds nothing that their holders wait for."""
    node = renders.node()
    job_id = renders.place(4)
    with ThreadPoolExecutor(1) as pool, renders.database.engine.begin() as claim:
        unit = "SELECT id FROM work_units WHERE job_id = :id AND ordinal = 0 FOR UPDATE"
        claim.execute(text(unit), {"id": job_id})

        def cancel() -> None:
            with renders.database.unit_of_work() as session:
                render_orders.cancel(session, renders.account_id, job_id)

        cancelling = pool.submit(cancel)
        with renders.database.engine.connect() as watcher:
            waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
            while not watcher.scalar(text(waits)):
                watcher.rollback()
        claim.execute(text("UPDATE work_units SET state = 'assigned' WHERE job_id = :id AND ordinal = 0"), {"id": job_id})
        claim.commit()
        cancelling.result(30)
    assert told(since(renders, job_id))[-1] == ("cancelled", "refunded", False)
    assert renders.claim(node, 1) == []


def test_what_changes_nothing_is_no_event_and_other_dialects_have_none(renders: Renders) -> None:
    node = renders.node()
    job_id = renders.place(2)
    with renders.database.unit_of_work() as session:
        render_orders.set_cap(session, renders.account_id, job_id, parse("0.2", "RCREDIT"))  # the bound
    with renders.database.unit_of_work() as session:
        assert completions.complete(session, [Finished(node, 1, "k", "0" * 64, 1, 1.0)]) == set()
    assert told(since(renders, job_id)) == [("open", "confirmed", False)]
    with renders.database.unit_of_work() as session:
        assert job_events.read(session, node, 5).events == []


def test_a_node_that_takes_and_gives_back_for_ever_fills_nothing(renders: Renders) -> None:
    node = renders.node()
    job_id = renders.place(1)
    for _ in range(2):
        (taken,) = renders.claim(node)
        with renders.database.unit_of_work() as session:
            assert outcomes.release(session, taken.attempt_id, taken.fence)
    before = told(since(renders, job_id))
    assert before[-3:] == [(1, "queued"), (1, "rendering"), (1, "queued")]
    with renders.database.unit_of_work() as session:
        session.execute(text("UPDATE work_units SET fence = 50 WHERE job_id = :id"), {"id": job_id})
    (taken,) = renders.claim(node)
    with renders.database.unit_of_work() as session:
        assert outcomes.release(session, taken.attempt_id, taken.fence)
    assert told(since(renders, job_id)) == before
    renders.complete(renders.claim(node))
    assert told(since(renders, job_id))[len(before) :] in (
        [(1, "completed"), ("completed", "confirmed", True)], [("completed", "confirmed", True), (1, "completed")]
    )  # fmt: skip


def test_events_go_some_days_after_the_end_and_a_late_reader_hears_of_it(renders: Renders) -> None:
    with moving_clock() as hours:
        node = renders.node()
        running, ended = renders.place(3), renders.place(1)
        renders.complete([item for item in renders.claim(node, 9) if item.job.id == ended])
        count = len(since(renders, ended))
        hours.wait(timedelta(days=8).total_seconds())
        with renders.database.unit_of_work() as session:
            assert (job_events.forget_old(session, 9), job_events.forget_old(session, 7)) == (0, 1)
        with renders.database.unit_of_work() as session:
            page = job_events.read(session, ended, 1)
            assert (page.events, page.skipped, page.last, page.has_more) == ([], count - 1, count, False)
            assert job_events.forget_old(session, 7) == 0
    assert since(renders, running) and clock.now()
