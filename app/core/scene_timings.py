"""What the hub has measured of a scene's bytes, by the settings that they were rendered with."""

import math
import uuid
from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from app.core import pricing
from app.models.jobs import Job, Scene, SceneTiming
from app.values import prompt_times
from app.values.frame_times import Load, Timing

MOST = 100  # settings of one scene that are looked at

# Seconds are what a node says, and they make later prices: no unit can have taken longer than the hub saw go by, and what a
# client's own nodes say of its scene does not count. A frame in tiles took what they took together, and is left out while one of
# them is missing.
_NOTE = text("""
INSERT INTO scene_timings AS t (sha256, settings_key, frames, seconds_total, seconds_squared, probes)
SELECT :sha256, :key, count(*), sum(f.seconds), sum(f.seconds * f.seconds), CASE WHEN :is_probe THEN count(*) ELSE 0 END
FROM (SELECT sum(least(u.seconds, extract(epoch FROM u.completed_at - a.started_at))) AS seconds
    FROM work_units u JOIN jobs j ON j.id = u.job_id LEFT JOIN attempts a ON a.id = u.attempt_id
        LEFT JOIN nodes n ON n.id = a.node_id
    WHERE u.job_id = :job_id AND u.ordinal >= 0 AND u.kind <> 'join'
    GROUP BY u.frame HAVING bool_and(u.state = 'completed' AND (n.account_id = j.account_id) IS NOT TRUE)) f
HAVING count(*) > 0
ON CONFLICT (sha256, settings_key) DO UPDATE SET frames = t.frames + excluded.frames,
    seconds_total = t.seconds_total + excluded.seconds_total, probes = t.probes + excluded.probes,
    seconds_squared = coalesce(t.seconds_squared, t.seconds_total * t.seconds_total / greatest(t.frames, 1))
        + excluded.seconds_squared
""")


@dataclass(frozen=True, slots=True, order=True)
class Ended:
    """A job that is over: the bytes that it rendered, and by which settings they are remembered."""

    sha256: str
    key: str
    job_id: uuid.UUID
    is_probe: bool = False


def note(session: Session, ended: Iterable[Ended]) -> None:
    """Remember how long each finished frame of these jobs took, once for each; the last thing that is locked, in one order."""
    for item in sorted(ended):
        values = {"job_id": item.job_id, "sha256": item.sha256, "key": item.key, "is_probe": item.is_probe}
        session.execute(_NOTE, values)


def note_early(session: Session, job: Job) -> None:
    """The same of a job that was called off: what was finished of it."""
    note(session, ended_early(session, job))


def ended_early(session: Session, job: Job) -> list[Ended]:
    """What is to be noted of a job that is over before all of it is finished; nothing where nothing is."""
    found = prompt_times.timing_key(job.kind, job.settings)
    if found is None and (sha256 := session.scalar(select(Scene.sha256).where(Scene.id == job.scene_id))) is not None:
        found = sha256, pricing.settings_key(job.settings)
    return [Ended(*found, job.id)] if found is not None and job.units_completed else []


def of_scene(session: Session, sha256: str | None) -> list[Timing]:
    """Everything that was measured of these bytes, the most often seen first."""
    if sha256 is None:
        return []
    query = select(SceneTiming).where(SceneTiming.sha256 == sha256, SceneTiming.frames > 0)
    rows = session.scalars(query.order_by(SceneTiming.frames.desc(), SceneTiming.settings_key).limit(MOST))
    return [timing for row in rows if (timing := _read(row)) is not None]


def _read(row: SceneTiming) -> Timing | None:
    """None of settings that are no picture's."""
    engine, *numbers = row.settings_key.split("/")
    if len(numbers) != 3 or not all(number.isascii() and number.isdecimal() and int(number) > 0 for number in numbers):
        return None
    width, height, samples = (int(number) for number in numbers)
    load = Load(engine.lower(), width, height, samples)
    return Timing(load, row.frames, row.seconds_total / row.frames, _deviation(row), row.probes == row.frames)


def _deviation(row: SceneTiming) -> float | None:
    """Of single frames, as far as more than one was seen."""
    if row.frames < 2 or row.seconds_squared is None:
        return None
    mean = row.seconds_total / row.frames
    variance = (row.seconds_squared - row.frames * mean * mean) / (row.frames - 1)
    return math.sqrt(max(0.0, variance))
