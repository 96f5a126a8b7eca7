"""Doorbells: which queues are rung for a waiting unit, and how often.

A ring is only a hint, so it goes only where somebody idle listens: a busy node claims again by itself, and a queue that
nobody reads must not grow. What is still unclaimed a little later is rung again by a sweep.
"""

import uuid
from collections import defaultdict
from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import Text, any_, case, func, literal, or_, select, update
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Session

from app import outbox
from app.models.jobs import Attempt, WorkUnit
from app.models.nodes import Node
from app.values import broker_users, capabilities, clock
from app.values.states import AttemptState, UnitState

ALIVE_SECONDS = 90
RINGS_AT_ONCE = 8


def queue_of(capability: str, provider_id: uuid.UUID | None, is_trusted: bool) -> str:
    """The queue a node listens to: hosts that the operator trusts share one, a stranger's have their provider's own."""
    name = capabilities.queue(capability)
    return name if is_trusted or provider_id is None else f"{name}.{provider_id}"


def is_rung(capability: str, provider_id: uuid.UUID | None, is_trusted: bool) -> bool:
    """Whether a queue is rung for it. Not for a kind of work that somebody made up who is enrolled with nobody: its name would be
    the queue's, and on Valkey that is a key, of the hub's own perhaps. Such a node finds its work when it asks."""
    return is_trusted or provider_id is not None or capability in broker_users.KNOWN


def ring(session: Session, kind: str, provider_id: uuid.UUID | None, unit_ids: Sequence[uuid.UUID]) -> int:
    """After the commit, ring once for each idle node that may take these units (and for no more than there are).

    Returns how many rings were sent.
    """
    sent = 0
    for (queue, is_on_relay), idle in _idle(session, kind, provider_id).items():
        if is_on_relay:
            outbox.wake(session, queue, len(unit_ids))
            sent += min(idle, len(unit_ids))
            continue
        for unit_id in unit_ids[: min(idle, RINGS_AT_ONCE)]:
            outbox.ring(session, queue, unit_id)
            sent += 1
    return sent


def ring_for(session: Session, kind: str, node_id: uuid.UUID, unit_id: uuid.UUID) -> None:
    """After the commit, tell one node that a unit is offered to it.

    Nodes that share a queue cannot be told apart there, so all that are idle are rung (a few at most): only the one that is
    meant finds something. A node on the relay is woken by whoever holds its socket.
    """
    node = session.get_one(Node, node_id)
    if node.relay_seen_at is not None and node.relay_seen_at > clock.now() - timedelta(seconds=ALIVE_SECONDS):
        outbox.wake_node(session, node_id)
        return
    for name in capabilities.fitting(kind):
        if name in node.capabilities and is_rung(name, node.provider_id, node.is_trusted):
            queue = queue_of(name, node.provider_id, node.is_trusted)
            is_shared = queue == capabilities.queue(name)
            idle = _idle(session, kind, None if is_shared else node.provider_id).get((queue, False), 0)
            for _ in range(max(1, min(idle, RINGS_AT_ONCE))):
                outbox.ring(session, queue, unit_id)
            return


def _idle(session: Session, kind: str, provider_id: uuid.UUID | None) -> dict[tuple[str, bool], int]:
    """Idle live nodes by (the queue they listen to, whether they do so on the relay); without a provider, every node that may
    work at all. Of the relay's the busy ones count, too: whoever holds their sockets knows which have room."""
    now = clock.now()
    names = capabilities.fitting(kind)
    busy = select(Attempt.id).where(Attempt.node_id == Node.id, Attempt.state == AttemptState.LIVE).exists()
    found: dict[tuple[str, bool], int] = defaultdict(int)
    has_kind = literal(kind) == any_(Node.capabilities)
    is_on_relay = func.coalesce(Node.relay_seen_at > now - timedelta(seconds=ALIVE_SECONDS), False)
    groups = (Node.provider_id, Node.is_trusted, has_kind.label("has_kind"), is_on_relay.label("is_on_relay"))
    query = select(*groups, func.count()).where(
        Node.last_heartbeat_at > now - timedelta(seconds=ALIVE_SECONDS),
        Node.capabilities.op("&&")(literal(names, ARRAY(Text))),
        ~Node.is_draining,
        or_(Node.unhealthy_until.is_(None), Node.unhealthy_until < now),
        or_(~busy, is_on_relay),
    )
    if provider_id is not None:
        query = query.where(Node.provider_id == provider_id)
    for owner, is_trusted, has_name, by_relay, count in session.execute(query.group_by(*groups)):
        name = kind if has_name else names[-1]
        if by_relay or is_rung(name, owner, is_trusted):
            found[queue_of(name, owner, is_trusted), by_relay] += count
    return found


def ring_again(session: Session, after_seconds: int, batch: int = 200) -> int:
    """Ring for units that nobody claimed: losing a doorbell is harmless because of this. Returns how many units.

    An offer that lapsed is withdrawn here, and everybody who fits is rung; until then only its node is. A unit that backs off
    waits in peace.
    """
    now = clock.now()
    is_ready = WorkUnit.queued_at <= now
    stale = (
        select(WorkUnit.id)
        .where(
            WorkUnit.state == UnitState.QUEUED,
            WorkUnit.rung_at < now - timedelta(seconds=after_seconds),
            or_(is_ready, WorkUnit.offered_node_id.is_not(None)),
        )
        .order_by(WorkUnit.rung_at)
        .limit(batch)
        .with_for_update(skip_locked=True)
    )
    still_offered = case((is_ready, None), else_=WorkUnit.offered_node_id)
    statement = update(WorkUnit).where(WorkUnit.id.in_(stale)).values(rung_at=now, offered_node_id=still_offered)
    waiting: dict[tuple[str, uuid.UUID | None], list[uuid.UUID]] = defaultdict(list)
    columns = (WorkUnit.capability, WorkUnit.provider_id, WorkUnit.id, WorkUnit.offered_node_id)
    rows = session.execute(statement.returning(*columns)).all()
    for kind, provider_id, unit_id, node_id in rows:
        if node_id is None:
            waiting[kind, provider_id].append(unit_id)
        else:
            ring_for(session, kind, node_id, unit_id)
    for (kind, provider_id), unit_ids in waiting.items():
        ring(session, kind, provider_id, unit_ids)
    return len(rows)
