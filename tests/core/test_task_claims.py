"""Which nodes get which tasks: by what their machines have room for, price, place, stake, and who has failed at it."""

import uuid
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import select

from app.core import disputes, ledger, resources, task_fit
from app.core.ledger import Party
from app.db import Database
from app.models.nodes import Node, Provider
from app.models.reputation import ProviderMark
from app.values.money import parse
from app.values.task_resources import read
from tests.factories.task_market import GPU, MACHINE, Compute, Hours, moving_clock


@pytest.fixture
def market(database: Database) -> Compute:
    return Compute(database, "1000")


@pytest.fixture
def hours() -> Iterator[Hours]:
    with moving_clock() as found:
        yield found


def is_claimed(market: Compute, machine: dict[str, Any], kind: str = "cpu", place: str | None = None, **asked: Any) -> bool:
    """Whether a node with this machine gets a task that asks for so much."""
    task_id = market.order(type=kind, resources=read(kind, asked), location=place)
    found = market.claim(market.node(market.provider(), machine))
    market.cancel(task_id)
    return [item.job.id for item in found] == [task_id]


@pytest.mark.parametrize(
    ("asked", "changes", "expected"),
    [
        ({}, {}, True),
        ({"cpu_cores": 8, "ram_gb": 64, "storage_gb": 500}, {}, True),
        ({"cpu_cores": 8.5}, {}, False),
        ({"ram_gb": 64.1}, {}, False),
        ({"storage_gb": 501}, {}, False),
        ({}, {"container_engine": None}, False),
        ({}, {"cpu_count": "many"}, False),
        ({}, {"memory_bytes": None}, False),
        ({}, {"disk_bytes": True}, False),
        ({}, {"cpu_count": 10**300}, False),
        ({}, {"container_engine": {"name": "podman", "cpu_count": 8, "memory_bytes": 64 * 10**9, "gpus": 0}}, True),
        ({"cpu_cores": 2}, {"container_engine": {"cpu_count": 1}}, False),
        ({"ram_gb": 2}, {"container_engine": {"memory_bytes": 10**9}}, False),
    ],
)
def test_a_task_goes_where_there_is_room(market: Compute, asked: Any, changes: Any, expected: bool) -> None:
    assert is_claimed(market, {**MACHINE, **changes}, **asked) is expected


@pytest.mark.parametrize(
    ("asked", "gpus", "expected"),
    [
        ({}, [GPU], True),
        ({}, [], False),
        ({"gpu_memory_gb": 24}, [GPU], True),
        ({"gpu_memory_gb": 80}, [GPU], False),
        ({"gpu_count": 2}, [GPU], False),
        ({"gpu_count": 2, "gpu_memory_gb": 20}, [GPU, {"memory_total_bytes": 8 * 10**9}], False),
        ({"gpu_count": 2, "gpu_memory_gb": 20}, [GPU, GPU], True),
        ({}, "a GPU", False),
    ],
)
def test_gpus_are_counted_by_the_memory_of_each(market: Compute, asked: Any, gpus: Any, expected: bool) -> None:
    assert is_claimed(market, {**MACHINE, "gpus": gpus}, "gpu", **asked) is expected


def test_what_an_engine_does_not_give_to_containers_is_not_there(market: Compute) -> None:
    machine = {**MACHINE, "gpus": [GPU], "container_engine": {"name": "podman", "gpus": 0, "network": False}}
    assert not is_claimed(market, machine, "gpu") and is_claimed(market, machine)
    market.order(has_network=True)
    assert market.claim(market.node(None, machine)) == []
    assert len(market.claim(market.node())) == 1


def test_what_is_in_use_is_not_free_and_one_claim_takes_one_task(market: Compute) -> None:
    node_id = market.node(market.provider(), {**MACHINE, "gpus": [GPU]})
    for _ in range(3):
        market.order(resources=read("cpu", {"cpu_cores": 3}))
    first = market.claim(node_id, limit=5)
    assert len(first) == 1 and len(market.claim(node_id)) == 1
    assert market.claim(node_id) == [], "two of its eight cores are left"
    assert market.complete(first[0].job.id, 1.0, (first[0].attempt_id, first[0].fence))
    assert len(market.claim(node_id)) == 1
    for _ in range(2):
        market.order(type="gpu", resources=read("gpu", {}))
    assert len(market.claim(node_id)) == 1 and market.claim(node_id) == []


def test_a_task_goes_where_it_is_wanted(market: Compute) -> None:
    there = {**MACHINE, "location": "US East 1"}
    for place, expected in (("us-east", True), ("us-east-1", True), (None, True), ("us-east-2", False), ("eu", False)):
        assert is_claimed(market, there, place=place) is expected
    assert not is_claimed(market, MACHINE, place="us-east")
    assert not is_claimed(market, {**MACHINE, "location": ["us-east"]}, place="us-east")


def offer(market: Compute, farm: Provider, kind: str, price: str, currency: str | None = None) -> None:
    with market.database.unit_of_work() as session:
        columns = {"type": kind, "specifications": {}, "price_minor": parse(price, "USDC").minor, "currency": currency}
        resources.create(session, farm.id, {**columns, "gpu_count": 1 if kind == "gpu" else 0})


