"""Logs of compute tasks: in order, once, bounded, told however often; and every change of a task's states by its number."""

import itertools
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import func, select, text, update

from app.core import task_changes, task_logs
from app.core.task_logs import Line, LogLimits, Taken, Told
from app.db import Database
from app.models.jobs import Attempt, Job
from app.models.task_logs import TaskLogLine, TaskLogMark, TaskStream
from app.values import clock
from tests.factories.followed_tasks import LIMITS, FollowedTask, node_of_nobody


def test_what_is_told_again_is_there_once_and_in_order(database: Database) -> None:
    task = FollowedTask(database)
    attempt = task.attempt()
    assert task.write(attempt, "one", "two", first=1) == 3
    assert task.write(attempt, "one", "two", first=1) == 3
    assert task.write(attempt, "two", "three", first=2) == 4
    assert task.tell(attempt, [Line("five", number=5), Line("four", number=4), Line("again", number=5)]) == 6
    assert task.write(attempt, "six", "seven") == 8  # whoever does not count goes on
    assert task.messages() == ["one", "two", "three", "four", "five", "six", "seven"]
    assert [line.sequence for line in task.read().lines] == list(range(1, 8))
    assert task.read().lost == 0


def test_a_gap_in_the_numbers_is_what_the_host_dropped(database: Database) -> None:
    task = FollowedTask(database)
    attempt = task.attempt()
    task.write(attempt, "first", first=1)
    task.tell(attempt, [Line("tenth", number=10), Line("twelfth", number=12)])
    page = task.read()
    assert ([line.message for line in page.lines], page.lost, page.last) == (["first", "tenth", "twelfth"], 9, 3)


def test_each_attempt_counts_for_itself_and_the_task_goes_on(database: Database) -> None:
    task = FollowedTask(database)
    lost = task.attempt()
    task.write(lost, "a1", first=1)
    found = task.attempt()
    task.write(found, "b1", "b2", first=1)
    task.write(lost, "a1", "a2", first=1)
    task.write(found, "b2", "b3", first=2)
    assert task.messages() == ["a1", "b1", "b2", "a2", "b3"]


def test_a_reader_goes_on_from_its_number_and_hears_what_is_gone(database: Database) -> None:
    task, limits = FollowedTask(database), LogLimits(lines=100, size_bytes=10**6)
    attempt = task.attempt()
    for number in range(1, 251):
        task.write(attempt, f"line {number}", first=number, limits=limits)
    kept = task.read(after=0)
    assert len(kept.lines) in range(90, 101) and kept.lines[-1].message == "line 250"
    assert kept.skipped == kept.lines[0].sequence - 1 == 250 - len(kept.lines)
    assert task.messages(after=248) == ["line 249", "line 250"]
    assert task.messages(after=kept.last) == task.messages(after=10**9) == []
    assert task.read(after=10**9).last == 250  # a number that is not there yet must hide nothing that comes
    assert [line.sequence for line in task.read(None, 3).lines] == [248, 249, 250]


def test_a_log_is_bounded_in_bytes_and_each_line_in_length(database: Database) -> None:
    task, limits = FollowedTask(database), LogLimits(lines=10**6, size_bytes=65_536)
    attempt = task.attempt()
    for number in range(1, 60):
        task.write(attempt, "é" * 10_000, first=number, limits=limits)
    with database.read_only() as session:
        stream = session.get_one(TaskStream, task.id)
        size = session.scalar(select(func.sum(func.octet_length(TaskLogLine.message))).where(TaskLogLine.job_id == task.id))
        counted = session.scalar(select(func.sum(TaskLogLine.size_bytes)).where(TaskLogLine.job_id == task.id))
    assert 40_000 < size <= stream.kept_bytes == counted <= 65_536
    assert all(len(message) == task_logs.MESSAGE_LIMIT_CHARS and message.endswith("…") for message in task.messages())
    assert task.read().last == 59


@pytest.mark.parametrize("line", [
    Line("zero \0 byte"), Line("half \ud800 character"), Line("", "nonsense"), Line("x", logged_at=datetime(1, 1, 1, tzinfo=UTC)),
    Line("x", logged_at=datetime(9999, 12, 31, tzinfo=UTC)), Line("x", logged_at=datetime(2020, 1, 1)),
])  # fmt: skip
def test_whatever_a_host_says_can_be_kept(database: Database, line: Line) -> None:
    task = FollowedTask(database)
    task.tell(task.attempt(), [line])
    [kept] = task.read().lines
    assert kept.level == "INFO" and abs(kept.logged_at - clock.now()) < timedelta(minutes=1) and "\0" not in kept.message


