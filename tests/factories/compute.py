"""Compute tasks and who does them, in the database alone: rows as the verbs of tasks leave them."""

import secrets
import uuid
from decimal import Decimal
from typing import Any

from app.core import accounts, resources
from app.db import Database, Session
from app.models.jobs import Attempt, Job, WorkUnit
from app.models.nodes import Provider
from app.models.tasks import Task
from app.values import clock

OFFER: dict[str, Any] = {
    "type": "gpu",
    "specifications": {"model": "NVIDIA RTX 4090", "memory_gb": 24},
    "gpu_count": 1,
    "gpu_memory_gb": Decimal(24),
    "price_minor": 8_000_000,
}


def an_account(session: Session) -> uuid.UUID:
    return accounts.ensure_identity(session, "solana", secrets.token_hex(16))


def a_provider(database: Database) -> uuid.UUID:
    with database.unit_of_work() as session:
        prices = dict.fromkeys(("price_per_frame", "price_per_second", "price_per_gb", "minimum_price"), 0)
        name = secrets.token_hex(4)
        row = Provider(account_id=an_account(session), name=name, wallet=name, **prices)
        session.add(row)
        session.flush()
        return row.id


def a_resource(database: Database, provider_id: uuid.UUID, **changes: Any) -> uuid.UUID:
    with database.unit_of_work() as session:
        return resources.create(session, provider_id, OFFER | changes).resource.id


def a_task(database: Database, asset: str = "USDC", **asks: Any) -> uuid.UUID:
    """A queued task, like the seed's; its job's id."""
    now = clock.now()
    job = Job(
        id=uuid.uuid4(), dialect="robocompute", kind="task", payment_state="confirmed", settings={}, breakdown={},
        asset=asset, units_total=1, paid_at=now,
    )
    with database.unit_of_work() as session:
        job.account_id = an_account(session)
        session.add(job)
        session.flush()
        wanted = {
            "type": "gpu", "cpu_cores": Decimal(4), "gpu_count": 1, "gpu_memory_gb": Decimal(8), "ram_gb": Decimal(16),
            "storage_gb": Decimal(50), "max_price_minor": 10_000_000, "timeout_seconds": 3600,
        }
        session.add(Task(job_id=job.id, docker_image="image", command=["true"], environment={}, **wanted | asks))
        session.add(WorkUnit(job_id=job.id, ordinal=0, kind="container", capability="compute", queued_at=now))
    return job.id


def take(session: Session, job_id: uuid.UUID, provider_id: uuid.UUID, resource_id: uuid.UUID | None = None) -> uuid.UUID | None:
    """What accepting a task does: the job is locked, it gets a resource, and its unit is in the provider's hands."""
    job = session.get_one(Job, job_id, with_for_update=True)
    task = session.get_one(Task, job_id)
    found = resources.allocate(session, task, job.asset, provider_id, resource_id)
    unit = session.query(WorkUnit).filter_by(job_id=job_id).one()
    unit.state, unit.attempt_id, task.provider_id = "assigned", uuid.uuid4(), provider_id
    session.flush()
    session.add(Attempt(id=unit.attempt_id, unit_id=unit.id, fence=unit.fence, upload_key="key"))
    return None if found is None else found.id


def give_back(session: Session, job_id: uuid.UUID) -> None:
    """As when a lease is lost: the attempt ends, the unit waits again; what the task says of the resource is left as it was."""
    unit = session.query(WorkUnit).filter_by(job_id=job_id).one()
    session.get_one(Attempt, unit.attempt_id).state = "lost"
    unit.state, unit.attempt_id, unit.fence = "queued", None, unit.fence + 1
