"""The frames of an account's job, whichever dialect sold it: how each stands, and the pictures that may be given out."""

import uuid
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import ARRAY, ColumnElement, Integer, any_, bindparam, func, select
from sqlalchemy.orm import Session

from app.core import jobs, render_billing, render_units
from app.errors import Conflict, NotFound, PaymentRequired
from app.models.job_events import JobStream
from app.models.jobs import Attempt, Job, WorkUnit
from app.models.render_orders import RenderOrder
from app.values.money import Money
from app.values.picture_formats import EXTENSIONS
from app.values.states import UnitState

NAMED_MOST = 100


@dataclass(frozen=True, slots=True)
class Ordered:
    """A job and its order; None for what another dialect sold."""

    job: Job
    order: RenderOrder | None

    @property
    def is_paid(self) -> bool:
        """Whether its pictures may be given out: what another dialect sold was paid before it was rendered."""
        return self.order is None or self.order.mode != render_billing.DEFERRED or self.order.settled_at is not None

    @property
    def cost(self) -> Money:
        """What its frames have cost by now; of another dialect's job nothing is charged by the frame."""
        return Money(self.order.charged_minor if self.order else 0, self.job.asset)


@dataclass(frozen=True, slots=True)
class FrameRow:
    """A frame: the states of its units (one, or its tiles), the seconds that count, what they cost (None where frames have no
    price of their own, or this one none yet), and how often a node took one."""

    frame: int
    states: frozenset[UnitState]
    seconds: float | None
    cost: Money | None
    attempts: int


@dataclass(frozen=True, slots=True)
class Picture:
    """A finished frame's file in the store; `format` is PNG, JPEG or EXR: a video's frames are PNG."""

    unit_id: uuid.UUID
    frame: int
    key: str
    sha256: str
    size_bytes: int
    format: str


def find(session: Session, account_id: uuid.UUID, job_id: uuid.UUID) -> Ordered:
    """An account's own job; NotFound JOB_NOT_FOUND for anybody else's, as for none."""
    query = select(Job, RenderOrder).outerjoin(RenderOrder, RenderOrder.job_id == Job.id)
    row = session.execute(query.where(Job.id == job_id, Job.account_id == account_id)).one_or_none()
    if row is None:
        raise NotFound("there is no such job of yours", code="JOB_NOT_FOUND")
    return Ordered(row[0], row[1])


def assert_job_paid(session: Session, job: Job) -> None:
    """`assert_paid` for whoever has the job already: no dialect gives out what another one is still owed for."""
    if render_billing.is_render(job):
        assert_paid(Ordered(job, session.get(RenderOrder, job.id)))


def rows(session: Session, ordered: Ordered, frames: Sequence[int] | None = None) -> list[FrameRow]:
    """The job's frames, or those of these that it has, in rising order: before payment, too."""
    job = ordered.job
    seconds = func.least(WorkUnit.seconds, func.extract("epoch", WorkUnit.completed_at - Attempt.started_at))
    query = (
        select(
            WorkUnit.frame,
            func.array_agg(WorkUnit.state.distinct()),
            func.sum(seconds).filter(WorkUnit.completed_at.is_not(None)),
            func.sum(WorkUnit.cost_minor),
            func.sum(WorkUnit.fence),
        )
        .outerjoin(Attempt, Attempt.id == WorkUnit.attempt_id)
        .where(WorkUnit.job_id == job.id, WorkUnit.ordinal >= 0, WorkUnit.frame.is_not(None))
        .group_by(WorkUnit.frame)
        .order_by(WorkUnit.frame)
    )
    found = session.execute(query if frames is None else query.where(_among(frames))).all()
    if not found:
        return _planned(session, job, frames)
    return [
        FrameRow(
            frame=row[0],
            states=frozenset(UnitState(state) for state in row[1]),
            seconds=None if row[2] is None else round(float(row[2]), 3),
            cost=None if row[3] is None else Money(int(row[3]), job.asset),
            attempts=int(row[4]),
        )
        for row in found
    ]


def _among(frames: Iterable[int]) -> ColumnElement[bool]:
    return WorkUnit.frame == any_(bindparam("frames", list(frames), type_=ARRAY(Integer)))


def _planned(session: Session, job: Job, frames: Collection[int] | None) -> list[FrameRow]:
    """Of a job whose units are made when it is paid, or whose frames are made all in one, as the video of a prompt."""
    planned = set(job.settings.get("frame_list", ()))
    planned &= planned if frames is None else set(frames)
    of_video = select(WorkUnit.state).where(WorkUnit.job_id == job.id, WorkUnit.kind == render_units.VIDEO_KIND)
    made = session.scalar(of_video)
    state = UnitState(made) if made else UnitState.CANCELLED if jobs.is_over(job) else UnitState.QUEUED
    return [FrameRow(frame, frozenset({state}), None, None, 0) for frame in sorted(planned)]


