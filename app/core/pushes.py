"""Jobs that wait to be handed to a provider's own software."""

import uuid
from collections.abc import Set
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from app.models.jobs import Job, Scene
from app.models.nodes import Provider
from app.values import clock
from app.values.states import JobState, PaymentState


@dataclass(frozen=True, slots=True)
class PushOrder:
    endpoint: str
    storage_key: str
    file_name: str
    settings: dict[str, Any]


def describe(session: Session, job_id: uuid.UUID, providers_with_nodes: Set[uuid.UUID]) -> PushOrder | None:
    """What to push where; None when the job was pushed, is not under way, or the provider's nodes do it."""
    query = select(Job, Scene, Provider).join(Scene, Scene.id == Job.scene_id).join(Provider, Provider.id == Job.provider_id)
    row = session.execute(query.where(Job.id == job_id, *_waiting())).one_or_none()
    if row is None or row[2].id in providers_with_nodes or not row[2].endpoint:
        return None
    job, scene, provider = row
    endpoint = str(provider.endpoint)
    frames = job.settings["frame_list"]
    settings = {
        "resolution": {"width": job.settings["width"], "height": job.settings["height"]},
        "frames": {"start": frames[0], "end": frames[-1]},
        "engine": job.settings["engine"],
        "samples": job.settings["samples"],
        "outputFormat": job.settings["output_format"],
    }
    return PushOrder(endpoint, scene.storage_key, scene.file_name, settings)


def _waiting() -> tuple[Any, ...]:
    return (
        Job.state == JobState.OPEN,
        Job.payment_state == PaymentState.CONFIRMED,
        Job.started_at.is_(None),
        Job.pushed_at.is_(None),
        Job.dialect == "rayment",
    )


def waiting(session: Session, limit: int = 20) -> list[uuid.UUID]:
    """Paid jobs that nobody has begun."""
    return list(session.scalars(select(Job.id).where(*_waiting()).order_by(Job.created_at).limit(limit)))


def note_pushed(session: Session, job_id: uuid.UUID) -> None:
    now = clock.now()
    session.execute(update(Job).where(Job.id == job_id).values(pushed_at=now, started_at=now))
