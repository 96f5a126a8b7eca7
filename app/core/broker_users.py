"""Which generation of its password a user of the message broker has."""

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from app.models.broker_users import BrokerUser
from app.values import clock


def generation(session: Session, name: str) -> int:
    """0 until the first revocation."""
    return session.scalar(select(BrokerUser.generation).where(BrokerUser.name == name)) or 0


def revoke(session: Session, name: str) -> int:
    """The next generation counts from this commit on; returns it."""
    now = clock.now()
    statement = insert(BrokerUser).values(name=name, generation=1, revoked_at=now)
    following = {"generation": BrokerUser.generation + 1, "revoked_at": now}
    changed = statement.on_conflict_do_update(index_elements=["name"], set_=following)
    return session.execute(changed.returning(BrokerUser.generation)).scalar_one()
