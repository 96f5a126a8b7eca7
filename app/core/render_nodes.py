"""Who could render an agent's frames now, and what waits before them, by tier."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import text
from sqlalchemy.orm import Session

from app.errors import Unavailable
from app.models.jobs import Job
from app.values import clock
from app.values.render_tiers import ECONOMY, ECONOMY_MOST, PRIORITY, TIERS

KIND = "render"
SILENCE = timedelta(seconds=90)  # after which a node is taken to be away; NODE_UNHEALTHY_SECONDS if nobody sets it otherwise

# Nodes that may have anybody's frames. What a scene needs of memory counts where a node says how much it has, and so does its
# engine.
_NODES = text("""
SELECT count(*) AS nodes, count(*) FILTER (WHERE NOT EXISTS (
    SELECT 1 FROM attempts a WHERE a.node_id = n.id AND a.state = 'live')) AS free
FROM nodes n
WHERE n.last_heartbeat_at > :alive_since AND NOT n.is_draining AND (n.unhealthy_until IS NULL OR n.unhealthy_until < :now)
  AND :kind = ANY(n.capabilities) AND (n.is_trusted OR n.provider_id IS NOT NULL OR :open_nodes)
  AND (n.memory_bytes IS NULL OR n.memory_bytes >= :memory_bytes)
  AND (CAST(:engine AS text) IS NULL OR n.engines IS NULL OR :engine = ANY(n.engines))
""")
_OPERATORS = text("""
SELECT EXISTS (SELECT FROM nodes n WHERE n.is_trusted AND n.last_heartbeat_at > :alive_since AND NOT n.is_draining
    AND :kind = ANY(n.capabilities))
""")
# Not among those that a job keeps away.
_ANOTHER = text("""
SELECT EXISTS (SELECT FROM nodes n WHERE n.last_heartbeat_at > :alive_since AND NOT n.is_draining AND :kind = ANY(n.capabilities)
    AND (n.memory_bytes IS NULL OR n.memory_bytes >= :memory_bytes)
    AND (CAST(:engine AS text) IS NULL OR n.engines IS NULL OR :engine = ANY(n.engines))
    AND NOT EXISTS (SELECT FROM render_blocks b WHERE b.job_id = :job_id AND b.node_id = n.id AND b.blocked_at IS NOT NULL))
""")
# What stands in the queue or is with nodes: how many, and how long that will take by what its job's frames took so far, as nodes
# say, but never longer than the job has been going.
_AHEAD = text("""
SELECT w.is_economy, w.is_held, sum(w.units) AS units,
    sum(w.units * CASE WHEN j.units_completed > 0
        THEN least(j.render_seconds / j.units_completed, extract(epoch FROM CAST(:now AS timestamptz) - j.started_at))
        ELSE :guess_seconds END) AS seconds
FROM (SELECT u.job_id, u.priority <= :economy_most AS is_economy, u.state <> 'queued' AS is_held, count(*) AS units
    FROM work_units u WHERE (u.state = 'queued' AND NOT u.is_parked OR u.state IN ('assigned', 'rendering', 'uploaded'))
        AND u.capability = :kind AND u.provider_id IS NULL AND u.kind <> 'inspection'
    GROUP BY u.job_id, u.priority <= :economy_most, u.state <> 'queued') w
JOIN jobs j ON j.id = w.job_id GROUP BY w.is_economy, w.is_held
""")


@dataclass(frozen=True, slots=True)
class Terms:
    """How the hub judges nodes: silent for so long they are gone; `guess_seconds` are of a frame that nobody has measured;
    `economy_seconds` is how long a frame of the tier economy waits at most while others go before it."""

    silence_seconds: int
    open_nodes: bool
    guess_seconds: float
    economy_seconds: float


@dataclass(frozen=True, slots=True)
class Availability:
    """What is there for a tier now. `queued` units go before a new one, `rendering` are with nodes; `wait_seconds` until a node
    would begin, None while no node fits; `wait_high_seconds` if everything takes longer than expected."""

    tier: str
    nodes: int
    free: int
    queued: int
    rendering: int
    wait_seconds: float | None
    wait_high_seconds: float | None


def availability(
    session: Session, terms: Terms, memory_bytes: int = 0, kind: str = KIND, engine: str | None = None
) -> dict[str, Availability]:
    """Of every tier, for a kind of work; `memory_bytes` is what the scene needs, 0 for any, and `engine` renders it, None for
    any."""
    now = clock.now()
    values = {"now": now, "alive_since": now - timedelta(seconds=terms.silence_seconds), "kind": kind}
    values |= {"open_nodes": terms.open_nodes, "memory_bytes": memory_bytes, "engine": engine}
    nodes, free = session.execute(_NODES, values).one()
    asked = {"kind": kind, "guess_seconds": terms.guess_seconds, "economy_most": ECONOMY_MOST, "now": now}
    ahead = {(row[0], row[1]): (int(row[2]), float(row[3])) for row in session.execute(_AHEAD, asked)}
    return {tier: _of_tier(tier, nodes, free, ahead, terms) for tier in TIERS}


def is_another_there(session: Session, job: Job, memory_bytes: int) -> bool:
    """Whether a node is there that a job does not keep away, and that has its engine and the memory that it needs."""
    values = {"job_id": job.id, "kind": job.kind, "engine": job.settings.get("engine"), "memory_bytes": memory_bytes}
    return bool(session.scalar(_ANOTHER, values | {"alive_since": clock.now() - SILENCE}))


def assert_joins_unpaid(session: Session, terms: Terms) -> None:
    """Unavailable VIDEO_NOT_OFFERED while no node of the operator's is there: whoever joins frames that nobody has paid has them
    all, so no other node gets them (`core.claims`), but where any node may work (`open_nodes`)."""
    alive_since = clock.now() - timedelta(seconds=terms.silence_seconds)
    if not terms.open_nodes and not session.scalar(_OPERATORS, {"alive_since": alive_since, "kind": KIND}):
        message = "nobody is here now who joins frames before they are paid: choose credits or prepay, or pictures instead of MP4"
        raise Unavailable(message, code="VIDEO_NOT_OFFERED")


def _of_tier(
    tier: str, nodes: int, free: int, ahead: Mapping[tuple[bool, bool], tuple[int, float]], terms: Terms
) -> Availability:
    kinds = {PRIORITY: (False,), ECONOMY: (False, True)}[tier]
    queued = sum(ahead.get((kind, False), (0, 0.0))[0] for kind in kinds)
    held, held_seconds = (sum(ahead.get((kind, True), (0, 0.0))[part] for kind in (False, True)) for part in (0, 1))
    waiting_seconds = sum(ahead.get((kind, False), (0, 0.0))[1] for kind in kinds)
    if nodes == 0:
        wait = high = None
    elif free > queued:
        wait = high = 0.0
    else:
        wait = (waiting_seconds + held_seconds / 2) / nodes  # what is with nodes is half done on average
        high = 2 * (waiting_seconds + held_seconds) / nodes
    if high is not None and tier == ECONOMY and nodes and free <= queued:
        high = max(high, terms.economy_seconds)
    return Availability(tier, nodes, free, queued, int(held), wait, high)
