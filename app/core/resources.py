"""What providers offer for compute tasks, which tasks it fits, and who has it."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, and_, exists, func, or_, select
from sqlalchemy.orm import Session

from app.errors import Conflict, NotFound
from app.models.jobs import Attempt, Job, WorkUnit
from app.models.resources import BUSY, RESOURCE_STATUSES, Resource
from app.models.tasks import Task
from app.values import clock, locations
from app.values.states import HELD, AttemptState

RESOURCES_LIMIT = 1000  # of one provider
AVAILABLE, GPU = "available", "gpu"


@dataclass(frozen=True, slots=True)
class Listed:
    """A resource with the status that it is told by: the provider's own word, or `busy` while a task has it."""

    resource: Resource
    status: str


@dataclass(frozen=True, slots=True)
class Terms:
    """At what price by the hour, and where, a provider works, by its resources that are not away: for its nodes, which have no
    prices of their own. `locations` holds every place that one of them lies in."""

    gpu_minor: Mapping[str, int]
    any_minor: Mapping[str, int]
    locations: Sequence[str]

    def price_minor(self, task_type: str, asset: str) -> int | None:
        """The least of what fits the type, in this asset; None where the provider has said none: the task's cap counts."""
        return (self.gpu_minor if task_type == GPU else self.any_minor).get(asset)


def create(session: Session, provider_id: uuid.UUID, offer: Mapping[str, Any]) -> Listed:
    """Offer something new; `offer` holds the columns as the dialect has checked them. Conflict over RESOURCES_LIMIT of them."""
    if (session.scalar(select(func.count()).where(*_offered_by(provider_id))) or 0) >= RESOURCES_LIMIT:
        raise Conflict(f"a provider has at most {RESOURCES_LIMIT} resources; delete one first", code="TOO_MANY_RESOURCES")
    row = Resource(id=uuid.uuid4(), provider_id=provider_id, **offer)
    session.add(row)
    session.flush()
    return Listed(row, row.status)


def get_own(session: Session, provider_id: uuid.UUID, resource_id: uuid.UUID) -> Listed:
    """NotFound RESOURCE_NOT_FOUND for another provider's as for none."""
    return _listed(session, _own(session, provider_id, resource_id))


def listed(
    session: Session, provider_id: uuid.UUID, kind: str | None, status: str | None, limit: int, offset: int
) -> tuple[list[Listed], int]:
    """A page of a provider's resources, the oldest first, and how many there are in all."""
    wanted = [*_offered_by(provider_id)]
    if kind is not None:
        wanted.append(Resource.type == kind)
    if status is not None:
        wanted.append(is_busy() if status == BUSY else and_(Resource.status == status, ~is_busy()))
    total = session.scalar(select(func.count()).select_from(Resource).where(*wanted)) or 0
    query = select(Resource, is_busy()).where(*wanted).order_by(Resource.created_at, Resource.id)
    rows = session.execute(query.limit(limit).offset(offset))
    return [Listed(row[0], BUSY if row[1] else row[0].status) for row in rows], total


def counted(session: Session, provider_id: uuid.UUID) -> dict[str, int]:
    """How many resources a provider has in each status, 0 too."""
    told = select(Resource.status, is_busy().label("busy")).where(*_offered_by(provider_id)).subquery()
    found = dict.fromkeys((*RESOURCE_STATUSES, BUSY), 0)
    query = select(told.c.status, told.c.busy, func.count()).group_by(told.c.status, told.c.busy)
    for status, busy, count in session.execute(query):
        found[BUSY if busy else status] += count
    return found


def change(session: Session, provider_id: uuid.UUID, resource_id: uuid.UUID, changes: Mapping[str, Any]) -> Listed:
    """New columns of a resource. A task that has it keeps the price that it was accepted at."""
    row = _own(session, provider_id, resource_id, is_locked=True)
    for name, value in changes.items():
        setattr(row, name, value)
    row.updated_at = clock.now()
    session.flush()
    return _listed(session, row)


