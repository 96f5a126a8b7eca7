"""Scenes and the files behind them."""

import uuid

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from app.models.account_scenes import AccountScene
from app.models.jobs import Job, Scene
from app.values.states import JobState, PaymentState


def unneeded_file(session: Session, scene_id: uuid.UUID) -> str | None:
    """The storage key of a scene whose every job was withdrawn unpaid; None when its file is needed, or gone. An account's own
    scene outlives such a job."""
    withdrawn = (Job.state == JobState.CANCELLED) & (Job.payment_state == PaymentState.PENDING)
    needed = select(Job.id).where(Job.scene_id == Scene.id, ~withdrawn).exists()
    is_own = select(AccountScene.id).where(AccountScene.id == Scene.id).exists()
    query = select(Scene.storage_key).where(Scene.id == scene_id, Scene.storage_key != "", ~needed, ~is_own)
    return session.scalar(query)


def forget_file(session: Session, scene_id: uuid.UUID) -> None:
    """The file is gone; what is known about the scene stays."""
    session.execute(update(Scene).where(Scene.id == scene_id).values(storage_key=""))
