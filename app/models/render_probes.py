"""Small frames that the hub has rendered of an account's scene to see how long one takes: free, so they are counted."""

import uuid

from sqlalchemy import ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from app.db import Base
from app.models.columns import Moment, Str


class RenderProbe(Base):
    """One, by the job of the hub's that stands for it; whether it is over is that job's state."""

    __tablename__ = "render_probes"
    __table_args__ = (
        Index("ix_render_probes_account_id", "account_id", "ordered_at"),
        Index("ix_render_probes_ordered_at", "ordered_at"),
    )

    job_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("jobs.id"), primary_key=True)
    account_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("accounts.id"))
    sha256: Mapped[Str]
    ordered_at: Mapped[Moment]
