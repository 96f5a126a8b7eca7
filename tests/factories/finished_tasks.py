"""Compute tasks that were paid for, in the database alone: by the verbs that hold and capture money, without any container."""

import uuid
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from app.core import accounts, ledger, nodes, pricing, task_holds
from app.core.ledger import Party
from app.db import Database, Session
from app.models.jobs import Job, WorkUnit
from app.models.tasks import Task
from app.values import clock
from app.values.money import Money, parse

SHA256 = "ab" * 32
TARIFF = pricing.Tariff(Decimal("0.001"), Decimal("0.0001"), Decimal("0.01"), Decimal("0.005"))


@dataclass
class Seller:
    """A provider of compute; its account is that of its wallet."""

    provider_id: uuid.UUID
    account_id: uuid.UUID


def seller(database: Database, name: str = "farm", wallet: str | None = None) -> Seller:
    with database.unit_of_work() as session:
        offer = {"name": name, "wallet": wallet or uuid.uuid4().hex, "endpoint": None, "spec": {}}
        provider_id = nodes.register_provider(session, offer, TARIFF)
        return Seller(provider_id, nodes.get_provider(session, provider_id).account_id)


def client(database: Database, amount: str = "0", asset: str = "USDC") -> uuid.UUID:
    """An account with so much on its balance."""
    with database.unit_of_work() as session:
        account_id = accounts.ensure_identity(session, "solana", uuid.uuid4().hex)
        fund(session, account_id, parse(amount, asset))
    return account_id


def fund(session: Session, account_id: uuid.UUID, money: Money) -> None:
    """As if it had arrived on the chain."""
    if money.minor:
        ledger.post(session, Party("chain"), Party("balance", account_id), money, f"test:{uuid.uuid4()}")


def running_task(session: Session, buyer: uuid.UUID, by: Seller, held: Money, **more: Any) -> uuid.UUID:
    """A task that a provider has, with its money set aside; `more` are columns of its own."""
    job = Job(
        id=uuid.uuid4(), dialect="robocompute", kind="task", account_id=buyer, state="open", payment_state="confirmed",
        settings={}, breakdown={}, asset=held.asset, units_total=1, paid_at=clock.now(),
    )  # fmt: skip
    session.add(job)
    session.flush()
    task: dict[str, Any] = {
        "type": "gpu", "docker_image": "registry/image:1", "command": ["run"], "environment": {}, "cpu_cores": 1, "ram_gb": 1,
        "storage_gb": 1, "max_price_minor": held.minor, "timeout_seconds": 3600, "provider_id": by.provider_id,
    }  # fmt: skip
    session.add(Task(job_id=job.id, **task | more))
    unit = WorkUnit(id=uuid.uuid4(), job_id=job.id, ordinal=0, kind="container", capability="compute", state="rendering",
                    queued_at=clock.now())  # fmt: skip
    session.add(unit)
    session.flush()
    task_holds.hold(session, buyer, job.id, held)
    return job.id


def end(
    session: Session, job_id: uuid.UUID, by: Seller, cost: Money, sha256: str | None = SHA256, key: str | None = None,
    ended_at: datetime | None = None,
) -> None:  # fmt: skip
    """The task is done, and its provider paid."""
    job = session.get_one(Job, job_id)
    unit = session.query(WorkUnit).filter_by(job_id=job_id).one()
    job.state, job.ended_at = "completed", ended_at or clock.now()
    unit.state, unit.result_sha256, unit.result_key = "completed", sha256, key
    hold = task_holds.capture(session, job_id, cost, by.account_id, 5)
    assert hold is not None
    if ended_at is not None:
        hold.ended_at = ended_at


def finished_task(
    database: Database, buyer: uuid.UUID, by: Seller, cost: str = "10", asset: str = "USDC", sha256: str | None = SHA256,
    key: str | None = None, ended_at: datetime | None = None, **more: Any,
) -> uuid.UUID:  # fmt: skip
    """A completed task of a buyer who has the money."""
    with database.unit_of_work() as session:
        job_id = running_task(session, buyer, by, parse(cost, asset), **more)
        end(session, job_id, by, parse(cost, asset), sha256, key, ended_at)
    return job_id
