"""Doorbells: which queues are rung for a waiting unit, and how often.

A ring is only a hint, so it goes only where somebody idle listens: a busy node claims again by itself, and a queue that
nobody reads must not grow. What is still unclaimed a little later is rung again by a sweep.
"""

import uuid
from collections import defaultdict
from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import any_, func, literal, or_, select, update
from sqlalchemy.orm import Session

from app import outbox
from app.models.jobs import Attempt, WorkUnit
from app.models.nodes import Node
from app.values import clock
from app.values.states import AttemptState, UnitState

ALIVE_SECONDS = 90
RINGS_AT_ONCE = 8


def queue_of(capability: str, provider_id: uuid.UUID | None, is_trusted: bool) -> str:
    """The queue a node listens to: hosts that the operator trusts share one, a stranger's have their provider's own."""
    return capability if is_trusted or provider_id is None else f"{capability}.{provider_id}"


def ring(session: Session, capability: str, provider_id: uuid.UUID | None, unit_ids: Sequence[uuid.UUID]) -> int:
    """After the commit, ring once for each idle node that may take these units (and for no more than there are).

    Returns how many rings were sent.
    """
    sent = 0
    for queue, idle in _idle(session, capability, provider_id).items():
        for unit_id in unit_ids[: min(idle, RINGS_AT_ONCE)]:
            outbox.ring(session, queue, unit_id)
            sent += 1
    return sent


def _idle(session: Session, capability: str, provider_id: uuid.UUID | None) -> dict[str, int]:
    """Idle live nodes by the queue they listen to."""
    now = clock.now()
    busy = select(Attempt.id).where(Attempt.node_id == Node.id, Attempt.state == AttemptState.LIVE).exists()
    fits = Node.provider_id == provider_id
    if provider_id is None:
        fits = or_(Node.is_trusted, Node.provider_id.is_(None))
    query = select(Node.provider_id, Node.is_trusted, func.count()).where(
        Node.last_heartbeat_at > now - timedelta(seconds=ALIVE_SECONDS),
        literal(capability) == any_(Node.capabilities),
        ~Node.is_draining,
        or_(Node.unhealthy_until.is_(None), Node.unhealthy_until < now),
        fits,
        ~busy,
    )
    found: dict[str, int] = defaultdict(int)
    for owner, is_trusted, count in session.execute(query.group_by(Node.provider_id, Node.is_trusted)):
        found[queue_of(capability, owner, is_trusted)] += count
    return found


def ring_again(session: Session, after_seconds: int, batch: int = 200) -> int:
    """Ring for units that nobody claimed: losing a doorbell is harmless because of this. Returns how many units."""
    before = clock.now() - timedelta(seconds=after_seconds)
    stale = (
        select(WorkUnit.id)
        .where(WorkUnit.state == UnitState.QUEUED, WorkUnit.rung_at < before)
        .order_by(WorkUnit.rung_at)
        .limit(batch)
        .with_for_update(skip_locked=True)
    )
    statement = update(WorkUnit).where(WorkUnit.id.in_(stale)).values(rung_at=clock.now())
    waiting: dict[tuple[str, uuid.UUID | None], list[uuid.UUID]] = defaultdict(list)
    rows = session.execute(statement.returning(WorkUnit.capability, WorkUnit.provider_id, WorkUnit.id)).all()
    for capability, provider_id, unit_id in rows:
        waiting[capability, provider_id].append(unit_id)
    for (capability, provider_id), unit_ids in waiting.items():
        ring(session, capability, provider_id, unit_ids)
    return len(rows)
