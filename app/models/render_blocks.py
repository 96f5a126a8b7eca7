"""How nodes fared with one render, where they fared badly: who did so too often gets nothing more of it."""

import uuid

from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from app.db import Base
from app.models.columns import Moment, Str


class RenderBlock(Base):
    """A node that failed at units of a job, or fell silent with them. `failures` and `silences` are how often; from `blocked_at`
    on it gets none of the job's units while another node fits; `code` is what it said last."""

    __tablename__ = "render_blocks"

    job_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("jobs.id"), primary_key=True)
    node_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("nodes.id"), primary_key=True)
    failures: Mapped[int] = mapped_column(default=0)
    silences: Mapped[int] = mapped_column(default=0)
    silent_at: Mapped[Moment | None]
    code: Mapped[Str]
    blocked_at: Mapped[Moment | None]