def test_a_providers_node_works_at_its_providers_price_up_to_the_tasks_own(market: Compute, hours: Hours) -> None:
    farm = market.provider()
    offer(market, farm, "cpu", "18")
    offer(market, farm, "gpu", "72")
    node_id = market.node(farm, {**MACHINE, "gpus": [GPU]})
    cheap, dear = market.order(), market.order(type="gpu", resources=read("gpu", {}))
    [claim] = market.claim(node_id)
    assert claim.job.id == cheap and market.claim(node_id) == [], "72 an hour is more than the other one pays"
    hours.wait(100)
    assert market.complete(cheap, 100.0, (claim.attempt_id, claim.fence))
    assert market.view(cheap).task.billed_minor == 500_000
    market.change(dear, max_price_minor=72_000_000)
    [claim] = market.claim(node_id)
    assert market.view(dear).task.price_minor == 72_000_000
    market.cancel(dear)
    market.assert_conserved(farm.account_id)


def test_a_node_without_a_price_works_for_what_the_task_offers(market: Compute) -> None:
    task_id = market.order()
    assert market.claim(market.node())
    assert market.view(task_id).task.price_minor == 36_000_000 and market.view(task_id).task.provider_id is None
    market.complete(task_id, 0.0)
    assert market.view(task_id).task.billed_seconds == 0, "it claims nothing, and is paid nothing"


def test_whoever_has_staked_too_little_gets_no_task(market: Compute) -> None:
    farm, task_id = market.provider(), market.order()
    node_id, operators = market.node(farm), market.node()
    rules = task_fit.Rules({"USDC": parse("500", "USDC"), "USDT": parse("0", "USDT")})
    assert market.claim(node_id, rules=rules) == []
    with market.database.unit_of_work() as session:
        ledger.post(session, Party("chain"), Party("stake", farm.account_id), parse("500", "USDC"), f"test:{uuid.uuid4()}")
    [claim] = market.claim(node_id, rules=rules)
    assert claim.job.id == task_id
    again = market.order()
    assert [item.job.id for item in market.claim(operators, rules=rules)] == [again], "the operator's own need none"


def test_a_failed_task_is_kept_from_the_node_while_another_is_there(market: Compute) -> None:
    first, second = market.node(market.provider()), market.node(market.provider())
    task_id = market.order()
    [claim] = market.claim(first)
    assert market.node_fails(claim, "EXECUTION_ERROR") == "queued"
    assert market.claim(first) == []
    assert [item.job.id for item in market.claim(second)] == [task_id]


def test_a_clients_broken_image_breaks_no_host(market: Compute) -> None:
    """Its failures are the task's own: they make no node unhealthy, and spoil a name only if somebody else can do it."""
    farm, rival = market.provider(), market.provider()
    node_id = market.node(farm)
    broken = market.order()
    for code in ("IMAGE_NOT_FOUND", "EXECUTION_ERROR", "OUT_OF_MEMORY"):
        [claim] = market.claim(node_id)
        market.node_fails(claim, code)
    assert market.view(broken).status == "failed"
    assert failures_in_a_row(market, node_id) == 0 and marks(market) == Counter()
    sound = market.order()
    [claim] = market.claim(node_id)
    market.node_fails(claim, "EXECUTION_ERROR")
    market.accept(rival, sound)
    assert market.complete(sound, 1.0)
    assert marks(market) == {(farm.id, "failed"): 1, (rival.id, "completed"): 1}
    market.order()
    [claim] = market.claim(node_id)
    market.node_fails(claim, "CRASHED")
    assert failures_in_a_row(market, node_id) == 1 and marks(market)[farm.id, "failed"] == 2


def test_ends_of_work_are_noted_for_whoever_had_it(market: Compute, hours: Hours) -> None:
    farm = market.provider()
    for act in ("lose", "never begin", "cancel", "run out"):
        task_id = market.order()
        market.accept(farm, task_id)
        if act != "never begin":
            market.start(farm, task_id)
        hours.wait(10)
        if act == "cancel":
            market.cancel(task_id)
            continue
        for _ in range(10 if act == "run out" else 1):
            if act == "run out":
                hours.wait(100)
                market.report(farm, task_id)
            else:
                hours.wait(400)
        market.sweep()
        if act != "run out":
            market.cancel(task_id)
    assert marks(market) == {(farm.id, "cancelled"): 1, (farm.id, "late"): 2, (farm.id, "lost"): 1}


def test_a_bad_result_is_noted_once_it_is_decided(market: Compute, hours: Hours) -> None:
    farm, task_id = market.provider(), market.order()
    market.accept(farm, task_id)
    market.start(farm, task_id)
    hours.wait(10)
    market.complete(task_id, 10.0)
    with market.database.unit_of_work() as session:
        complaint = disputes.Complaint("other", "the archive is empty")
        dispute_id = disputes.open_dispute(session, task_id, complaint, 48, market.account_id, False).id
        assert disputes.slash(session, dispute_id, "test", "it is").refunded_minor
    assert marks(market) == {(farm.id, "completed"): 1, (farm.id, "disputed"): 1}


def marks(market: Compute) -> Counter[tuple[uuid.UUID, str]]:
    """How often which provider is said to have done what."""
    with market.database.unit_of_work() as session:
        return Counter((row.provider_id, row.outcome) for row in session.scalars(select(ProviderMark)))


def failures_in_a_row(market: Compute, node_id: uuid.UUID) -> int:
    with market.database.unit_of_work() as session:
        return session.get_one(Node, node_id).failures_in_a_row

