"""What a task's container writes and uses, as its host tells it: bounded, numbered without gaps, harmless to tell twice.

Every verb here that writes locks the task's stream (`models.task_logs`) and nothing after it: call it as the last of what a unit
of work does to the task.
"""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from app import outbox
from app.models.task_logs import TaskLogLine, TaskLogMark, TaskSample, TaskStream
from app.values import clock

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
MESSAGE_LIMIT_CHARS = 4000
LINE_COST_BYTES = 64  # what a line takes beside its text: a million empty ones are not free
SAMPLES_KEPT = 1000
LATE_SECONDS = 120  # so long an attempt that has ended may still tell what it had not told
CLOCK_TOLERANCE = timedelta(days=1)
# Cut down to nine tenths, so that a task at its limits is not cut at every line.
_CUT = text("""
WITH sized AS (
    SELECT sequence, sum(size_bytes) OVER (ORDER BY sequence DESC) AS and_newer FROM task_log_lines WHERE job_id = :job_id),
gone AS (
    DELETE FROM task_log_lines WHERE job_id = :job_id AND sequence <= (
        SELECT max(sequence) FROM sized WHERE and_newer > :bytes OR sequence <= :up_to)
    RETURNING sequence, size_bytes)
SELECT max(sequence), coalesce(sum(size_bytes), 0) FROM gone
""")
_CUT_SAMPLES = text("""
DELETE FROM task_samples WHERE job_id = :job_id AND sampled_at < (
    SELECT sampled_at FROM task_samples WHERE job_id = :job_id ORDER BY sampled_at DESC OFFSET :kept LIMIT 1)
""")
_ATTEMPT = text("""
SELECT u.job_id, a.node_id, a.ended_at, a.state = 'live' AND u.attempt_id = a.id AS is_live
FROM attempts a JOIN work_units u ON u.id = a.unit_id JOIN task_streams s ON s.job_id = u.job_id
WHERE a.id = :attempt_id AND a.fence = :fence
""")
_FORGET = text("""
WITH old AS (
    SELECT job_id FROM task_streams WHERE kept_since < :before ORDER BY kept_since LIMIT :most FOR UPDATE SKIP LOCKED),
no_lines AS (DELETE FROM task_log_lines WHERE job_id IN (SELECT job_id FROM old)),
no_samples AS (DELETE FROM task_samples WHERE job_id IN (SELECT job_id FROM old)),
no_marks AS (DELETE FROM task_log_marks WHERE job_id IN (SELECT job_id FROM old)),
last_changes AS (
    DELETE FROM task_changes c USING task_streams s
    WHERE c.job_id IN (SELECT job_id FROM old) AND s.job_id = c.job_id AND c.sequence < s.changes)
UPDATE task_streams s SET kept_since = NULL, lines_cut = s.lines, kept_bytes = 0 FROM old WHERE s.job_id = old.job_id
RETURNING s.job_id
""")


@dataclass(frozen=True, slots=True)
class Line:
    """As it is told. `number` is the attempt's own count from 1 on; None for whoever does not count: then the next one.
    `logged_at` is None, or hours off, where the hub's own time is better."""

    message: str
    level: str = "INFO"
    logged_at: datetime | None = None
    number: int | None = None


@dataclass(frozen=True, slots=True)
class LogLimits:
    """What is kept of one task's log; the oldest go first."""

    lines: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Told:
    """What a host tells of one attempt at one time."""

    lines: Sequence[Line] = ()
    figures: Mapping[str, float] | None = None
    sampled_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Taken:
    """Whether the attempt is live, and from which number on the hub has not its lines."""

    is_live: bool
    next_number: int


@dataclass(frozen=True, slots=True)
class Page:
    """Lines in their order. `last` is the number to go on from; `skipped` lines between there were deleted before, and `lost`
    ones, in all, the host never sent."""

    lines: list[TaskLogLine]
    last: int
    skipped: int = 0
    lost: int = 0


def take(session: Session, node_id: uuid.UUID, attempt_id: uuid.UUID, fence: int, told: Told, limits: LogLimits) -> Taken:
    """Keep what a node tells of an attempt of its own; of any other, or one that ended long ago, nothing."""
    found = session.execute(_ATTEMPT, {"attempt_id": attempt_id, "fence": fence}).one_or_none()
    if found is None or found.node_id != node_id:
        return Taken(False, 1)
    if found.ended_at is not None and found.ended_at < clock.now() - timedelta(seconds=LATE_SECONDS):
        return Taken(False, 1)
    expected = append(session, found.job_id, attempt_id, told.lines, limits)
    if told.figures:
        note_metrics(session, found.job_id, told.figures, told.sampled_at)
    return Taken(found.is_live, expected)


