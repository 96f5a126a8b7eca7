"""Nodes on the relay: whose socket is the newest, what they hold, and their signs of life, many in one statement."""

import uuid
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import BigInteger, Float, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY, UUID
from sqlalchemy.orm import Session

from app.core import nodes, outcomes
from app.core.nodes import CallingNode
from app.errors import Conflict
from app.values import clock
from app.values.states import HELD, AttemptState

_UUIDS = ARRAY(UUID(as_uuid=True))
_BEGIN = text("""
UPDATE nodes n SET relay_epoch = n.relay_epoch + 1, relay_seen_at = :now, last_heartbeat_at = :now,
    is_draining = n.drained_at IS NOT NULL
FROM node_tokens t WHERE n.id = :node_id AND t.id = :token_id RETURNING n.relay_epoch, t.expires_at
""")
_END = text("UPDATE nodes SET relay_seen_at = NULL WHERE id = :node_id AND relay_epoch = :epoch")
# Rows in the order of their ids: two processes that note the same nodes never wait for each other in a ring.
_NOTE = text("""
WITH told AS (
    SELECT n.id, v.load FROM unnest(:ids, :epochs, :loads) AS v(id, epoch, load)
    JOIN nodes n ON n.id = v.id AND n.relay_epoch = v.epoch ORDER BY n.id FOR UPDATE OF n)
UPDATE nodes n SET last_heartbeat_at = :now, relay_seen_at = :now, current_load = coalesce(told.load, n.current_load)
FROM told WHERE n.id = told.id RETURNING n.id
""").bindparams(
    bindparam("ids", type_=_UUIDS), bindparam("epochs", type_=ARRAY(BigInteger)), bindparam("loads", type_=ARRAY(Float))
)
_EPOCH = text("SELECT relay_epoch FROM nodes WHERE id = :node_id")
_ATTEMPTS = """
SELECT a.id, a.fence, a.state, a.upload_key, u.job_id, u.kind, u.state FROM attempts a JOIN work_units u ON u.id = a.unit_id
WHERE a.node_id = :node_id AND {which} ORDER BY a.started_at DESC, a.id LIMIT {limit}
"""
MOST_ATTEMPTS = 1000
_LIVE = text(_ATTEMPTS.format(which="a.state = 'live'", limit=MOST_ATTEMPTS))
_OF_JOB = text(_ATTEMPTS.format(which="u.job_id = :job_id", limit=MOST_ATTEMPTS))
_STILL_LIVE = text("SELECT id FROM attempts WHERE id = ANY(:ids) AND state = 'live'").bindparams(bindparam("ids", type_=_UUIDS))


class Superseded(Conflict):
    """A newer socket of the same node is open: what this one says no longer counts."""

    code = "RELAY_SUPERSEDED"


@dataclass(frozen=True, slots=True)
class HeldAttempt:
    """One attempt of a node, as its socket needs to know it. `is_acknowledged`: the node has said that it has it."""

    id: uuid.UUID
    fence: int
    state: str
    upload_key: str
    job_id: uuid.UUID
    kind: str
    unit_state: str

    @property
    def is_live(self) -> bool:
        return self.state == AttemptState.LIVE and self.unit_state in HELD

    @property
    def is_acknowledged(self) -> bool:
        return self.unit_state != "assigned"


@dataclass(frozen=True, slots=True)
class Begun:
    """A node's new socket: its place in the row of that node's sockets, when its token ends, what the node still holds, and what
    it was handed but never acknowledged."""

    epoch: int
    expires_at: datetime
    held: tuple[HeldAttempt, ...]
    unheard: tuple[HeldAttempt, ...]


def begin(session: Session, node: CallingNode) -> Begun:
    """A node opened a socket: it is the newest from now on, and a sign of life.

    What is `unheard` goes back at once, for nobody knows whether it arrived: by `give_back`, in a unit of work of its own. The
    node's row is locked here, and whoever ends an attempt locks the job first and the node last.
    """
    now = clock.now()
    epoch, expires_at = session.execute(_BEGIN, {"node_id": node.id, "token_id": node.token_id, "now": now}).one()
    held = [HeldAttempt(*row) for row in session.execute(_LIVE, {"node_id": node.id})]
    unheard = tuple(item for item in held if not item.is_acknowledged)
    return Begun(epoch, expires_at, tuple(item for item in held if item.is_acknowledged), unheard)


def give_back(session: Session, held: Collection[HeldAttempt]) -> int:
    """Return units unharmed; those that are not live any more are left alone. Returns how many went back."""
    outcomes.lock_jobs(session, [item.id for item in held])
    return sum(outcomes.release(session, item.id, item.fence) for item in sorted(held, key=lambda item: item.id))


def end(session: Session, node_id: uuid.UUID, epoch: int) -> None:
    """A socket is gone. A newer one of the same node is not touched by it."""
    session.execute(_END, {"node_id": node_id, "epoch": epoch})


def note_alive(session: Session, signs: Sequence[tuple[uuid.UUID, int, float | None]]) -> set[uuid.UUID]:
    """Signs of life, {(node, epoch, load or None)}; returns the nodes whose socket is still the newest."""
    values = {
        "ids": [sign[0] for sign in signs],
        "epochs": [sign[1] for sign in signs],
        "loads": [sign[2] for sign in signs],
        "now": clock.now(),
    }
    return {row[0] for row in session.execute(_NOTE, values)}


def calling(session: Session, token_id: uuid.UUID, epoch: int) -> CallingNode:
    """The node behind a socket; Unauthenticated when its token is over, Superseded when a newer socket is open."""
    node = nodes.authenticate(session, token_id)
    if session.scalar(_EPOCH, {"node_id": node.id}) != epoch:
        raise Superseded("a newer connection of this node is open")
    return node


def attempts_of(session: Session, node_id: uuid.UUID, job_id: uuid.UUID) -> list[HeldAttempt]:
    """All attempts of this node at a job, the newest first."""
    return [HeldAttempt(*row) for row in session.execute(_OF_JOB, {"node_id": node_id, "job_id": job_id})]


def still_live(session: Session, attempt_ids: Sequence[uuid.UUID]) -> set[uuid.UUID]:
    return {row[0] for row in session.execute(_STILL_LIVE, {"ids": list(attempt_ids)})}
