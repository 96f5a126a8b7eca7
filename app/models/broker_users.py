"""Users of the message broker whose password was changed."""

from sqlalchemy import Text
from sqlalchemy.orm import Mapped, mapped_column

from app.db import Base
from app.models.columns import Moment


class BrokerUser(Base):
    """How often a user's password was revoked; no row: never. The password is derived (app/values/broker_users.py)."""

    __tablename__ = "broker_users"

    name: Mapped[str] = mapped_column(Text, primary_key=True)
    generation: Mapped[int]
    revoked_at: Mapped[Moment]
