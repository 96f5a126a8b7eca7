"""Text prompts of jobs: private, kept in one place, and told to the nodes that make something of them."""

import uuid
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.models.render_orders import RenderOrder
from app.values.capabilities import PROMPTED

if TYPE_CHECKING:
    from app.core.claims import ClaimedJob


def told(session: Session, claimed: Mapping[uuid.UUID, "ClaimedJob"]) -> dict[uuid.UUID, "ClaimedJob"]:
    """The jobs of a claim, those of prompts with `prompt` among their settings."""
    wanted = [job.id for job in claimed.values() if job.kind in PROMPTED]
    if not wanted:
        return dict(claimed)
    query = select(RenderOrder.job_id, RenderOrder.prompt).where(RenderOrder.job_id.in_(wanted))
    texts = {row[0]: row[1] for row in session.execute(query)}
    return {
        job_id: replace(job, settings={**job.settings, "prompt": texts[job_id]}) if job_id in texts else job
        for job_id, job in claimed.items()
    }
