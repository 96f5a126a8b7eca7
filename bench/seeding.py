"""Jobs for the measurements, made with the marketplace's own verbs, or for large numbers in SQL over its tables."""

import io
import uuid
from datetime import datetime, timedelta
from decimal import Decimal

from sqlalchemy import func, select, update

from app.adapters.storage.local import LocalStore
from app.config import Settings
from app.core import jobs, nodes, payments, pricing
from app.db import Database, Session
from app.models.jobs import Attempt, Job, Scene, WorkUnit
from app.models.ledger import Transfer
from app.models.nodes import Node, Provider
from app.models.payments import ChainTransaction, Payment
from app.values import clock
from bench.fake_node import HEIGHT, WIDTH

PICTURE = {"width": WIDTH, "height": HEIGHT, "samples": 1, "engine": "cycles", "output_format": "PNG", "camera": None}


def local_provider(session: Session) -> Provider:
    return session.scalars(select(Provider).order_by(Provider.registered_at).limit(1)).one()


def make_scene(database: Database) -> uuid.UUID:
    """A scene row that all jobs share; fake nodes never fetch its bytes."""
    with database.unit_of_work() as session:
        scene = Scene(
            id=uuid.uuid4(),
            sha256="0" * 64,
            size_bytes=1000,
            storage_key="scenes/bench",
            file_name="bench.blend",
            format=".blend",
            facts={},
        )
        session.add(scene)
        return scene.id


def ordered_jobs(database: Database, scene_id: uuid.UUID, count: int, frames: int) -> list[uuid.UUID]:
    """Jobs of `frames` units each for the local provider, ordered and paid, not queued yet."""
    made = []
    with database.unit_of_work() as session:
        provider = local_provider(session)
        for _ in range(count):
            job = jobs.submit(session, order(provider, scene_id, frames))
            payments.ask(session, job, provider.wallet, "solana", "bench:")
            made.append(job.id)
        session.flush()
        confirmed = update(Payment).where(Payment.job_id.in_(made))
        session.execute(confirmed.values(state="confirmed", confirmed_at=clock.now()))
    return made


def queue_jobs(database: Database, job_ids: list[uuid.UUID]) -> None:
    """Make the units of these jobs and queue them; nobody is rung, since the fake nodes ask without."""
    with database.unit_of_work() as session:
        for job in session.scalars(select(Job).where(Job.id.in_(job_ids))):
            jobs.queue(session, job)
        session.flush()
        session.info.pop("after_commit", None)


def paid_jobs(database: Database, scene_id: uuid.UUID, count: int, frames: int) -> list[uuid.UUID]:
    """Both: jobs that are ordered, paid and queued."""
    made = ordered_jobs(database, scene_id, count, frames)
    queue_jobs(database, made)
    return made


def unbooked(database: Database, job_ids: list[uuid.UUID]) -> int:
    """How many of these jobs are not completed with their fee in the ledger."""
    booked = select(Transfer.reference).where(Transfer.job_id == Job.id, Transfer.reference.like("fee:%")).exists()
    query = select(func.count()).where(Job.id.in_(job_ids), ~((Job.state == "completed") & booked)).select_from(Job)
    with database.unit_of_work() as session:
        return int(session.scalar(query) or 0)


def any_signature(session: Session) -> str:
    """The signature of one transaction that was shown."""
    return session.scalars(select(ChainTransaction.signature).limit(1)).one()


def order(provider: Provider, scene_id: uuid.UUID, frames: int) -> jobs.Order:
    """What a client orders: `frames` tiny pictures of a scene."""
    quote = pricing.quote(nodes.tariff_of(provider), 1000, frames, Decimal(1), 5)
    return jobs.Order(
        dialect="rayment",
        kind="render",
        frames=tuple(range(1, frames + 1)),
        settings=PICTURE,
        quote=quote,
        scene_id=scene_id,
        provider_id=provider.id,
        client_wallet=provider.wallet,
        expires_at=clock.now() + timedelta(seconds=900),
        name="bench",
    )


def store_scene(database: Database, settings: Settings) -> uuid.UUID:
    """A scene whose bytes can be fetched: an empty mesh that nobody renders."""
    data = b"\0" * 80 + (1).to_bytes(4, "little") + b"\0" * 50
    store = LocalStore(settings.home / "files", settings.secret_key, settings.base_url)
    stored = store.put(f"scenes/{uuid.uuid4().hex}", io.BytesIO(data), 10**6)
    with database.unit_of_work() as session:
        scene = Scene(
            id=uuid.uuid4(),
            sha256=stored.sha256,
            size_bytes=stored.size_bytes,
            storage_key=stored.key,
            file_name="bench.stl",
            format=".stl",
            facts={},
        )
        session.add(scene)
        return scene.id


def live_nodes(database: Database, since: datetime) -> int:
    """How many nodes have given a sign of life after `since`."""
    with database.unit_of_work() as session:
        query = select(func.count()).select_from(Node).where(Node.last_heartbeat_at > since)
        return int(session.scalar(query) or 0)


def frames_by_node(database: Database, job_id: str) -> list[int]:
    """How many of a job's units each node has done, the most first."""
    done = select(func.count()).join(WorkUnit, WorkUnit.attempt_id == Attempt.id).where(WorkUnit.job_id == uuid.UUID(job_id))
    with database.unit_of_work() as session:
        return sorted(session.scalars(done.select_from(Attempt).group_by(Attempt.node_id)), reverse=True)


def local_provider_id(database: Database) -> str:
    """The id of the stack's own provider, as text."""
    with database.unit_of_work() as session:
        return str(local_provider(session).id)
