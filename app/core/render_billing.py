"""What finished frames cost, charged as they come in, and what the end of a render means in money.

A frame costs the seconds that its node measured, never more than the hub saw go by, at the tier's price. All frames together
never cost more than was quoted, nor than the client's cap: whatever is still to be rendered keeps its share.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from app import outbox
from app.core import render_blocks, render_holds, render_nodes, render_units
from app.models.jobs import Job, WorkUnit
from app.models.render_orders import RenderOrder
from app.values import clock
from app.values.money import Money
from app.values.render_prices import charge, cost, most_seconds
from app.values.states import JobState, PaymentState

DIALECT = "rnp019"
DEFERRED = "pay_before_download"
OVER_LIMIT = "MAX_AMOUNT_REACHED"
OUTGREW = "ESTIMATE_EXCEEDED"
OUTGREW_MESSAGE = (
    "its frames take many times longer than was estimated, more than the estimate is never charged, and no node is there that "
    "has not worked for nothing: those that are finished are kept; order the others anew, the estimate knows the scene now"
)
STITCH_TOPIC, TILES_TOPIC = "renders.stitch", "renders.delete_tiles"

# Of finished units: who did it, and how long at most that can have taken.
_DONE = text("""
SELECT u.id, u.attempt_id, least(u.seconds, extract(epoch FROM u.completed_at - a.started_at)) AS seconds,
    n.account_id AS payee, n.id
FROM work_units u JOIN attempts a ON a.id = u.attempt_id JOIN nodes n ON n.id = a.node_id
WHERE u.id = ANY(:units) ORDER BY u.ordinal
""")
# What a node has worked on a job and finished, and what it gets for that.
_WORKED = text("""
SELECT coalesce(sum(least(u.seconds, extract(epoch FROM u.completed_at - a.started_at))), 0), coalesce(sum(u.cost_minor), 0)
FROM work_units u JOIN attempts a ON a.id = u.attempt_id
WHERE u.job_id = :job_id AND u.state = 'completed' AND a.node_id = :node_id
""")
_MOVED = text("""
SELECT DISTINCT o.account_id, n.account_id, j.asset FROM work_units u JOIN render_orders o ON o.job_id = u.job_id
JOIN jobs j ON j.id = u.job_id JOIN attempts a ON a.id = u.attempt_id JOIN nodes n ON n.id = a.node_id
WHERE u.id = ANY(:units) AND o.mode <> :deferred
""")


@dataclass(frozen=True, slots=True)
class Done:
    """A finished unit: its attempt, the seconds that count, the account of whose node did it, and the node."""

    unit_id: uuid.UUID
    attempt_id: uuid.UUID
    seconds: float
    payee: uuid.UUID
    node_id: uuid.UUID


def is_render(job: Any) -> bool:
    """Whether a job is paid frame by frame, by a render order."""
    return bool(job.dialect == DIALECT)


def order_of(session: Session, job_id: uuid.UUID) -> RenderOrder:
    """The order of a job that is locked by the caller, as it is now."""
    query = select(RenderOrder).where(RenderOrder.job_id == job_id)
    return session.scalars(query.execution_options(populate_existing=True)).one()


def lock_money(session: Session, unit_ids: Sequence[uuid.UUID]) -> None:
    """Lock what charging for units of several jobs will move, before any of it is: nodes that work for the same clients then
    don't wait in a ring. The jobs are locked."""
    rows = session.execute(_MOVED, {"units": list(unit_ids), "deferred": DEFERRED}).all()
    render_holds.lock_money(session, [(row[0], row[1], row[2]) for row in rows])


