"""Reading for people: lists and sums that no verb needs."""

import uuid
from decimal import Decimal
from typing import Any

from sqlalchemy import String, cast, func, or_, select
from sqlalchemy.orm import Session

from app.models.accounts import Account, ApiKey, Identity
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


def providers(session: Session, status: str | None = None, limit: int = 1000, offset: int = 0) -> list[Provider]:
    """Providers in the order in which they came, by page."""
    query = select(Provider).order_by(Provider.registered_at, Provider.id).limit(limit).offset(offset)
    return list(session.scalars(query.where(Provider.status == status) if status else query))


def count_providers(session: Session, status: str | None = None) -> int:
    query = select(func.count()).select_from(Provider)
    return int(session.scalar(query.where(Provider.status == status) if status else query) or 0)


def progress_of(session: Session, job_id: uuid.UUID) -> float:
    """How far a job is, 0 to 1, frames under way counted by their reports."""
    mean = select(func.avg(WorkUnit.progress)).where(WorkUnit.job_id == job_id, WorkUnit.ordinal >= 0)
    return float(session.scalar(mean) or 0.0)


def paid_jobs_of(session: Session, provider_id: uuid.UUID, limit: int = 1000) -> list[tuple[Job, str | None]]:
    """Open paid jobs of a provider, oldest first, with the transaction that paid each."""
    query = (
        select(Job, Payment.tx_signature)
        .join(Payment, Payment.job_id == Job.id)
        .where(
            Job.dialect == "rayment",
            Job.provider_id == provider_id,
            Job.state == JobState.OPEN,
            Job.payment_state == PaymentState.CONFIRMED,
        )
    )
    return [(row[0], row[1]) for row in session.execute(query.order_by(Job.created_at).limit(limit))]


def api_keys(session: Session, limit: int = 1000, named: str | None = None) -> list[dict[str, Any]]:
    """API keys as their operator sees them, the newest first; never their secrets. `named`: those with this id or prefix."""
    wallets = select(func.string_agg(Identity.value, ", ")).where(
        Identity.account_id == Account.id, Identity.kind.in_(("solana", "ton", "email"))
    )
    query = select(ApiKey, Account, wallets.scalar_subquery()).join(Account, Account.id == ApiKey.account_id)
    if named is not None:
        query = query.where(or_(cast(ApiKey.id, String) == named.lower(), ApiKey.prefix == named))
    return [
        {
            "id": str(key.id),
            "prefix": key.prefix,
            "name": key.name,
            "account": str(account.id),
            "identities": identities or account.name,
            "roles": account.roles,
            "scopes": key.scopes,
            "created_at": key.created_at.isoformat(),
            "expires_at": key.expires_at.isoformat() if key.expires_at else None,
            "revoked_at": key.revoked_at.isoformat() if key.revoked_at else None,
        }
        for key, account, identities in session.execute(query.order_by(ApiKey.created_at.desc()).limit(limit))
    ]
