"""The nodes as their operator sees and orders them: whom to trust, who gets nothing new."""

import uuid
from typing import Any

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from app.core import nodes
from app.core.doorbells import queue_of
from app.errors import NotFound
from app.models.jobs import Attempt
from app.models.nodes import Node, NodeToken, Provider
from app.values import clock
from app.values.states import AttemptState

_LIVE = (
    select(func.count()).select_from(Attempt).where(Attempt.node_id == Node.id, Attempt.state == AttemptState.LIVE)
).scalar_subquery()
_ATTEMPTS = text("""
SELECT a.id, a.state, a.started_at, a.ended_at, a.error_code, a.error_message, u.job_id, u.kind, u.frame, u.progress,
    u.lease_until
FROM attempts a JOIN work_units u ON u.id = a.unit_id WHERE a.node_id = :node_id
ORDER BY a.started_at DESC, a.id LIMIT :limit""")


def listed(session: Session, silence_seconds: int, limit: int = 1000) -> list[dict[str, Any]]:
    """Nodes, the last heard of first."""
    query = select(Node, Provider.name, _LIVE).outerjoin(Provider, Provider.id == Node.provider_id)
    query = query.order_by(Node.last_heartbeat_at.desc().nulls_last(), Node.created_at).limit(limit)
    return [_row(node, provider, live, silence_seconds) for node, provider, live in session.execute(query)]


def _row(node: Node, provider: str | None, live: int, silence_seconds: int) -> dict[str, Any]:
    return {
        "id": str(node.id),
        "name": node.name,
        "status": nodes.status(node, silence_seconds),
        "provider": provider,
        "provider_id": None if node.provider_id is None else str(node.provider_id),
        "is_trusted": node.is_trusted,
        "is_draining": node.is_draining,
        "drained_at": _moment(node.drained_at),
        "capabilities": node.capabilities,
        "queues": list(dict.fromkeys(queue_of(name, node.provider_id, node.is_trusted) for name in node.capabilities)),
        "gpus": [gpu.get("name") for gpu in nodes.gpus_of(node.machine)],
        "load": node.current_load,
        "units": live,
        "is_on_relay": node.relay_seen_at is not None,
        "last_heartbeat_at": _moment(node.last_heartbeat_at),
    }


def shown(session: Session, node_id: uuid.UUID, silence_seconds: int, attempts: int = 20) -> dict[str, Any]:
    """All that is known of one node, and its newest attempts."""
    query = select(Node, Provider.name, _LIVE).outerjoin(Provider, Provider.id == Node.provider_id)
    node, provider, live = session.execute(query.where(Node.id == node_id)).one()
    tokens = select(func.count(), func.count().filter(NodeToken.proven_at.is_not(None)))
    signed_in, proven = session.execute(tokens.where(NodeToken.node_id == node_id, NodeToken.expires_at > clock.now())).one()
    return _row(node, provider, live, silence_seconds) | {
        "account_id": str(node.account_id),
        "public_key": node.public_key,
        "agent": node.agent,
        "gpu_memory_bytes": node.gpu_memory_bytes,
        "machine": node.machine,
        "failures_in_a_row": node.failures_in_a_row,
        "unhealthy_until": _moment(node.unhealthy_until),
        "registered_at": _moment(node.created_at),
        "tokens": signed_in,
        "tokens_proven": proven,
        "attempts": [_attempt(row) for row in session.execute(_ATTEMPTS, {"node_id": node_id, "limit": attempts}).mappings()],
    }


def _attempt(row: Any) -> dict[str, Any]:
    ids = {"id": str(row["id"]), "job_id": str(row["job_id"])}
    plain = {name: row[name] for name in ("state", "kind", "frame", "progress", "error_code", "error_message")}
    return ids | plain | {name: _moment(row[name]) for name in ("started_at", "ended_at", "lease_until")}


def _moment(value: Any) -> str | None:
    return None if value is None else str(value.isoformat())


def find(session: Session, told: str, by_name: bool = True) -> uuid.UUID:
    """By its id, the beginning of its id, or its name. NotFound when that is nobody's, or several nodes'.

    A node names itself, as another's id perhaps: a whole id is always that node's, and `by_name` is False where it matters who.
    """
    query = text("""
        SELECT id FROM nodes WHERE (:by_name AND name = :told)
        OR (length(:told) >= 4 AND starts_with(id::text, lower(:told))) ORDER BY id::text <> lower(:told), id LIMIT 5""")
    found: list[uuid.UUID] = list(session.scalars(query, {"told": told, "by_name": by_name}))
    if found and str(found[0]) == told.lower():
        return found[0]
    if not found:
        raise NotFound(f"there is no node {told!r}: `lightyard nodes list` shows those that registered")
    if len(found) > 1:
        raise NotFound(f"{told!r} means several nodes: give the id of one of {', '.join(map(str, found))}")
    return found[0]


def trust(session: Session, node_id: uuid.UUID, is_trusted: bool) -> bool:
    """Let a node take anybody's work and listen to the shared queues, or no more; False when that was so already.

    Its next claim counts by it. The queues of a Celery node are those of its last registration.
    """
    node = session.get_one(Node, node_id, with_for_update=True)
    is_new, node.is_trusted = node.is_trusted != is_trusted, is_trusted
    return is_new


def drain(session: Session, node_id: uuid.UUID) -> bool:
    """Give a node nothing new until `resume`, whatever it says of itself; False when that was so. What it has, it ends."""
    node = session.get_one(Node, node_id, with_for_update=True)
    if node.drained_at is not None:
        return False
    node.drained_at, node.is_draining = clock.now(), True
    return True


def resume(session: Session, node_id: uuid.UUID) -> bool:
    """Let a drained node work again; False when it was not drained. One that drains itself says so with its next heartbeat."""
    node = session.get_one(Node, node_id, with_for_update=True)
    if node.drained_at is None:
        return False
    node.drained_at, node.is_draining = None, False
    return True