def delete(session: Session, provider_id: uuid.UUID, resource_id: uuid.UUID) -> None:
    """Offer it no more; Conflict RESOURCE_UNAVAILABLE while a task has it."""
    found = _listed(session, _own(session, provider_id, resource_id, is_locked=True))
    if found.status == BUSY:
        raise _unavailable(resource_id, "a task has it; wait for its end")
    found.resource.deleted_at = clock.now()


def allocate(
    session: Session, task: Task, asset: str, provider_id: uuid.UUID, resource_id: uuid.UUID | None = None
) -> Resource | None:
    """Give a task a resource of the provider that accepts it: this one, else its cheapest that fits and is free.

    The caller has locked the job, puts the unit into the provider's hands (an attempt without a node) in the same transaction,
    and bills by the resource's price; from then on the resource is busy until that attempt ends, however it does. None where the
    provider names none and offers none at all: it works at the task's cap. NotFound RESOURCE_NOT_FOUND; Conflict
    RESOURCE_UNAVAILABLE for one that is away, busy, or does not fit. Locks the resource: two tasks never get the same one.
    """
    if resource_id is None:
        return _allocate_any(session, task, asset, provider_id)
    row = _own(session, provider_id, resource_id, is_locked=True)
    if row.status != AVAILABLE:
        raise _unavailable(resource_id, f"its status is {row.status}")
    if session.scalar(select(is_busy()).where(Resource.id == row.id)):
        raise _unavailable(resource_id, "another task has it")
    lacks = _lacking(session, row, task, asset)
    if lacks:
        raise _unavailable(resource_id, f"the task does not fit it: {', '.join(lacks)}")
    task.resource_id = row.id
    return row


def _allocate_any(session: Session, task: Task, asset: str, provider_id: uuid.UUID) -> Resource | None:
    """Whoever locks a resource looks again whether it is free: the row is locked before its tasks are read."""
    if not session.scalar(select(exists().where(*_offered_by(provider_id)))):
        return None
    fitting = and_(*needs(task, asset).values())
    query = select(Resource.id).where(*_offered_by(provider_id), Resource.status == AVAILABLE, fitting, ~is_busy())
    for found in session.scalars(query.order_by(Resource.price_minor, Resource.created_at).limit(RESOURCES_LIMIT)).all():
        locked = select(Resource).where(Resource.id == found, Resource.status == AVAILABLE, Resource.deleted_at.is_(None))
        row = session.scalars(locked.with_for_update(skip_locked=True).execution_options(populate_existing=True)).one_or_none()
        if row is not None and not session.scalar(select(is_busy()).where(Resource.id == row.id)):
            task.resource_id = row.id
            return row
    raise Conflict("none of this provider's resources is free and fits this task", code="RESOURCE_UNAVAILABLE")


def needs(task: Task | type[Task] = Task, asset: Any = Job.asset) -> dict[str, ColumnElement[bool]]:
    """What a resource must have for a task, by the need's name: of one task, or as a condition that joins the tables.

    What a provider does not say of cores, memory and disk is its own matter; a GPU must be there in so many words.
    """
    return {
        "currency": or_(Resource.currency.is_(None), Resource.currency == asset),
        "max_price_per_hour": Resource.price_minor <= task.max_price_minor,
        "cpu_cores": or_(Resource.cpu_cores.is_(None), Resource.cpu_cores >= task.cpu_cores),
        "ram_gb": or_(Resource.ram_gb.is_(None), Resource.ram_gb >= task.ram_gb),
        "storage_gb": or_(Resource.storage_gb.is_(None), Resource.storage_gb >= task.storage_gb),
        "gpu_count": Resource.gpu_count >= task.gpu_count,
        "gpu_memory_gb": func.coalesce(Resource.gpu_memory_gb, 0) >= task.gpu_memory_gb,
        "location": _lies_in(Resource.location, task.location),
    }


def least_price_minor(session: Session, task: Task, asset: str) -> int | None:
    """The least that anybody asks by the hour for what a task needs; None where nobody offers that at any price."""
    wanted = [condition for name, condition in needs(task, asset).items() if name != "max_price_per_hour"]
    query = select(func.min(Resource.price_minor)).where(Resource.deleted_at.is_(None), Resource.status == AVAILABLE, *wanted)
    return session.scalar(query)


