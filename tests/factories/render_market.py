"""Renders of RNP-019 in the database alone: an agent with money, nodes that render, and the verbs between them."""

import uuid
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

from app.core import accounts, audit, claims, completions, ledger, nodes, outcomes, render_holds, render_orders
from app.core.claims import Claim
from app.core.completions import Finished
from app.core.ledger import Party
from app.core.render_orders import Placement, Price
from app.db import Database
from app.models.jobs import Job, Scene, SceneTiming, WorkUnit
from app.models.nodes import Node
from app.models.render_orders import RenderHold, RenderOrder
from app.values.money import Money, parse

LIMITS = (3, 5)
SETTINGS = {"width": 64, "height": 64, "samples": 1, "engine": "cycles", "output_format": "PNG", "camera": None}


class Renders:
    """An agent with 100 RCREDIT; an hour of a node costs 36, so a second a cent, and a frame is quoted at 10 s."""

    def __init__(self, database: Database, balance: str = "100", asset: str = "RCREDIT") -> None:
        self.database, self.asset = database, asset
        self.account_id = self.account(balance)
        self.brought = parse(balance, asset) + self.fees()

    def account(self, balance: str) -> uuid.UUID:
        with self.database.unit_of_work() as session:
            made = accounts.ensure_identity(session, "solana", uuid.uuid4().hex)
            amount = parse(balance, self.asset)
            if amount.minor:
                ledger.post(session, Party("chain"), Party("balance", made), amount, f"test:{uuid.uuid4()}")
        return made

    def node(self, **machine: Any) -> uuid.UUID:
        """A live node of the operator's that renders."""
        body = {"name": "n", "public_key": uuid.uuid4().hex, "capabilities": ["render"], "agent": "", "machine": machine}
        with self.database.unit_of_work() as session:
            made = nodes.register(session, body, None, True)
            nodes.heartbeat(session, session.get_one(Node, made.node_id), {})
        return made.node_id

    def beat(self, node_id: uuid.UUID) -> None:
        with self.database.unit_of_work() as session:
            nodes.heartbeat(session, session.get_one(Node, node_id), {})

    def placement(self, quoted: int = 10, **changes: Any) -> Placement:
        numbers = tuple(range(1, quoted + 1))
        price = Price(parse("36", self.asset), parse(str(Decimal(quoted) / 10), self.asset), Decimal(1), "none")
        wanted = Placement(
            account_id=self.account_id,
            name="a render",
            kind="render",
            frames=numbers,
            settings=SETTINGS,
            tier="priority",
            priority=0,
            mode="credits",
            price=price,
            max_amount=None,
            window_units=4,
        )
        return replace(wanted, **changes)

    def place(self, quoted: int = 10, **changes: Any) -> uuid.UUID:
        with self.database.unit_of_work() as session:
            return render_orders.place(session, self.placement(quoted, **changes)).id

    def claim(self, node_id: uuid.UUID, limit: int = 1, job_id: uuid.UUID | None = None) -> list[Claim]:
        """`job_id`: whose scene it has open."""
        with self.database.unit_of_work() as session:
            node = session.get_one(Node, node_id)
            ask = {"capabilities": ["render"], "limit": limit, "job_id": job_id}
            return claims.claim(session, node, ask, 60, 90, open_nodes=True)

    def complete(self, taken: Sequence[Claim]) -> int:
        """Book results as `flows.results` does once their bytes are checked, each as long as the hub saw it. Returns how many
        counted."""
        done = [Finished(item.attempt_id, item.fence, "key", "0" * 64, 1, 10.0**6) for item in taken]
        with self.database.unit_of_work() as session:
            return len(completions.complete(session, done))

    def node_fails(self, item: Claim, code: str = "CRASHED") -> str | None:
        with self.database.unit_of_work() as session:
            return outcomes.fail(session, item.attempt_id, item.fence, code, "it broke", LIMITS)

    def cancel(self, job_id: uuid.UUID) -> None:
        with self.database.unit_of_work() as session:
            render_orders.cancel(session, self.account_id, job_id)

    def own_scene(self) -> uuid.UUID:
        """One of the agent's, of bytes of its own."""
        with self.database.unit_of_work() as session:
            file = {"size_bytes": 9, "storage_key": "s", "file_name": "a.blend", "format": ".blend", "facts": {}, "report": {}}
            made = Scene(id=uuid.uuid4(), account_id=self.account_id, sha256=uuid.uuid4().hex * 2, **file)
            session.add(made)
        return made.id

    def measured(self, scene_id: uuid.UUID) -> list[tuple[int, float]]:
        """What is remembered of a scene's bytes: (frames, their seconds together) for each of its settings."""
        with self.database.unit_of_work() as session:
            query = session.query(SceneTiming).join(Scene, Scene.sha256 == SceneTiming.sha256).filter(Scene.id == scene_id)
            return [(row.frames, row.seconds_total) for row in query]

    def job(self, job_id: uuid.UUID) -> Job:
        with self.database.unit_of_work() as session:
            return session.get_one(Job, job_id)

    def order(self, job_id: uuid.UUID) -> RenderOrder:
        with self.database.unit_of_work() as session:
            return session.get_one(RenderOrder, job_id)

    def units(self, job_id: uuid.UUID) -> list[WorkUnit]:
        with self.database.unit_of_work() as session:
            return list(session.query(WorkUnit).filter_by(job_id=job_id).order_by(WorkUnit.ordinal))

    def balance(self, kind: str = "balance", owner_id: uuid.UUID | None = None) -> Money:
        with self.database.unit_of_work() as session:
            return ledger.balance(session, Party(kind, owner_id or self.account_id), self.asset)

    def earned(self, node_id: uuid.UUID) -> Money:
        """What a node's account has, as so much of what its jobs were paid with: for credits it has RENDER, one for one."""
        with self.database.unit_of_work() as session:
            account = Party("balance", session.get_one(Node, node_id).account_id)
            return Money(ledger.balance(session, account, render_holds.earned_in(self.asset)).minor, self.asset)

    def fees(self) -> Money:
        with self.database.unit_of_work() as session:
            return ledger.balance(session, Party("fees"), self.asset)

    def assert_conserved(self, job_id: uuid.UUID, *node_ids: uuid.UUID) -> None:
        """What was brought is the client's, aside, earned or the platform's; the job's cost is the sum of its frames'; and the
        books agree with themselves."""
        earned = sum(self.earned(node_id).minor for node_id in node_ids)
        found = self.balance().minor + self.balance("held").minor + earned + self.fees().minor
        assert found == self.brought.minor
        order = self.order(job_id)
        with self.database.unit_of_work() as session:
            hold = session.query(RenderHold).filter_by(job_id=job_id).one()
            assert audit.differences(session) == []
        assert order.charged_minor == sum(unit.cost_minor or 0 for unit in self.units(job_id)) <= order.bound_minor
        assert hold.amount_minor == (0 if hold.ended_at else order.limit_minor - order.charged_minor)
