"""Stills that were rendered in tiles: what waits to be stitched by the hub, and the picture that came of it."""

import uuid
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from app.core import completions, jobs, outcomes
from app.core.completions import Finished
from app.errors import Conflict
from app.models.jobs import Attempt, Job, WorkUnit
from app.values import clock, tiles
from app.values.states import AttemptState, UnitState
from app.values.tiles import Box

FAILED = "STITCH_FAILED"
TURN_SECONDS = 120  # whoever stitches for longer may be doubled, which is harmless


class BeingStitched(Conflict):
    """Another worker has the turn."""

    code = "BEING_STITCHED"


@dataclass(frozen=True, slots=True)
class Tile:
    """A finished tile: where it belongs, and its file in the store."""

    box: Box
    key: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Stitch:
    """A picture to be made: `unit_id` is the hub's own unit of the job, which the picture will complete."""

    job_id: uuid.UUID
    unit_id: uuid.UUID
    format: str
    tiles: tuple[Tile, ...]

    @property
    def key(self) -> str:
        """Always the same: whoever stitches again writes the same bytes to the same place."""
        return f"stitched/{self.job_id}/{self.unit_id}"


def take(session: Session, job_id: uuid.UUID) -> Stitch | None:
    """What is to be stitched of a job, for whoever asks first: others are told BeingStitched for a while, or until it is done.
    None while tiles are missing, when it is done, or when the job is over."""
    job = session.get(Job, job_id)
    if job is None or jobs.is_over(job):
        return None
    units = list(session.scalars(select(WorkUnit).where(WorkUnit.job_id == job_id).order_by(WorkUnit.ordinal)))
    own = [unit for unit in units if unit.kind == tiles.STITCH_KIND and unit.state == UnitState.QUEUED]
    parts = [unit for unit in units if unit.kind == tiles.KIND]
    if not own or any(unit.state != UnitState.COMPLETED for unit in parts):
        return None
    now = clock.now()
    is_free = (WorkUnit.lease_until.is_(None) | (WorkUnit.lease_until < now)) & (WorkUnit.state == UnitState.QUEUED)
    mine = update(WorkUnit).where(WorkUnit.id == own[0].id, is_free).values(lease_until=now + timedelta(seconds=TURN_SECONDS))
    if not session.execute(mine.returning(WorkUnit.id)).all():
        raise BeingStitched("somebody is at it")
    width, height = job.settings["width"], job.settings["height"]
    found = tuple(
        Tile(tiles.box(unit.tile or {}, width, height), unit.result_key or "", unit.result_bytes or 0) for unit in parts
    )
    return Stitch(job_id, own[0].id, job.settings["output_format"], found)


def complete(session: Session, stitch: Stitch, sha256: str, size_bytes: int) -> bool:
    """The picture is in the store: its unit is done, and with it the job. Nobody is paid for it. False if it was done before, or
    the job is over."""
    job = jobs.lock(session, stitch.job_id)
    unit = session.get_one(WorkUnit, stitch.unit_id, with_for_update=True, populate_existing=True)
    if jobs.is_over(job) or unit.state != UnitState.QUEUED:
        return False
    now = clock.now()
    attempt = Attempt(
        id=uuid.uuid4(),
        unit_id=unit.id,
        fence=unit.fence,
        state=AttemptState.LIVE,
        upload_key=stitch.key,
        started_at=now,
    )
    session.add(attempt)
    unit.state, unit.is_parked, unit.attempt_id, unit.lease_until = UnitState.ASSIGNED, False, attempt.id, now
    session.flush()
    done = Finished(attempt.id, unit.fence, stitch.key, sha256, size_bytes, 0.0)
    return bool(completions.complete(session, [done]))


def is_made(session: Session, stitch: Stitch) -> bool:
    """Whether the job has its picture: if not, nobody needs what lies at its place any more."""
    return session.scalar(select(WorkUnit.state).where(WorkUnit.id == stitch.unit_id)) == UnitState.COMPLETED


def spent(session: Session, job_id: uuid.UUID) -> list[str]:
    """The files of the tiles of a job that is over: its client gets the whole picture, or none."""
    job = session.get_one(Job, job_id)
    if not jobs.is_over(job):
        return []
    query = select(WorkUnit.result_key).where(WorkUnit.job_id == job_id, WorkUnit.kind == tiles.KIND)
    return [key for key in session.scalars(query.order_by(WorkUnit.ordinal)) if key is not None]


def give_up(session: Session, stitch: Stitch, message: str) -> None:
    """The tiles can't become one picture: the job fails, and keeps what it has."""
    if not jobs.is_over(jobs.lock(session, stitch.job_id)):
        outcomes.fail_job(session, stitch.job_id, FAILED, message)
