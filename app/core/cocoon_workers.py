"""Cocoon workers: registered by their participants, polled by whoever takes them next, and what they said last."""

import json
import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, Select, Text, case, cast, insert, select, text, update
from sqlalchemy.orm import Session

from app.core import worker_history
from app.errors import NotFound
from app.models.participants import Participant
from app.models.workers import CocoonWorker, WorkerState
from app.values import clock
from app.values.worker_health import DOWN
from app.values.worker_progress import Counters
from app.values.worker_report import Said, report

Among = Collection[int] | None
"""Ids of participants whose workers a caller may see; None: all of them."""

COUNTERS = tuple(Counters.__dataclass_fields__)
LOT = 500


@dataclass(frozen=True, slots=True)
class DueWorker:
    """A worker to be polled now, by whoever took it. `polled_at` is the fence that its answer is written by."""

    id: int
    participant_id: int
    account_id: uuid.UUID
    worker_name: str
    host: str
    stats_port: int
    is_active: bool
    coefficient: int | None
    polled_at: datetime | None
    checked_at: datetime | None
    told_active: bool | None
    said_coefficient: int | None
    counters: Counters
    errors: Mapping[str, int]


# Whoever takes a worker has it until it is due again, so that several pollers share all of them without knowing each other.
_TAKE = text("""
WITH taken AS (
    UPDATE cocoon_worker_states SET due_at = :now + make_interval(secs => :seconds * (0.85 + 0.1 * random()))
    WHERE worker_id IN (
        SELECT worker_id FROM cocoon_worker_states WHERE due_at <= :now ORDER BY due_at LIMIT :limit FOR UPDATE SKIP LOCKED)
    RETURNING *)
SELECT w.id, w.participant_id, p.account_id, w.worker_name, w.host, w.stats_port, w.is_active, w.coefficient, s.polled_at,
    s.checked_at, s.told_active, s.said_coefficient, s.errors, s.said_requests, s.said_success, s.said_failed,
    s.said_time_seconds, s.requests, s.success, s.failed, s.time_seconds, s.revenue_nano, s.earned
FROM taken s JOIN cocoon_workers w ON w.id = s.worker_id JOIN participants p ON p.id = w.participant_id
""")

_SHAPE = """worker_id int, before timestamptz, at timestamptz, answered boolean, status text, reasons text[], told_active boolean,
    checked_at timestamptz, said_coefficient int, said_requests bigint, said_success bigint, said_failed bigint,
    said_time_seconds float8, requests bigint, success bigint, failed bigint, time_seconds float8, revenue_nano bigint,
    earned jsonb, latency_seconds float8, gpus jsonb, errors jsonb"""
_SAID = """status reasons told_active checked_at said_coefficient said_requests said_success said_failed said_time_seconds
    requests success failed time_seconds revenue_nano earned latency_seconds gpus errors""".split()
# A late answer, whose turn somebody else has had since, changes nothing.
_NOTE = text(f"""
UPDATE cocoon_worker_states s SET polled_at = x.at, seen_at = CASE WHEN x.answered THEN x.at ELSE s.seen_at END,
    {", ".join(f"{name} = x.{name}" for name in _SAID)}
FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS x({_SHAPE})
WHERE s.worker_id = x.worker_id AND s.polled_at IS NOT DISTINCT FROM x.before RETURNING s.worker_id
""")


def create(session: Session, values: Mapping[str, Any], among: Among = None) -> int:
    """Register a worker, which is polled from now on; NotFound for a participant that is not among those. Returns its id."""
    query = select(Participant.id).where(Participant.id == values["participant_id"])
    if session.scalar(query) is None or (among is not None and values["participant_id"] not in among):
        raise NotFound("Participant not found", code="PARTICIPANT_UNKNOWN")
    now = clock.now()
    row = {"is_active": True, **values, "created_at": now, "updated_at": now}
    worker_id = session.scalars(insert(CocoonWorker).values(row).returning(CocoonWorker.id)).one()
    state = {"worker_id": worker_id, "due_at": now, "reasons": [], "earned": {}, "errors": {}}
    session.execute(insert(WorkerState).values(state))
    return worker_id


def change(session: Session, worker_id: int, values: Mapping[str, Any], among: Among = None) -> None:
    """Set columns of a worker; it is polled at once, so that it hears of it. NotFound for one that is not among those."""
    query = update(CocoonWorker).where(CocoonWorker.id == worker_id)
    if among is not None:
        query = query.where(CocoonWorker.participant_id.in_(among))
    statement = query.values(**values, updated_at=clock.now()).returning(CocoonWorker.id)
    if session.execute(statement).one_or_none() is None:
        raise _unknown()
    session.execute(update(WorkerState).where(WorkerState.worker_id == worker_id).values(due_at=clock.now()))


