"""Videos: the frames that a node joins, and the file that came of it."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.core import jobs, render_units
from app.core.render_frames import Ordered
from app.errors import Conflict, Forbidden, NotFound
from app.models.jobs import Attempt, WorkUnit
from app.values.render_settings import VIDEO
from app.values.states import HELD, AttemptState, UnitState


@dataclass(frozen=True, slots=True)
class File:
    """A finished unit's file in the store; `frame` is None for a video."""

    frame: int | None
    key: str
    sha256: str
    size_bytes: int


def inputs(
    session: Session, node_id: uuid.UUID, attempt_id: uuid.UUID, fence: int, after: int | None, limit: int
) -> Sequence[File]:
    """The frames that an attempt joins, in rising order, beyond `after`.

    Forbidden for another node's attempt, Conflict ATTEMPT_NOT_LIVE, and for one that joins nothing NO_INPUTS.
    """
    query = select(WorkUnit, Attempt).join(Attempt, Attempt.unit_id == WorkUnit.id).where(Attempt.id == attempt_id)
    row = session.execute(query).one_or_none()
    if row is not None and row[1].node_id != node_id:
        raise Forbidden("an attempt here is another node's", code="ATTEMPT_NOT_YOURS")
    if row is None or row[1].state != AttemptState.LIVE or row[1].fence != fence or row[0].state not in HELD:
        raise Conflict("this attempt is not live any more", code="ATTEMPT_NOT_LIVE")
    unit = row[0]
    if unit.kind != render_units.JOIN_KIND:
        raise Conflict(f"a {unit.kind} has no frames to be joined", code="NO_INPUTS")
    wanted = (WorkUnit.job_id == unit.job_id, WorkUnit.kind == render_units.KIND, WorkUnit.state == UnitState.COMPLETED)
    frames = select(WorkUnit).where(*wanted).order_by(WorkUnit.frame).limit(limit)
    return [_file(item) for item in session.scalars(frames if after is None else frames.where(WorkUnit.frame > after))]


def video(session: Session, ordered: Ordered) -> File:
    """The job's video. NotFound NO_VIDEO for a job without one, VIDEO_NOT_READY while it is not there."""
    job = ordered.job
    if not job.settings.get("video") and job.settings.get("output_format") != VIDEO:
        message = "this job makes no video; order one with settings.output_format MP4. Its pictures are at /frames"
        raise NotFound(message, code="NO_VIDEO")
    makes_it = WorkUnit.kind.in_((render_units.JOIN_KIND, render_units.VIDEO_KIND))
    query = select(WorkUnit).where(WorkUnit.job_id == job.id, makes_it)
    unit = session.scalars(query.where(WorkUnit.state == UnitState.COMPLETED)).one_or_none()
    if unit is None:
        said = "will not come any more" if jobs.is_over(job) else "is not there yet"
        raise NotFound(f"the video {said}; what is rendered of its frames is at /frames", code="VIDEO_NOT_READY")
    return _file(unit)


def _file(unit: WorkUnit) -> File:
    return File(unit.frame, unit.result_key or "", unit.result_sha256 or "", unit.result_bytes or 0)
