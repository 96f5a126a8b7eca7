"""Jobs in the hands of a provider's own software: which to hand over, and which are held there under a lease.

The software holds all unfinished frames of a job as attempts without a node. Rayment has no message for its progress, so the
hub asks the software's /health and renews the lease itself; a lease that runs out gives the frames back like any other.
"""

import uuid
from collections.abc import Set
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, and_, exists, func, select, update
from sqlalchemy.orm import Session

from app import outbox
from app.core import provider_outcomes
from app.models.jobs import Attempt, Job, Scene, WorkUnit
from app.models.nodes import Provider
from app.values import clock
from app.values.states import HELD, AttemptState, JobState, PaymentState, UnitState

FRAME = "frame"


@dataclass(frozen=True, slots=True)
class PushOrder:
    provider_id: uuid.UUID
    endpoint: str
    storage_key: str
    file_name: str
    size_bytes: int
    settings: dict[str, Any]


@dataclass(frozen=True, slots=True)
class HeldJob:
    """A job in a provider's software since `since`; its lease ends at `lease_until`."""

    job_id: uuid.UUID
    endpoint: str
    frames: int
    since: datetime
    lease_until: datetime


def describe(session: Session, job_id: uuid.UUID, providers_with_nodes: Set[uuid.UUID]) -> PushOrder | None:
    """What to push where; None when the job is not waiting, the provider's nodes do it, or its software is busy."""
    query = select(Job, Scene, Provider).join(Scene, Scene.id == Job.scene_id).join(Provider, Provider.id == Job.provider_id)
    row = session.execute(query.where(Job.id == job_id, *_waiting())).one_or_none()
    if row is None or row[2].id in providers_with_nodes or not row[2].endpoint:
        return None
    job, scene, provider = row
    if session.scalar(select(_is_in_software(Job.provider_id == provider.id))):
        return None
    return PushOrder(
        provider.id, str(provider.endpoint), scene.storage_key, scene.file_name, scene.size_bytes, wire_settings(job)
    )


def wire_settings(job: Job) -> dict[str, Any]:
    """A render's settings as Rayment's software reads them."""
    frames = job.settings["frame_list"]
    return {
        "resolution": {"width": job.settings["width"], "height": job.settings["height"]},
        "frames": {"start": frames[0], "end": frames[-1]},
        "engine": job.settings["engine"],
        "samples": job.settings["samples"],
        "outputFormat": job.settings["output_format"],
    }


def _waiting() -> tuple[ColumnElement[bool], ...]:
    """Paid, something of it queued, nothing of it held by anybody, and no failure noted."""
    frame = and_(WorkUnit.job_id == Job.id, WorkUnit.kind == FRAME)
    return (
        Job.dialect == "rayment",
        Job.state == JobState.OPEN,
        Job.payment_state == PaymentState.CONFIRMED,
        Job.failure_noted_at.is_(None),
        exists().where(frame, WorkUnit.state == UnitState.QUEUED),
        ~exists().where(frame, WorkUnit.state.in_(HELD)),
    )


def _is_in_software(*conditions: ColumnElement[bool]) -> ColumnElement[bool]:
    live = and_(Attempt.node_id.is_(None), Attempt.state == AttemptState.LIVE)
    return exists().where(live, Attempt.id == WorkUnit.attempt_id, Job.id == WorkUnit.job_id, *conditions)


def waiting(session: Session, providers_with_nodes: Set[uuid.UUID], limit: int = 100) -> list[uuid.UUID]:
    """Paid jobs that wait for providers' software: every provider's oldest before anybody's second, so that one long queue
    keeps no other waiting. Jobs that a provider's nodes do are none of these, and who holds a job already is asked for no other.
    """
    busy = select(Job.provider_id).where(_is_in_software(), Job.provider_id.is_not(None))  # a compute task has none
    place = func.row_number().over(partition_by=Job.provider_id, order_by=(Job.paid_at, Job.id)).label("place")
    query = select(Job.id, Job.paid_at, place).join(Provider, Provider.id == Job.provider_id)
    query = query.where(*_waiting(), Provider.endpoint != "", Provider.id.not_in({*providers_with_nodes, *session.scalars(busy)}))
    queue = query.subquery()
    return list(session.scalars(select(queue.c.id).order_by(queue.c.place, queue.c.paid_at).limit(limit)))


def accept(session: Session, job_id: uuid.UUID, lease_seconds: int) -> bool:
    """The provider's software took the job: its unfinished frames are held there now.

    False when it ended, or a node took a frame, while it was being handed over. Harmless: the software's result is judged when it
    comes, whoever holds the frames then.
    """
    job = session.scalars(select(Job).where(Job.id == job_id).with_for_update()).one()
    held = select(WorkUnit.id).where(WorkUnit.job_id == job_id, WorkUnit.kind == FRAME, WorkUnit.state.in_(HELD))
    if job.state != JobState.OPEN or job.payment_state != PaymentState.CONFIRMED or session.scalar(held.limit(1)):
        return False
    taken = provider_outcomes.take_over(session, job_id, lease_seconds)
    session.flush()
    attempts = [attempt for attempt, _ in taken.values()]
    session.execute(update(WorkUnit).where(WorkUnit.attempt_id.in_(attempts)).values(state=UnitState.RENDERING))
    job.pushed_at = clock.now()
    if job.started_at is None:
        job.started_at = job.pushed_at
        outbox.announce(session, "job:started", job_id)
    return True


def held(session: Session, before: datetime, limit: int = 50) -> list[HeldJob]:
    """Jobs in providers' software whose lease ends before a moment or whose failure was noted, the most urgent first."""
    query = (
        select(Job.id, Provider.endpoint, func.count(), func.min(Attempt.started_at), func.min(WorkUnit.lease_until))
        .join(WorkUnit, WorkUnit.job_id == Job.id)
        .join(Attempt, Attempt.id == WorkUnit.attempt_id)
        .join(Provider, Provider.id == Job.provider_id)
        .where(Attempt.node_id.is_(None), Attempt.state == AttemptState.LIVE, WorkUnit.state.in_(HELD))
        .group_by(Job.id, Provider.endpoint)
        .having((func.min(WorkUnit.lease_until) < before) | (func.count(Job.failure_noted_at) > 0))
        .order_by(func.min(WorkUnit.lease_until))
    )
    rows = session.execute(query.limit(limit))
    return [HeldJob(row[0], row[1] or "", row[2], row[3], row[4] or before) for row in rows]


def set_lease(session: Session, job_id: uuid.UUID, until: datetime, is_alive: bool) -> None:
    """Move the lease of a job in a provider's software; a sign of life voids an unsigned failure."""
    job = session.scalars(select(Job).where(Job.id == job_id).with_for_update()).one()
    live = select(Attempt.id).where(Attempt.node_id.is_(None), Attempt.state == AttemptState.LIVE)
    mine = (WorkUnit.job_id == job_id, WorkUnit.state.in_(HELD), WorkUnit.attempt_id.in_(live))
    session.execute(update(WorkUnit).where(*mine).values(lease_until=until))
    if is_alive:
        job.failure_note = job.failure_noted_at = None


def lease_end(seconds: float) -> datetime:
    return clock.now() + timedelta(seconds=seconds)