def assert_paid(ordered: Ordered) -> None:
    """PaymentRequired with what is due, where pictures are paid before they are given out."""
    if not ordered.is_paid:
        due = ordered.cost
        message = f"{due} {due.asset} are due for this job: pay them at its /pay, then its pictures are yours; previews are free"
        raise PaymentRequired(message, details={"amount": str(due), "asset": due.asset, "job_id": str(ordered.job.id)})


def picture(session: Session, ordered: Ordered, frame: int) -> Picture:
    """One finished frame. NotFound FRAME_NOT_FOUND for one that the job has not, FRAME_NOT_RENDERED while it is not there, and
    NO_PICTURES where none is made."""
    _assert_makes_pictures(ordered.job)
    found = _pictures(session, ordered.job, (frame,))
    if found:
        return found[0]
    _assert_has(session, ordered, (frame,))
    message = f"frame {frame} is not rendered yet; its row in the job's /frames says how it stands"
    raise NotFound(message, code="FRAME_NOT_RENDERED", details={"frames": str(frame)})


def pictures(session: Session, ordered: Ordered, frames: Sequence[int] | None = None) -> list[Picture]:
    """All of these frames, or all that a job has which is over, in rising order: never a part of what was asked for.

    Errors as `picture`; Conflict JOB_NOT_OVER while the whole is asked for and more is to come.
    """
    _assert_makes_pictures(ordered.job)
    found = _pictures(session, ordered.job, frames)
    if frames is None:
        if not jobs.is_over(ordered.job):
            message = "this job is not over; finished frames are there now, by ?frames=, as in frames.zip?frames=1-10"
            raise Conflict(message, code="JOB_NOT_OVER")
        if not found:
            raise NotFound("no frame of this job was rendered", code="FRAME_NOT_RENDERED")
        return found
    missing = sorted(set(frames) - {item.frame for item in found})
    if missing:
        _assert_has(session, ordered, missing)
        message = f"{len(missing)} of these frames are not rendered yet: {_some(missing)}"
        raise NotFound(message, code="FRAME_NOT_RENDERED", details={"frames": _some(missing)})
    return found


def _assert_makes_pictures(job: Job) -> None:
    if job.settings.get("output_format") not in EXTENSIONS:
        message = "this job makes no single pictures; a video is at the job's /video, anything else where it was ordered"
        raise NotFound(message, code="NO_PICTURES")


def stitched_key(session: Session, job: Job) -> str | None:
    """The file of a still that was rendered in tiles, once it is put together."""
    found = _pictures(session, job, None)
    return found[0].key if found else None


def _pictures(session: Session, job: Job, frames: Sequence[int] | None) -> list[Picture]:
    is_there = (WorkUnit.state == UnitState.COMPLETED, WorkUnit.tile.is_(None), WorkUnit.result_key.is_not(None))
    query = select(WorkUnit).where(WorkUnit.job_id == job.id, WorkUnit.ordinal >= 0, WorkUnit.frame.is_not(None), *is_there)
    if frames is not None:
        query = query.where(_among(frames))
    kind = str(job.settings.get("output_format"))
    return [
        Picture(
            unit.id, unit.frame or 0, unit.result_key or "", unit.result_sha256 or "", unit.result_bytes or 0, kind
        )
        for unit in session.scalars(query.order_by(WorkUnit.frame))
    ]


def _assert_has(session: Session, ordered: Ordered, frames: Sequence[int]) -> None:
    unknown = sorted(set(frames) - {row.frame for row in rows(session, ordered, frames)})
    if unknown:
        message = f"this job has no frame {_some(unknown)}; its /frames lists those that it has"
        raise NotFound(message, code="FRAME_NOT_FOUND", details={"frames": _some(unknown)})


def _some(frames: Sequence[int]) -> str:
    return ",".join(str(frame) for frame in frames[:NAMED_MOST]) + ("…" if len(frames) > NAMED_MOST else "")


def seed(session: Session, ordered: Ordered) -> uuid.UUID:
    """What its previews' watermarks are drawn from: a secret, where pictures may be owed for."""
    found = session.scalar(select(JobStream.seed).where(JobStream.job_id == ordered.job.id))
    return found or ordered.job.id