def get(session: Session, worker_id: int, among: Among = None) -> tuple[CocoonWorker, WorkerState]:
    """A worker and what it said last; NotFound for one that is not among those, as for none."""
    found = session.execute(_visible(among).where(CocoonWorker.id == worker_id)).one_or_none()
    if found is None:
        raise _unknown()
    return found[0], found[1]


def page(
    session: Session,
    among: Among,
    limit: int,
    offset: int = 0,
    participant_id: int | None = None,
    is_active: bool | None = None,
    only: Collection[int] | None = None,
) -> list[tuple[CocoonWorker, WorkerState]]:
    """Workers in the order of their ids, each with what it said last."""
    query = _visible(among)
    if participant_id is not None:
        query = query.where(CocoonWorker.participant_id == participant_id)
    if is_active is not None:
        query = query.where(CocoonWorker.is_active == is_active)
    if only is not None:
        query = query.where(CocoonWorker.id.in_(only))
    rows = session.execute(query.order_by(CocoonWorker.id).limit(limit).offset(offset))
    return [(row[0], row[1]) for row in rows]


def long_page(
    session: Session, among: Among, limit: int, offset: int = 0, **wanted: Any
) -> list[tuple[CocoonWorker, WorkerState]]:
    """As `page`, read in lots: ten thousand rows at once would hold up everything else in the process for a second."""
    found = list[tuple[CocoonWorker, WorkerState]]()
    while len(found) < limit:
        most = min(LOT, limit - len(found))
        lot = page(session, among, most, offset + len(found), **wanted)
        found += lot
        if len(lot) < most:
            break
    return found


def _visible(among: Among) -> Select[CocoonWorker, WorkerState]:
    query = select(CocoonWorker, WorkerState).join(WorkerState, WorkerState.worker_id == CocoonWorker.id)
    return query if among is None else query.where(CocoonWorker.participant_id.in_(among))


def _unknown() -> NotFound:
    return NotFound("Worker not found", code="WORKER_UNKNOWN")


def take_due(session: Session, seconds: float, limit: int) -> list[DueWorker]:
    """Take workers whose turn has come; each is due again in `seconds`, or a little before, so that they spread."""
    rows = session.execute(_TAKE, {"now": clock.now(), "seconds": seconds, "limit": limit})
    return [_due(row) for row in rows]


def _due(row: Row[Any]) -> DueWorker:
    counters = Counters(**{name: getattr(row, name) for name in COUNTERS})
    fixed = {name: getattr(row, name) for name in DueWorker.__dataclass_fields__ if name != "counters"}
    return DueWorker(**fixed, counters=counters)


def note(session: Session, rows: Sequence[Mapping[str, Any]]) -> set[int]:
    """Write what workers said, many in two statements: their state and their history. Each worker at most once in `rows`.

    Returns whose answers counted: one that comes after its worker was polled by somebody else is dropped.
    """
    told = sorted(rows, key=lambda row: row["worker_id"])
    found = {row[0] for row in session.execute(_NOTE, {"rows": json.dumps([row["state"] for row in told])})}
    worker_history.add(session, [row["sample"] for row in told if row["worker_id"] in found])
    return found


def overview(session: Session) -> list[Row[Any]]:
    """Every worker with what is told of it to Prometheus, one plain row each; one that its owner has disabled and switched off
    has no status: that it does not answer is no news."""
    names = "requests success failed revenue_nano latency_seconds status gpus errors polled_at".split()
    columns = [getattr(WorkerState, name) for name in names if name not in ("gpus", "errors")]
    is_off = ~CocoonWorker.is_active & (WorkerState.status == DOWN)
    columns[names.index("status")] = case((is_off, None), else_=WorkerState.status).label("status")
    packed = [cast(WorkerState.gpus, Text).label("gpus"), cast(WorkerState.errors, Text).label("errors")]
    own = (CocoonWorker.id, CocoonWorker.worker_name, CocoonWorker.participant_id, CocoonWorker.instance_number)
    query = select(*own, *columns, *packed).join(WorkerState, WorkerState.worker_id == CocoonWorker.id)
    return list(session.execute(query.where(WorkerState.polled_at.is_not(None)).order_by(CocoonWorker.id)))


def described(worker: CocoonWorker, state: WorkerState) -> dict[str, Any]:
    """A worker as /ws/metrics tells of it, in the words of its last poll."""
    said = Said(
        state.polled_at,
        state.status,
        state.reasons,
        state.requests,
        state.failed,
        state.latency_seconds,
        state.revenue_nano,
        state.gpus,
    )
    return report(worker.id, worker.worker_name, worker.participant_id, worker.is_active, said)
