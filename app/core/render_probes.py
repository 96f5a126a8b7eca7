"""Probes: two small frames of a scene that nobody has rendered yet, one with few samples, one with more. Together they tell what
a frame costs whatever its samples, and what each sample costs; estimates are made from that.

Nobody pays for a probe and no node is paid for it, so they are bounded: by account and day, and all together.
"""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from app import outbox
from app.core import doorbells, inspections, outcomes, scene_timings
from app.errors import Conflict
from app.models.jobs import Job, Scene, WorkUnit
from app.models.render_probes import RenderProbe
from app.values import clock
from app.values.states import JobState, PaymentState, UnitState

DIALECT, KIND, UNIT_KIND = inspections.HUB, "render", "frame"  # a job of nobody's
SAMPLES = (4, 32)
SIDE_MOST_PIXELS = 192
SECONDS_MOST = 120  # a node gives up a probe that takes longer
STALE_SECONDS = 600
DAY_SECONDS = 86_400
UNDER_WAY_MOST = 8  # of all accounts together
FIRST = 1  # in the queue: before every frame that is paid for but for those that are overdue, for it is small

NOT_NEEDED, ORDERED, UNDER_WAY, LIMIT_REACHED, BUSY = "not_needed", "ordered", "under_way", "limit_reached", "busy"
DONE, FAILED = "done", "failed"
WORDS = (NOT_NEEDED, ORDERED, UNDER_WAY, LIMIT_REACHED, BUSY, DONE, FAILED)
_ONE_AT_A_TIME = text("SELECT pg_advisory_xact_lock(hashtext('render_probes'))")


@dataclass(frozen=True, slots=True)
class Probe:
    """What came of asking for one: a word of the above, and how many nodes were rung for it."""

    status: str
    rung: int = 0


def signal_key(sha256: str) -> str:
    """What an estimate waits for while its scene is probed."""
    return f"probed:{sha256}"


def order(
    session: Session, account_id: uuid.UUID, scene: Scene, settings: Mapping[str, Any], frame: int, most_a_day: int
) -> Probe:
    """Have a scene probed with these settings but for size and samples; nothing is done twice.

    Conflict SCENE_NOT_READY for a scene that no node has looked at, SCENE_GONE for one whose file is not there any more.
    """
    if scene.report is None:
        raise Conflict("this scene is still looked at; ask for a probe once its status is ready", code="SCENE_NOT_READY")
    if scene.storage_key == "":
        raise Conflict("this scene's file is gone; send it again", code="SCENE_GONE")
    engine = settings["engine"]
    if any(item.load.engine == engine for item in scene_timings.of_scene(session, scene.sha256)):
        return Probe(NOT_NEEDED)
    session.execute(_ONE_AT_A_TIME)
    now = clock.now()
    since = now - timedelta(seconds=STALE_SECONDS)
    open_jobs = select(RenderProbe.sha256).join(Job, Job.id == RenderProbe.job_id)
    under_way = list(session.scalars(open_jobs.where(RenderProbe.ordered_at > since, Job.state == JobState.OPEN)))
    if scene.sha256 in under_way:
        return Probe(UNDER_WAY)
    today = (RenderProbe.account_id == account_id, RenderProbe.ordered_at > now - timedelta(seconds=DAY_SECONDS))
    used = session.scalar(select(func.count(RenderProbe.sha256.distinct())).where(*today)) or 0
    if used >= most_a_day:
        return Probe(LIMIT_REACHED)
    if len(under_way) + len(SAMPLES) > UNDER_WAY_MOST:
        return Probe(BUSY)
    units = [_make(session, account_id, scene, {**settings, "samples": samples}, frame) for samples in SAMPLES]
    return Probe(ORDERED, doorbells.ring(session, KIND, None, units))


def _make(session: Session, account_id: uuid.UUID, scene: Scene, settings: Mapping[str, Any], frame: int) -> uuid.UUID:
    now = clock.now()
    asked = {name: settings[name] for name in ("samples", "engine", "camera")}
    width, height = _small(settings["width"], settings["height"])
    job = Job(
        id=uuid.uuid4(),
        dialect=DIALECT,
        kind=KIND,
        name="probe",
        scene_id=scene.id,
        state=JobState.OPEN,
        payment_state=PaymentState.NONE,
        settings={**asked, "width": width, "height": height, "output_format": "PNG", "max_seconds": SECONDS_MOST},
        asset="RENDER",
        units_total=1,
        created_at=now,
    )
    session.add(job)
    session.flush()
    unit = WorkUnit(
        id=uuid.uuid4(),
        job_id=job.id,
        ordinal=0,
        kind=UNIT_KIND,
        frame=frame,
        capability=KIND,
        priority=FIRST,
        state=UnitState.QUEUED,
        queued_at=now,
        rung_at=now,
        engine=settings["engine"],
    )
    session.add_all([unit, RenderProbe(job_id=job.id, account_id=account_id, sha256=scene.sha256, ordered_at=now)])
    session.flush()
    return unit.id


def _small(width: int, height: int) -> tuple[int, int]:
    """The same proportions, no larger than a probe may be."""
    scale = min(1.0, SIDE_MOST_PIXELS / max(width, height))
    return max(1, round(width * scale)), max(1, round(height * scale))


def conclude(session: Session, job_id: uuid.UUID, sha256: str) -> None:
    """A probe was rendered just now: its picture is of no use, and an estimate may wait for it."""
    outbox.write(session, "probes.delete", str(job_id))
    outbox.signal(session, signal_key(sha256))


def picture_of(session: Session, job_id: uuid.UUID) -> str | None:
    """The file that a finished probe has left behind."""
    query = select(WorkUnit.result_key).join(RenderProbe, RenderProbe.job_id == WorkUnit.job_id)
    return session.scalar(query.where(WorkUnit.job_id == job_id))


def state(session: Session, sha256: str) -> str:
    """How far the probing of these bytes is, once it was ordered: UNDER_WAY, DONE or FAILED."""
    query = select(Job.state).join(RenderProbe, RenderProbe.job_id == Job.id).where(RenderProbe.sha256 == sha256)
    states: Sequence[str] = list(session.scalars(query.order_by(RenderProbe.ordered_at.desc()).limit(len(SAMPLES))))
    if JobState.OPEN in states:
        return UNDER_WAY
    return DONE if JobState.COMPLETED in states else FAILED


def drop_stale(session: Session, batch: int = 100) -> int:
    """End probes that nobody came for. Returns how many."""
    before = clock.now() - timedelta(seconds=STALE_SECONDS)
    open_jobs = select(Job.id).join(RenderProbe, RenderProbe.job_id == Job.id).where(Job.state == JobState.OPEN)
    old = open_jobs.where(RenderProbe.ordered_at < before).limit(batch)
    ids = list(session.scalars(select(Job.id).where(Job.id.in_(old)).order_by(Job.id).with_for_update(skip_locked=True)))

    def end(job_id: uuid.UUID) -> int:
        outcomes.fail_job(session, job_id, "NO_TAKER", "no node took this probe in time")
        return 1

    return outcomes.end_each(session, ids, end)