def test_a_nodes_lines_count_for_its_own_attempt_alone_and_a_little_after_its_end(database: Database) -> None:
    task, node, stranger = FollowedTask(database), node_of_nobody(database), node_of_nobody(database)
    attempt, render = task.attempt(node), uuid.uuid4()
    told = Told([Line("hello", number=1)], {"cpu_usage_percent": 12.5}, clock.now())

    def take(who: uuid.UUID, what: uuid.UUID, fence: int = 1) -> Taken:
        with database.unit_of_work() as session:
            return task_logs.take(session, who, what, fence, told, LIMITS)

    refused = Taken(False, 1)
    assert take(stranger, attempt) == take(node, render) == take(node, attempt, fence=2) == refused
    assert task.messages() == []
    assert take(node, attempt) == take(node, attempt) == Taken(True, 2)
    assert task.messages() == ["hello"]
    with database.unit_of_work() as session:
        assert len(task_logs.samples(session, task.id, 10)) == 1
        session.execute(update(Attempt).where(Attempt.id == attempt).values(state="lost", ended_at=clock.now()))
    assert take(node, attempt) == Taken(False, 2)
    with database.unit_of_work() as session:
        long_ago = clock.now() - timedelta(seconds=task_logs.LATE_SECONDS + 1)
        session.execute(update(Attempt).where(Attempt.id == attempt).values(ended_at=long_ago))
    assert take(node, attempt) == refused


def test_many_tell_at_once_while_the_task_changes_and_readers_see_no_gap(database: Database) -> None:
    """Writers of lines lock the stream alone, whoever changes states has locked job and unit before: nobody waits in a ring."""
    task = FollowedTask(database)
    attempts = [task.attempt() for _ in range(3)]
    seen: list[int] = []

    def write(attempt: uuid.UUID) -> None:
        for number in range(1, 61, 3):
            task.write(attempt, "a", "b", "c", first=number)
            task.write(attempt, "b", "c", first=number + 1)

    def change(number: int) -> None:
        for step in range(20):
            with database.unit_of_work() as session:
                session.execute(select(Job.id).where(Job.id == task.id).with_for_update())
                now_is = {"p": (number + step) / 99, "j": task.id}
                session.execute(text("UPDATE work_units SET progress = :p WHERE job_id = :j"), now_is)
                if step % 5 == 0:
                    task_logs.note_metrics(session, task.id, {"cpu_usage_percent": step})

    def follow() -> None:
        while len(seen) < 180:
            seen.extend(line.sequence for line in task.read(after=seen[-1] if seen else 0).lines)

    with ThreadPoolExecutor(6) as pool:
        running = [pool.submit(write, attempt) for attempt in attempts]
        running += [pool.submit(change, 1), pool.submit(change, 50), pool.submit(follow)]
        for done in running:
            done.result(60)
    assert seen == list(range(1, 181))
    changes = task.changes()
    assert [change.sequence for change in changes] == list(range(1, len(changes) + 1))
    assert all(before.progress != after.progress for before, after in itertools.pairwise(changes[4:]))


def test_every_change_of_a_task_has_a_number_and_ends_with_its_reason(database: Database) -> None:
    task = FollowedTask(database)
    task.attempt()
    task.set(state="rendering", progress=0.25)
    task.set(progress=0.5)
    task.set(progress=0.5, lease_until=clock.now())  # nothing new
    task.end("failed", "TIMEOUT")
    found = [(c.sequence, c.unit_state, c.job_state, c.reason_code, c.progress) for c in task.changes()]
    assert found[:4] == [
        (1, "queued", "open", None, 0.0),
        (2, "assigned", "open", None, 0.0),
        (3, "rendering", "open", None, 0.25),
        (4, "rendering", "open", None, 0.5),
    ]
    assert found[4:] == [(5, "rendering", "failed", "TIMEOUT", 0.5)]  # its unit's own end says nothing new
    assert task.changes(after=3)[0].sequence == 4


def test_only_the_newest_changes_and_samples_are_kept(database: Database) -> None:
    task = FollowedTask(database)
    with database.unit_of_work() as session:
        for number in range(1, 1100):
            session.execute(text("UPDATE work_units SET progress = :p WHERE job_id = :j"), {"p": number / 2000, "j": task.id})
        start = clock.now()
        for number in range(1010):
            task_logs.note_metrics(session, task.id, {"cpu_usage_percent": number}, start + timedelta(seconds=number))
    with database.read_only() as session:
        found = task_changes.since(session, task.id, 0)
        samples = task_logs.samples(session, task.id, 5000)
    assert (found.skipped, found.rows[0].sequence, found.has_more) == (100, 101, True)
    assert len(samples) == task_logs.SAMPLES_KEPT and samples[-1].figures == {"cpu_usage_percent": 1009}


def test_what_a_task_wrote_goes_long_after_its_end_and_how_it_ended_stays(database: Database) -> None:
    old, young, open_one = FollowedTask(database), FollowedTask(database), FollowedTask(database)
    for task in (old, young, open_one):
        attempt = task.attempt()
        task.write(attempt, "line", first=1)
    old.end("failed", "TIMEOUT")
    young.end()
    with database.unit_of_work() as session:
        long_ago = clock.now() - timedelta(days=31)
        session.execute(update(TaskStream).where(TaskStream.job_id == old.id).values(kept_since=long_ago))
    with database.unit_of_work() as session:
        assert task_logs.forget_old(session, 30) == 1
        assert task_logs.forget_old(session, 30) == 0
        assert session.scalar(select(func.count()).select_from(TaskLogMark)) == 2
        assert task_changes.latest(session, old.id).job_state == "failed"
    assert (old.messages(), young.messages(), open_one.messages()) == ([], ["line"], ["line"])
    assert len(old.changes()) == 1
