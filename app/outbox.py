"""Doorbells: what is to be told to others once a unit of work has committed.

`ring` and `announce` are volatile: the state column is the truth, sweeps ring again and sockets replay on sign-in.
`write` is durable: the row is written with the change, and goes when the task that it orders is done.
"""

import json
import uuid
from collections.abc import Callable, Mapping
from typing import Any

import structlog
from sqlalchemy import text
from sqlalchemy.orm import Session

from app import trail
from app.db import after_commit

log = structlog.get_logger()
Publish = Callable[[str, str, dict[str, Any]], None]
_publish: Publish | None = None


def connect(publish: Publish | None) -> None:
    """Say who carries messages away: publish(kind, key, payload); kinds are ring, wake, event, followed, signal and task."""
    global _publish
    _publish = publish


def connected() -> Publish | None:
    """Who carries messages away now."""
    return _publish


def _send(kind: str, key: str, payload: dict[str, Any]) -> None:
    if _publish is not None:
        _publish(kind, key, payload)


def ring(session: Session, capability: str, unit_id: uuid.UUID) -> None:
    """Ring the queue of a capability after the commit; the unit's id is only a hint."""
    after_commit(session, lambda: _send("ring", capability, {"unit_id": str(unit_id)}))


def wake(session: Session, queue: str, count: int) -> None:
    """Tell the relay, after the commit, that so many units wait for whoever listens to this queue there."""
    after_commit(session, lambda: _send("wake", queue, {"count": count}))


def wake_node(session: Session, node_id: uuid.UUID) -> None:
    """Tell the relay, after the commit, that something waits for this very node."""
    after_commit(session, lambda: _send("wake", "", {"node_id": str(node_id)}))


def announce(session: Session, event: str, job_id: uuid.UUID, **facts: Any) -> None:
    """Tell the sockets about a job after the commit, and the log about what happens only once."""

    def tell() -> None:
        trail.note(job_id=str(job_id))
        if event != "job:progress":
            log.info(event, job_id=str(job_id), **facts)
        _send("event", event, {"job_id": str(job_id), **facts})

    after_commit(session, tell)


def tell_followers(session: Session, job_id: uuid.UUID) -> None:
    """Tell whoever follows a task, once, after the commit, that there is more of its log, or another state of it; of an account's
    id, whoever has a stream open as that account, that one of its credentials has ended."""
    told: set[uuid.UUID] = session.info.setdefault("followed_tasks", set())
    if job_id not in told:
        told.add(job_id)
        after_commit(session, lambda: _send("followed", str(job_id), {}))


def signal(session: Session, key: str) -> None:
    """Wake whoever waits for this key, once, after the commit."""
    after_commit(session, lambda: _send("signal", key, {}))


def write(session: Session, topic: str, key: str, origin: Mapping[str, str] | None = None) -> None:
    """Order a task of the hub's worker, durably: a crash right after the commit does not lose it.

    The task is logged and traced under whoever orders it, or under `origin`.
    """
    carried = dict(trail.carried() if origin is None else origin)
    row = {"id": uuid.uuid4(), "topic": topic, "key": key, "payload": json.dumps(carried)}
    session.execute(
        text(
            "INSERT INTO outbox_messages (id, topic, key, payload, created_at) "
            "VALUES (:id, :topic, :key, CAST(:payload AS jsonb), now())"
        ),
        row,
    )
    after_commit(session, lambda: _send("task", topic, {"message_id": str(row["id"]), "key": key, "origin": carried}))


def take_waiting(
    session: Session, older_than_seconds: float = 2.0, limit: int = 100
) -> list[tuple[str, str, dict[str, str]]]:
    """Take messages that nobody carried away in time: (topic, key, origin). They go with this unit of work."""
    rows = session.execute(
        text("""
        DELETE FROM outbox_messages WHERE id IN (SELECT id FROM outbox_messages
            WHERE created_at < now() - make_interval(secs => :age) ORDER BY created_at LIMIT :limit
            FOR UPDATE SKIP LOCKED) RETURNING topic, key, payload"""),
        {"age": older_than_seconds, "limit": limit},
    )
    return [(row[0], row[1], row[2]) for row in rows]


def forget(session: Session, message_id: uuid.UUID) -> None:
    """A task that took its message removes it in its own unit of work."""
    session.execute(text("DELETE FROM outbox_messages WHERE id = :id"), {"id": message_id})


def resend(session: Session, topic: str, key: str, origin: Mapping[str, str]) -> None:
    """Order a task again whose message nobody took, for whoever ordered it first."""
    write(session, topic, key, origin)
