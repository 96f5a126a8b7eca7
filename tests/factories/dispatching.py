"""Dispatched jobs in the database alone: owners with credits, nodes with capabilities, made by the core's own verbs."""

import uuid
from datetime import timedelta
from typing import Any

from sqlalchemy import update

from app.core import accounts, audit, claims, completions, credits, dispatch, ledger, nodes, outcomes
from app.core.claims import Claim
from app.core.completions import Finished, Terms
from app.core.dispatch import DispatchOrder, NodeRules
from app.core.ledger import Party
from app.db import Database
from app.models.jobs import Job, WorkUnit
from app.models.nodes import Node, NodeToken
from app.values import clock
from app.values.money import Money, parse
from app.values.purposes import Purpose
from app.values.rates import read_table

RULES = NodeRules(silence_seconds=90, proof_required=True, open_nodes=True, offer_seconds=5)
TERMS = Terms(70, read_table("CREDIT=0.10,USDC=1"))
LIMITS = (3, 5)


class Dispatcher:
    """One owner of credits, and nodes of nobody's provider."""

    def __init__(self, database: Database, balance: str = "1000") -> None:
        self.database = database
        with database.unit_of_work() as session:
            self.account_id = accounts.ensure_identity(session, "email", f"{uuid.uuid4().hex}@example.com")
        if balance != "0":
            self.fund(balance)

    def fund(self, amount: str) -> None:
        with self.database.unit_of_work() as session:
            credits.grant(session, self.account_id, parse(amount, "CREDIT"), f"test:{uuid.uuid4()}", Purpose.ADJUSTMENT)

    def node(self, *capabilities: str, load: float = 0.0, is_proven: bool = True, is_trusted: bool = False) -> uuid.UUID:
        """A node that has just given a sign of life."""
        body = {"name": "node", "public_key": uuid.uuid4().hex, "capabilities": list(capabilities), "machine": {}, "agent": ""}
        with self.database.unit_of_work() as session:
            made = nodes.register(session, body, None, is_trusted)
            if is_proven:
                session.execute(update(NodeToken).where(NodeToken.id == made.token_id).values(proven_at=clock.now()))
            nodes.heartbeat(session, session.get_one(Node, made.node_id), {"current_load": load})
        return made.node_id

    def dispatch(self, kind: str = "echo", price: str = "10", rules: NodeRules = RULES) -> tuple[uuid.UUID, uuid.UUID]:
        """(job, node)"""
        order = DispatchOrder("rendertrust", self.account_id, kind, parse(price, "CREDIT"), {"payload_ref": "s3://b/k"})
        with self.database.unit_of_work() as session:
            job, node_id = dispatch.dispatch(session, order, rules)
            return job.id, node_id

    def dispatch_many(self, count: int, price: str) -> set[uuid.UUID]:
        """That many jobs, in one unit of work."""
        order = DispatchOrder("rendertrust", self.account_id, "echo", parse(price, "CREDIT"), {"payload_ref": "s3://b/k"})
        with self.database.unit_of_work() as session:
            return {dispatch.dispatch(session, order, RULES)[0].id for _ in range(count)}

    def claim(self, node_id: uuid.UUID, limit: int = 1, kinds: tuple[str, ...] | None = None) -> list[Claim]:
        with self.database.unit_of_work() as session:
            node = session.get_one(Node, node_id)
            ask = {"capabilities": list(kinds or node.capabilities), "limit": limit}
            return claims.claim(session, node, ask, 60, 90, open_nodes=True)

    def complete(self, claim: Claim) -> bool:
        done = Finished(claim.attempt_id, claim.fence, "key", "0" * 64, 1, 0.1)
        with self.database.unit_of_work() as session:
            return claim.attempt_id in completions.complete(session, [done], TERMS)

    def fail(self, claim: Claim, code: str = "CRASHED") -> str | None:
        with self.database.unit_of_work() as session:
            return outcomes.fail(session, claim.attempt_id, claim.fence, code, "boom", LIMITS)

    def cancel(self, job_id: uuid.UUID) -> None:
        with self.database.unit_of_work() as session:
            dispatch.cancel(session, self.account_id, job_id, "rendertrust")

    def job(self, job_id: uuid.UUID) -> Job:
        with self.database.unit_of_work() as session:
            return session.get_one(Job, job_id)

    def unit(self, job_id: uuid.UUID) -> WorkUnit:
        with self.database.unit_of_work() as session:
            return session.query(WorkUnit).filter_by(job_id=job_id).one()

    def hasten(self, seconds: float) -> None:
        """Everything that waits has waited so much longer: the clock moved on, for units."""
        passed = timedelta(seconds=seconds)
        with self.database.unit_of_work() as session:
            session.execute(
                update(WorkUnit).values(queued_at=WorkUnit.queued_at - passed, rung_at=WorkUnit.rung_at - passed)
            )

    def money(self, kind: str = "balance", asset: str = "CREDIT", owner_id: Any = "own") -> str:
        owner = self.account_id if owner_id == "own" else owner_id
        with self.database.unit_of_work() as session:
            return str(ledger.balance(session, Party(kind, owner), asset))

    def platform(self, kind: str, asset: str = "CREDIT") -> Money:
        with self.database.unit_of_work() as session:
            return ledger.balance(session, Party(kind), asset)

    def owner_of(self, node_id: uuid.UUID) -> uuid.UUID:
        with self.database.unit_of_work() as session:
            return session.get_one(Node, node_id).account_id

    def assert_books_balance(self) -> None:
        with self.database.unit_of_work() as session:
            assert audit.differences(session) == []
