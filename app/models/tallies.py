"""What was counted since the first day: totals that survive restarts and never fall."""

from sqlalchemy import BigInteger, Identity
from sqlalchemy.orm import Mapped, mapped_column

from app.db import Base
from app.models.columns import Str


class Tally(Base):
    """So much more of `name`. A total is the sum of its rows: whoever counts only inserts, so that no counter is a hot row.

    Jobs are counted by triggers on their table, whoever changes it. A sweep folds many rows into one.
    """

    __tablename__ = "tallies"

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    name: Mapped[Str]
    job_type: Mapped[Str]
    status: Mapped[Str]
    amount: Mapped[int] = mapped_column(BigInteger)
