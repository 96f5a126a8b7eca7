"""Dispatch: an order of one unit, paid by a hold of credits and offered to the least loaded healthy node that can do it.

The offer is a reservation in the unit's row: for a short while only that node's claim finds it, afterwards that of any fitting
node. Claiming stays the one way in which a node gets work (`core.claims`), whatever it listens to.
"""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Text, bindparam, select, text, update
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Session

from app import outbox
from app.core import credit_holds, doorbells, jobs, outcomes
from app.errors import Conflict, NotFound, Refused
from app.models.jobs import Job, WorkUnit
from app.models.nodes import Node
from app.values import capabilities, clock
from app.values.money import Money
from app.values.states import JobState, PaymentState, UnitState

# Load is what a node reports, and what it has been handed since: attempts that live and offers that stand. Counting reads what is
# under way now, never a marketplace's past. A node that somebody else is choosing at this moment is passed over, so that two
# dispatchers never pick one node by the same stale count; only when all are being chosen is one of them waited for.
_CHOOSE = """
SELECT n.id FROM nodes n
LEFT JOIN (SELECT node_id, count(*) AS held FROM attempts WHERE state = 'live' GROUP BY node_id) a ON a.node_id = n.id
LEFT JOIN (SELECT offered_node_id, count(*) AS offers FROM work_units
    WHERE state = 'queued' AND offered_node_id IS NOT NULL GROUP BY offered_node_id) o ON o.offered_node_id = n.id
WHERE n.last_heartbeat_at > :alive_since AND NOT n.is_draining AND (n.unhealthy_until IS NULL OR n.unhealthy_until < :now)
    AND n.capabilities && :fitting AND (n.is_trusted OR n.provider_id IS NOT NULL OR :open_nodes)
    AND (NOT :proof_required OR EXISTS (
        SELECT 1 FROM node_tokens t WHERE t.node_id = n.id AND t.proven_at IS NOT NULL AND t.expires_at > :now))
ORDER BY coalesce(a.held, 0) + coalesce(o.offers, 0) + n.current_load, random() LIMIT 1 FOR NO KEY UPDATE OF n {busy}
"""
_CHOICES = [text(_CHOOSE.format(busy=busy)).bindparams(bindparam("fitting", type_=ARRAY(Text))) for busy in ("SKIP LOCKED", "")]


OFFERED_TO = "first_offered_to"  # of a job's settings: the offer is over in a moment, and who lost its answer asks later


@dataclass(frozen=True, slots=True)
class NodeRules:
    """Who may work here at all, as `nodes.assert_may_work` has it, and for how long an offer stands."""

    silence_seconds: int
    proof_required: bool
    open_nodes: bool
    offer_seconds: int


@dataclass(frozen=True, slots=True)
class DispatchOrder:
    """One unit of work of a kind. `frame` makes it a frame of `scene_id`; `settings` go to the node as they are. `job_id` is the
    job's, where the order has an id of its own."""

    dialect: str
    account_id: uuid.UUID
    kind: str
    price: Money
    settings: Mapping[str, Any]
    scene_id: uuid.UUID | None = None
    frame: int | None = None
    job_id: uuid.UUID | None = None


def dispatch(session: Session, order: DispatchOrder, rules: NodeRules) -> tuple[Job, uuid.UUID]:
    """Hold the price, queue the unit and offer it to a node; returns the job and the node's id.

    Refused when no healthy node can do it, PaymentRequired when the owner's credits are short. Locks the node's row until the
    unit of work ends, then the owner's balance.
    """
    node_id = choose_node(session, order.kind, rules)
    now = clock.now()
    job = Job(
        id=order.job_id or uuid.uuid4(),
        dialect=order.dialect,
        kind=order.kind,
        account_id=order.account_id,
        scene_id=order.scene_id,
        payment_state=PaymentState.CONFIRMED,
        settings={**order.settings, "frame_list": [] if order.frame is None else [order.frame], OFFERED_TO: str(node_id)},
        breakdown={"total": str(order.price.decimal)},
        price_minor=order.price.minor,
        asset=order.price.asset,
        units_total=1,
        paid_at=now,
        created_at=now,
    )
    session.add(job)
    session.flush()
    credit_holds.hold(session, order.account_id, job.id, order.price, f"Job execution: {order.kind}")
    unit = _offer(session, job, order.frame, node_id, now + timedelta(seconds=rules.offer_seconds))
    doorbells.ring_for(session, order.kind, node_id, unit.id)
    outbox.announce(session, "job:new", job.id)
    return job, node_id


def choose_node(session: Session, kind: str, rules: NodeRules) -> uuid.UUID:
    """The least loaded healthy node that takes this kind of work, its row locked; Refused when there is none."""
    now = clock.now()
    asked = {
        "now": now,
        "alive_since": now - timedelta(seconds=rules.silence_seconds),
        "fitting": capabilities.fitting(kind),
        "open_nodes": rules.open_nodes,
        "proof_required": rules.proof_required,
    }
    for statement in _CHOICES:
        found = session.execute(statement, asked).scalar()
        if found is not None:
            return uuid.UUID(str(found))
    raise Refused(f"No healthy nodes with matching capability: {kind!r}", code="NO_HEALTHY_NODE")


def _offer(session: Session, job: Job, frame: int | None, node_id: uuid.UUID, until: datetime) -> WorkUnit:
    """The job's unit, in its queue but the node's alone `until` then; the node's row is locked, and says so too."""
    session.execute(update(Node).where(Node.id == node_id).values(offered_until=until))
    unit = WorkUnit(
        id=uuid.uuid4(),
        job_id=job.id,
        ordinal=0,
        kind="run" if frame is None else "frame",
        frame=frame,
        capability=job.kind,
        priority=job.priority,
        state=UnitState.QUEUED,
        queued_at=until,
        offered_node_id=node_id,
        rung_at=clock.now(),
    )
    session.add(unit)
    session.flush()
    return unit


CANCELLED = "Cancelled by user"
_NOT_BEGUN = (UnitState.QUEUED, UnitState.ASSIGNED)


def cancel(session: Session, account_id: uuid.UUID, job_id: uuid.UUID, dialect: str) -> None:
    """The owner wants his job no more: what was held for it is released.

    NotFound for anybody else's, Conflict for one that was born in another dialect, Refused once a node works on it or it is
    over. The job is locked, then its units, so that a completion is before or after this, never beside it.
    """
    job = session.get(Job, job_id)
    if job is None or job.account_id != account_id:
        raise NotFound("Job not found")
    if job.dialect != dialect:
        raise Conflict(f"this job was ordered through {job.dialect}'s API, and is changed only there", code="OTHER_DIALECT")
    job = jobs.lock(session, job_id)
    query = select(WorkUnit.state).where(WorkUnit.job_id == job_id, WorkUnit.ordinal >= 0).order_by(WorkUnit.id)
    units = set(session.scalars(query.with_for_update()))
    if job.state != JobState.OPEN or not units <= set(_NOT_BEGUN):
        raise Refused("Job cannot be cancelled: it is not QUEUED or DISPATCHED any more", code="NOT_CANCELLABLE")
    outcomes.cancel(session, job, "CANCELLED_BY_USER", CANCELLED)
