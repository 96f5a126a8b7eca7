"""Reading for people: lists and sums that no verb needs."""

import uuid
from decimal import Decimal
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.models.jobs import Job, WorkUnit
from app.models.nodes import Provider
from app.models.payments import Payment
from app.values.money import DECIMALS
from app.values.states import JobState, PaymentState


def hub_statistics(session: Session, dialect: str) -> dict[str, Any]:
    """Providers, jobs from their confirmed payment on, volume in SOL, mean render seconds."""
    providers = session.execute(
        select(func.count(), func.count().filter(Provider.status == "online")).select_from(Provider)
    ).one()
    paid = Job.payment_state.in_((PaymentState.CONFIRMED, PaymentState.REFUNDED))
    done = Job.state == JobState.COMPLETED
    row = session.execute(
        select(
            func.count(),
            func.count().filter(done),
            func.coalesce(func.sum(Job.price_minor), 0),
            func.avg(Job.render_seconds).filter(done),
        ).where(Job.dialect == dialect, paid)
    ).one()
    return {
        "providers": providers[0],
        "online": providers[1],
        "jobs": row[0],
        "completed": row[1],
        "volume": Decimal(int(row[2])).scaleb(-DECIMALS["SOL"]),
        "render_seconds": round(float(row[3] or 0), 3),
    }


def providers(session: Session, status: str | None = None, limit: int = 1000) -> list[Provider]:
    query = select(Provider).order_by(Provider.registered_at, Provider.id).limit(limit)
    return list(session.scalars(query.where(Provider.status == status) if status else query))


def progress_of(session: Session, job_id: uuid.UUID) -> float:
    """How far a job is, 0 to 1, frames under way counted by their reports."""
    return float(session.scalar(select(func.avg(WorkUnit.progress)).where(WorkUnit.job_id == job_id)) or 0.0)


def provider_of(session: Session, job_id: uuid.UUID) -> uuid.UUID | None:
    return session.scalar(select(Job.provider_id).where(Job.id == job_id))


def paid_jobs_of(session: Session, provider_id: uuid.UUID, limit: int = 100) -> list[tuple[uuid.UUID, str | None]]:
    """Open paid jobs of a provider that nobody has begun, with the transaction that paid them."""
    query = (
        select(Job.id, Payment.tx_signature)
        .join(Payment, Payment.job_id == Job.id)
        .where(
            Job.provider_id == provider_id,
            Job.state == JobState.OPEN,
            Job.payment_state == PaymentState.CONFIRMED,
            Job.started_at.is_(None),
        )
    )
    return [(row[0], row[1]) for row in session.execute(query.order_by(Job.created_at).limit(limit))]
