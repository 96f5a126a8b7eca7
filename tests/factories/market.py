"""A marketplace in the database alone: one provider, paid jobs and healthy nodes, made by the core's own verbs."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import update

from app import outbox
from app.core import audit, claims, jobs, ledger, nodes, payments, pricing
from app.core.ledger import Party
from app.core.payments import Decision
from app.db import Database
from app.models.jobs import Job, Scene, WorkUnit
from app.models.nodes import Node
from app.values import clock

TARIFF = pricing.Tariff(Decimal("0.001"), Decimal("0.0001"), Decimal("0.01"), Decimal("0.005"))


class Marketplace:
    def __init__(self, database: Database) -> None:
        self.database, self.wallet = database, uuid.uuid4().hex
        with database.unit_of_work() as session:
            offer = {"name": "farm", "wallet": self.wallet, "endpoint": "http://127.0.0.1:1", "spec": {}}
            self.provider_id = nodes.register_provider(session, offer, TARIFF)
            self.owner_id = nodes.get_provider(session, self.provider_id).account_id

    def unpaid_job(self, frames: int = 1) -> tuple[uuid.UUID, uuid.UUID]:
        """A quoted job: (job id, payment id)."""
        with self.database.unit_of_work() as session:
            scene = Scene(
                id=uuid.uuid4(), sha256="0" * 64, size_bytes=1, storage_key="scene", file_name="a.stl", format=".stl", facts={}
            )
            session.add(scene)
            session.flush()
            order = jobs.Order(
                dialect="rayment",
                kind="render",
                frames=tuple(range(1, frames + 1)),
                settings={"engine": "cycles", "width": 8, "height": 6, "samples": 1, "output_format": "PNG"},
                quote=pricing.quote(TARIFF, 1, frames, Decimal(60), 5),
                scene_id=scene.id,
                provider_id=self.provider_id,
                client_wallet="client",
                expires_at=clock.now() + timedelta(minutes=15),
            )
            job = jobs.submit(session, order)
            return job.id, payments.ask(session, job, self.wallet, "solana", "memo:").id

    def pay(
        self, payment_id: uuid.UUID, received_minor: int | None = None, state: str = "accepted", code: str | None = None
    ) -> None:
        """Show a transaction and decide it as the chain would."""
        with self.database.unit_of_work() as session:
            payment = session.get_one(payments.Payment, payment_id)
            shown = payments.present(session, payment, uuid.uuid4().hex)
            amount = payment.amount_minor if received_minor is None else received_minor
            payments.decide(session, shown.id, Decision(state, code, None, amount, "client"))

    def paid_job(self, frames: int = 1) -> uuid.UUID:
        job_id, payment_id = self.unpaid_job(frames)
        self.pay(payment_id)
        return job_id

    def node(self, name: str, is_trusted: bool = True) -> uuid.UUID:
        body = {
            "name": name, "public_key": uuid.uuid4().hex, "capabilities": ["render"], "machine": {}, "agent": "test",
        }
        with self.database.unit_of_work() as session:
            provider = nodes.get_provider(session, self.provider_id)
            node_id = nodes.register(session, body, provider, is_trusted).node_id
            nodes.heartbeat(session, session.get_one(Node, node_id), {})
        return node_id

    def claim(self, node_id: uuid.UUID, limit: int) -> list[claims.Claim]:
        with self.database.unit_of_work() as session:
            ask = {"capabilities": ["render"], "limit": limit}
            return claims.claim(session, session.get_one(Node, node_id), ask, 60, 90)

    def make_stale(self) -> None:
        """Pretend that every waiting unit was rung long ago."""
        with self.database.unit_of_work() as session:
            session.execute(update(WorkUnit).values(rung_at=clock.now() - timedelta(hours=1)))

    @contextmanager
    def listening(self, queues: list[str]) -> Iterator[None]:
        """Collect the queues that are rung."""

        def publish(kind: str, key: str, payload: dict[str, Any]) -> None:
            if kind == "ring":
                queues.append(key)

        before = outbox.connected()
        outbox.connect(publish)
        try:
            yield
        finally:
            outbox.connect(before)

    def assert_money_fits(self, job_id: uuid.UUID) -> None:
        """What was delivered, its fee, and what is owed back add up to the price, and the books agree."""
        with self.database.unit_of_work() as session:
            job = session.get_one(Job, job_id)
            refunds = sum(refund.amount_minor for refund in payments.refunds_of(session, job_id))
            done = job.units_completed if job.state != "completed" else job.units_total
            earned = job.price_minor * done // job.units_total
            assert refunds == job.price_minor - earned
            assert audit.differences(session) == []

    def balance(self, kind: str, owner_id: uuid.UUID | None = None) -> int:
        with self.database.unit_of_work() as session:
            return ledger.balance(session, Party(kind, owner_id), "SOL").minor