def fits_someone(provider_id: uuid.UUID) -> ColumnElement[bool]:
    """Whether a provider may accept a task: a condition over Task and Job. A resource of its is free and fits, or it has none
    and the task doesn't mind where it runs."""
    free = and_(*_offered_by(provider_id), Resource.status == AVAILABLE, ~is_busy(), *needs().values())
    has_none = ~exists().where(*_offered_by(provider_id)).correlate(None)
    return or_(exists().where(free).correlate(Task, Job), and_(has_none, Task.location.is_(None)))


def terms_of(session: Session, provider_id: uuid.UUID) -> Terms:
    """A provider's terms, for its nodes' claims; one query."""
    query = select(Resource.type, Resource.currency, Resource.price_minor, Resource.location)
    rows = session.execute(query.where(*_offered_by(provider_id), Resource.status == AVAILABLE)).all()
    gpu_minor: dict[str, int] = {}
    any_minor: dict[str, int] = {}
    for row in rows:
        for asset in (row.currency,) if row.currency else ("USDC", "USDT"):
            for prices in (gpu_minor, any_minor) if row.type == GPU else (any_minor,):
                prices[asset] = min(prices.get(asset, row.price_minor), row.price_minor)
    places = {place for row in rows if row.location for place in locations.around(row.location)}
    return Terms(gpu_minor, any_minor, sorted(places))


def is_busy() -> ColumnElement[bool]:
    """Whether a task is in the provider's hands with this resource: a condition over Resource. What is under way is few rows,
    however many tasks the resource has seen."""
    in_use = (
        select(Task.resource_id)
        .join(WorkUnit, WorkUnit.job_id == Task.job_id)
        .join(Attempt, Attempt.id == WorkUnit.attempt_id)
        .where(Attempt.state == AttemptState.LIVE, Attempt.node_id.is_(None), WorkUnit.state.in_(HELD))
        .where(Task.resource_id.is_not(None))
        .correlate(None)
    )
    return Resource.id.in_(in_use)


def _lies_in(location: Any, wanted: Any) -> ColumnElement[bool]:
    """Whether a place is the wanted one or lies within it; whoever wants none takes any."""
    if wanted is None:
        return Resource.id.is_not(None)
    inside = or_(location == wanted, func.starts_with(location, func.concat(wanted, "-")))
    return inside if isinstance(wanted, str) else or_(wanted.is_(None), inside)


def _offered_by(provider_id: uuid.UUID) -> tuple[ColumnElement[bool], ...]:
    return Resource.provider_id == provider_id, Resource.deleted_at.is_(None)


def _own(session: Session, provider_id: uuid.UUID, resource_id: uuid.UUID, is_locked: bool = False) -> Resource:
    query = select(Resource).where(Resource.id == resource_id, *_offered_by(provider_id))
    if is_locked:
        query = query.with_for_update().execution_options(populate_existing=True)
    row = session.scalars(query).one_or_none()
    if row is None:
        details = {"resource_id": str(resource_id)}
        raise NotFound(f"this provider has no resource {resource_id}", code="RESOURCE_NOT_FOUND", details=details)
    return row


def _listed(session: Session, row: Resource) -> Listed:
    busy = session.scalar(select(is_busy()).where(Resource.id == row.id))
    return Listed(row, BUSY if busy else row.status)


def _lacking(session: Session, row: Resource, task: Task, asset: str) -> list[str]:
    """The names of a task's needs that a resource does not meet."""
    wanted = needs(task, asset)
    found = session.execute(select(*wanted.values()).where(Resource.id == row.id)).one()
    return [name for name, is_met in zip(wanted, found, strict=True) if not is_met]


def _unavailable(resource_id: uuid.UUID, reason: str) -> Conflict:
    details = {"resource_id": str(resource_id), "reason": reason}
    return Conflict(f"resource {resource_id} is not available: {reason}", code="RESOURCE_UNAVAILABLE", details=details)
