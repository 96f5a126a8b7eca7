"""Compute tasks in the database alone: a buyer with money, providers with their own software, a node that runs containers."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from app.core import (
    accounts,
    audit,
    claims,
    completions,
    jobs,
    ledger,
    nodes,
    outcomes,
    task_assignments,
    task_deadlines,
    task_orders,
    tasks,
)
from app.core.claims import Claim
from app.core.completions import Finished
from app.core.ledger import Party
from app.core.task_assignments import Terms
from app.core.task_ends import Exit
from app.core.task_fit import Rules
from app.core.task_orders import TaskChange, TaskOrder
from app.core.tasks import TaskView
from app.db import Database
from app.models.nodes import Node, Provider
from app.values import clock
from app.values.money import Money, parse
from app.values.task_resources import read

LIMITS = (3, 5)
TERMS = Terms(300, LIMITS)
PULL_SECONDS = 900
RULES = Rules()
MACHINE = {"cpu_count": 8, "memory_bytes": 64 * 10**9, "disk_bytes": 500 * 10**9, "container_engine": "docker", "gpus": []}
GPU = {"memory_total_bytes": 24 * 1024**3}
ORDER = TaskOrder(
    account_id=uuid.UUID(int=0),
    name="a task",
    type="cpu",
    docker_image="debian:12",
    command=["true"],
    resources=read("cpu", {"cpu_cores": 2, "ram_gb": 4, "storage_gb": 10}),
    max_price=parse("36", "USDC"),
    timeout_seconds=1000,
)


@contextmanager
def moving_clock() -> Iterator["Hours"]:
    """A clock that moves only when it is told to."""
    hours = Hours()
    clock.replace_clock(lambda: hours.now)
    try:
        yield hours
    finally:
        clock.replace_clock(None)


class Hours:
    def __init__(self) -> None:
        self.now = datetime.now(UTC)

    def wait(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


class Compute:
    """A buyer with 100 USDC; a task of 36 USDC an hour costs a cent a second, and holds 10 for its 1000 s."""

    def __init__(self, database: Database, balance: str = "100", asset: str = "USDC") -> None:
        self.database, self.asset = database, asset
        with database.unit_of_work() as session:
            self.account_id = accounts.ensure_identity(session, "solana", uuid.uuid4().hex)
            ledger.post(session, Party("chain"), Party("balance", self.account_id), parse(balance, asset), f"test:{uuid.uuid4()}")
        self.brought = parse(balance, asset) + self.fees()  # what earlier markets of this database left there

    def provider(self) -> Provider:
        wallet = uuid.uuid4().hex
        with self.database.unit_of_work() as session:
            account_id = accounts.ensure_identity(session, "solana", wallet)
            prices = dict.fromkeys(("price_per_frame", "price_per_second", "price_per_gb", "minimum_price"), 0)
            provider = Provider(id=uuid.uuid4(), account_id=account_id, name="farm", wallet=wallet, spec={}, **prices)
            session.add(provider)
        return provider

    def node(self, provider: Provider | None = None, machine: Any = MACHINE, **more: Any) -> uuid.UUID:
        """A live node with `compute`."""
        body: dict[str, Any] = {"name": "n", "public_key": uuid.uuid4().hex, "capabilities": ["compute"], "agent": ""}
        body["machine"] = {**machine, **more}
        with self.database.unit_of_work() as session:
            made = nodes.register(session, body, provider, provider is None)
            nodes.heartbeat(session, session.get_one(Node, made.node_id), {})
        return made.node_id

    def order(self, **changes: Any) -> uuid.UUID:
        with self.database.unit_of_work() as session:
            return task_orders.create(session, replace(ORDER, account_id=self.account_id, **changes)).job.id

    def change(self, task_id: uuid.UUID, **changes: Any) -> TaskView:
        with self.database.unit_of_work() as session:
            return task_orders.change(session, self.account_id, task_id, TaskChange(**changes))

    def cancel(self, task_id: uuid.UUID) -> TaskView:
        with self.database.unit_of_work() as session:
            return task_orders.cancel(session, self.account_id, task_id)

    def view(self, task_id: uuid.UUID) -> TaskView:
        with self.database.unit_of_work() as session:
            return tasks.get_own(session, self.account_id, task_id)

    def accept(self, provider: Provider, task_id: uuid.UUID) -> TaskView:
        with self.database.unit_of_work() as session:
            return task_assignments.accept(session, provider, task_id, None, TERMS)

    def start(self, provider: Provider, task_id: uuid.UUID) -> TaskView:
        with self.database.unit_of_work() as session:
            return task_assignments.start(session, provider, task_id, "c1", {"cpu_cores": 2}, TERMS)

    def report(self, provider: Provider, task_id: uuid.UUID, progress: float = 0.5) -> TaskView:
        with self.database.unit_of_work() as session:
            return task_assignments.report(session, provider, task_id, progress, TERMS)

    def fail(
        self, provider: Provider, task_id: uuid.UUID, code: str = "EXECUTION_ERROR", exit_code: int | None = None
    ) -> TaskView:
        with self.database.unit_of_work() as session:
            return task_assignments.fail(session, provider, task_id, code, "it broke", TERMS, exit_code)

    def complete(self, task_id: uuid.UUID, seconds: float, pair: tuple[uuid.UUID, int] | None = None) -> bool:
        """Book a result of the attempt under way, or of the one that is named, as `flows.results` does once its bytes are
        checked."""
        unit = self.view(task_id).unit
        attempt_id, fence = pair or (unit.attempt_id or uuid.uuid4(), unit.fence)
        with self.database.unit_of_work() as session:
            return bool(completions.complete(session, [Finished(attempt_id, fence, "key", "0" * 64, 1, seconds)]))

    def claim(self, node_id: uuid.UUID, limit: int = 1, rules: Rules = RULES) -> list[Claim]:
        with self.database.unit_of_work() as session:
            node = session.get_one(Node, node_id)
            ask = {"capabilities": ["compute"], "limit": limit}
            return claims.claim(session, node, ask, 60, 90, open_nodes=True, task_rules=rules)

    def renew(self, node_id: uuid.UUID, claim: Claim, seconds: float) -> bool:
        pair = claim.attempt_id, claim.fence
        with self.database.unit_of_work() as session:
            return bool(jobs.renew(session, node_id, [(*pair, 0.5)], 60, {claim.attempt_id: seconds}))

    def node_fails(self, claim: Claim, code: str, exited: Exit | None = None) -> str | None:
        with self.database.unit_of_work() as session:
            return outcomes.fail(session, claim.attempt_id, claim.fence, code, "it broke", LIMITS, exited)

    def sweep(self) -> None:
        """What the hub's sweeps do about leases and deadlines."""
        with self.database.unit_of_work() as session:
            outcomes.expire_leases(session, LIMITS)
        with self.database.unit_of_work() as session:
            task_deadlines.end_overdue(session, PULL_SECONDS)

    def money(self, kind: str = "balance", owner_id: uuid.UUID | None = None) -> str:
        with self.database.unit_of_work() as session:
            return f"{ledger.balance(session, Party(kind, owner_id or self.account_id), self.asset).decimal:.2f}"

    def earned(self, provider: Provider) -> str:
        return self.money("balance", provider.account_id)

    def fees(self) -> Money:
        with self.database.unit_of_work() as session:
            return ledger.balance(session, Party("fees"), self.asset)

    def assert_conserved(self, *earners: uuid.UUID) -> None:
        """What was brought is the buyer's, held, earned or the platform's; and the books agree with themselves."""
        with self.database.unit_of_work() as session:
            parties = [Party("balance", self.account_id), Party("held", self.account_id), Party("fees")]
            parties += [Party("balance", owner) for owner in dict.fromkeys(earners)]
            found = sum((ledger.balance(session, party, self.asset).minor for party in parties), 0)
            assert found == self.brought.minor
            assert audit.differences(session) == []

    def assert_settled(self, task_id: uuid.UUID, *earners: uuid.UUID) -> None:
        """A task that is over holds nothing, and cost what its row says: no more than was set aside."""
        view = self.view(task_id)
        assert view.is_over and view.hold is not None
        self.assert_conserved(*earners)
        cost = (view.hold.earned_minor or 0) + (view.hold.fee_minor or 0)
        assert cost == (view.task.billed_minor or 0) <= view.hold.amount_minor
        assert (view.hold.state == "captured") == (view.task.billed_seconds is not None)
        assert view.job.payment_state == ("confirmed" if view.hold.state == "captured" else "refunded")
        assert self.money("held") == "0.00"