def charge_done(session: Session, job_id: uuid.UUID, unit_ids: Sequence[uuid.UUID]) -> bool:
    """Charge for units that were finished just now, whose job is locked, and hand out what may follow them. Returns whether the
    job outgrew its estimate: the caller ends it (`OUTGREW`)."""
    job = session.get_one(Job, job_id, populate_existing=True)
    order = order_of(session, job_id)
    done = [Done(*row) for row in session.execute(_DONE, {"units": list(unit_ids)})]
    left = job.units_total - render_units.hub_count(job.settings) - job.units_completed + len(done)  # with those charged here
    short: set[uuid.UUID] = set()
    for item in done:
        left -= 1
        if _charge(session, job, order, item, left):
            short.add(item.node_id)
    if _is_to_end(session, job, order, short, left):
        return True
    if done and left == 0 and job.settings.get("tiles"):
        outbox.write(session, STITCH_TOPIC, str(job_id))
    if job.state == JobState.OPEN and left > 0:
        render_units.feed(session, job, order)
        pause_for_money(session, job, order)
    return False


def _charge(session: Session, job: Job, order: RenderOrder, item: Done, left: int) -> bool:
    """Returns whether its node had less for it than it measured."""
    measured = cost(Money(order.price_per_hour_minor, job.asset), item.seconds)
    is_funded, share = order.limit_minor == order.bound_minor, render_units.share(job, order)
    out = left if is_funded else min(left, render_units.units_out(session, job.id))
    bound, limit = (order.bound_minor, left), (order.limit_minor, out)
    price = Money(charge(measured.minor, order.charged_minor, share, bound, limit), job.asset)
    unit = session.get_one(WorkUnit, item.unit_id)
    unit.cost_minor = price.minor
    order.charged_minor += price.minor
    session.flush()
    if price.minor and order.mode != DEFERRED:
        render_holds.pay(session, job.id, item.payee, price, str(item.attempt_id))
    return price < measured


def _is_to_end(session: Session, job: Job, order: RenderOrder, short: set[uuid.UUID], left: int) -> bool:
    """Keep the job from those of these nodes that have worked for as long as they are to without being paid; whether nobody is
    there who may go on. A still in tiles, of which nothing is kept, is finished, and so is a film that is but to be joined."""
    if job.settings.get("tiles") or left <= (1 if job.settings.get("video") else 0):
        return False
    overworked = sorted(node_id for node_id in short if _is_overworked(session, job, order, node_id))
    for node_id in overworked:
        render_blocks.note_overwork(session, job.id, node_id)
    memory_bytes = int(order.allocation.get("scene_memory_bytes", 0))
    return bool(overworked) and not render_nodes.is_another_there(session, job, memory_bytes)


def _is_overworked(session: Session, job: Job, order: RenderOrder, node_id: uuid.UUID) -> bool:
    seconds, paid_minor = session.execute(_WORKED, {"job_id": job.id, "node_id": node_id}).one()
    return bool(seconds > most_seconds(Money(order.price_per_hour_minor, job.asset), int(paid_minor)))


def pause_for_money(session: Session, job: Job, order: RenderOrder) -> bool:
    """Pause a job that waits for nothing but its owner to raise the cap. The job is locked by the caller."""
    if job.state != JobState.OPEN or order.limit_minor == order.bound_minor or render_units.units_out(session, job.id):
        return False
    if job.units_completed >= job.units_total - render_units.hub_count(job.settings):
        return False  # what is left is the hub's own work
    job.state, job.reason_code = JobState.PAUSED, OVER_LIMIT
    job.error_message = "max_amount does not cover another frame; raise it to go on, or cancel"
    return True


def finish(session: Session, job: Job) -> None:
    """The job, locked, is over: what its frames did not cost goes back, and what it was charged stays."""
    order = order_of(session, job.id)
    render_holds.release(session, job.id)
    if job.settings.get("tiles"):
        outbox.write(session, TILES_TOPIC, str(job.id))
    if order.mode != DEFERRED or order.charged_minor == 0:
        order.settled_at = order.settled_at or clock.now()
    if order.charged_minor == 0 and job.payment_state == PaymentState.CONFIRMED and job.state != JobState.COMPLETED:
        job.payment_state = PaymentState.REFUNDED