def append(session: Session, job_id: uuid.UUID, attempt_id: uuid.UUID, lines: Sequence[Line], limits: LogLimits) -> int:
    """Add what an attempt wrote; returns the number of the line that it should tell next.

    Lines that are in are passed over, so telling some again is harmless. Numbers that were left out are taken as lines that
    the host itself has dropped.
    """
    stream = _lock(session, job_id)
    mark = session.get(TaskLogMark, attempt_id, populate_existing=True)
    seen = 0 if mark is None else mark.number
    fresh, number, lost = _fresh(lines, seen)
    if not fresh:
        return seen + 1
    now = clock.now()
    rows = [_row(job_id, stream.lines + place, line, now) for place, line in enumerate(fresh, 1)]
    session.execute(insert(TaskLogLine), rows)
    stream.lines += len(rows)
    stream.lines_lost += lost
    stream.kept_bytes += sum(row["size_bytes"] for row in rows)
    if mark is None:
        session.add(TaskLogMark(attempt_id=attempt_id, job_id=job_id, number=number))
    else:
        mark.number = number
    _cut(session, stream, limits)
    session.flush()
    outbox.tell_followers(session, job_id)
    return number + 1


def note_metrics(
    session: Session, job_id: uuid.UUID, figures: Mapping[str, float], sampled_at: datetime | None = None
) -> None:
    """Keep what the container uses at one moment (`values.task_figures`); telling it again with its time is harmless."""
    _lock(session, job_id)
    moment = _plausible(sampled_at, clock.now())
    statement = insert(TaskSample).values(job_id=job_id, sampled_at=moment, figures=dict(figures))
    session.execute(statement.on_conflict_do_nothing())
    session.execute(_CUT_SAMPLES, {"job_id": job_id, "kept": SAMPLES_KEPT - 1})


def read(session: Session, job_id: uuid.UUID, after: int | None, most: int) -> Page:
    """The first lines after a number, or the last ones there are. A number that is still to come counts as the last."""
    stream = session.get_one(TaskStream, job_id, populate_existing=True)
    query = select(TaskLogLine).where(TaskLogLine.job_id == job_id).limit(most)
    if after is None:
        lines = list(session.scalars(query.order_by(TaskLogLine.sequence.desc())))[::-1]
        return Page(lines, lines[-1].sequence if lines else stream.lines, 0, stream.lines_lost)
    start = min(after, stream.lines)
    lines = list(session.scalars(query.where(TaskLogLine.sequence > start).order_by(TaskLogLine.sequence)))
    skipped = lines[0].sequence - start - 1 if lines else 0
    return Page(lines, lines[-1].sequence if lines else start, skipped, stream.lines_lost)


def samples(session: Session, job_id: uuid.UUID, most: int) -> list[TaskSample]:
    """The newest samples, the oldest of them first."""
    query = select(TaskSample).where(TaskSample.job_id == job_id).order_by(TaskSample.sampled_at.desc())
    return list(session.scalars(query.limit(most)))[::-1]


def forget_old(session: Session, kept_days: int, most: int = 100) -> int:
    """Delete what tasks wrote that ended so long ago, all but their last change; returns of how many tasks."""
    before = clock.now() - timedelta(days=kept_days)
    return len(session.execute(_FORGET, {"before": before, "most": most}).all())


def _lock(session: Session, job_id: uuid.UUID) -> TaskStream:
    query = select(TaskStream).where(TaskStream.job_id == job_id).with_for_update(key_share=True)
    return session.scalars(query.execution_options(populate_existing=True)).one()


def _fresh(lines: Sequence[Line], seen: int) -> tuple[list[Line], int, int]:
    """Those of an attempt's lines that are new, in order; the last one's number; and how many are missing between."""
    numbered: dict[int, Line] = {}
    following = seen
    for line in lines:
        following = following + 1 if line.number is None else line.number
        if following > seen:
            numbered.setdefault(following, line)
    last = max(numbered, default=seen)
    return [numbered[number] for number in sorted(numbered)], last, last - seen - len(numbered)


def _row(job_id: uuid.UUID, sequence: int, line: Line, now: datetime) -> dict[str, Any]:
    message = _clean(line.message)
    return {
        "job_id": job_id,
        "sequence": sequence,
        "logged_at": _plausible(line.logged_at, now),
        "level": line.level.upper() if line.level.upper() in LEVELS else LEVELS[1],
        "message": message,
        "size_bytes": len(message.encode()) + LINE_COST_BYTES,
    }


def _clean(message: str) -> str:
    """What PostgreSQL can keep of it."""
    if len(message) > MESSAGE_LIMIT_CHARS:
        message = message[: MESSAGE_LIMIT_CHARS - 1] + "…"
    return message.replace("\0", "\ufffd").encode("utf-8", "replace").decode()


def _plausible(moment: datetime | None, now: datetime) -> datetime:
    """A host's clock is believed within a day of ours; a log is read by its order, not by its times."""
    if moment is None or moment.tzinfo is None or abs(moment - now) > CLOCK_TOLERANCE:
        return now
    return moment


def _cut(session: Session, stream: TaskStream, limits: LogLimits) -> None:
    """Keep the newest."""
    if stream.lines - stream.lines_cut <= limits.lines and stream.kept_bytes <= limits.size_bytes:
        return
    session.flush()
    most = {"bytes": limits.size_bytes * 9 // 10, "up_to": stream.lines - limits.lines * 9 // 10}
    cut, size_bytes = session.execute(_CUT, {"job_id": stream.job_id, **most}).one()
    if cut is not None:
        stream.lines_cut = cut
        stream.kept_bytes -= int(size_bytes)
