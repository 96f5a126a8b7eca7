"""What a provider earned: by time, by resource, what it sold elsewhere, and what was taken again."""

import uuid
from datetime import UTC, datetime
from typing import Any

from app.core import credit_holds, disputes, render_payments
from app.core.disputes import Complaint
from app.models.jobs import Attempt, Job, WorkUnit
from app.models.nodes import Node
from app.values import clock
from app.values.money import Money
from app.wiring import Hub
from devnet.payer import Payer
from tests.api.conftest import FakeNode, Market
from tests.api.robocompute.conftest import Person, become_provider
from tests.api.test_paid_render import paid
from tests.factories.finished_tasks import Seller, finished_task
from tests.factories.render_market import Renders
from tests.factories.task_market import moving_clock


def summary(person: Person, **query: str) -> dict[str, Any]:
    answer = person.get(person.own("earnings"), query_string=query)
    assert answer.status_code == 200, answer.json
    return dict(answer.json)


def as_seller(person: Person) -> Seller:
    assert person.provider_id is not None
    return Seller(person.provider_id, person.account_id)


def test_a_summary_says_what_was_earned_when_and_with_what(hub: Hub, buyer: Person, provider: Person) -> None:
    buyer.fund("50", "USDT")
    resource, me, other = uuid.uuid4(), as_seller(provider), as_seller(become_provider(Person(provider.client, hub)))
    assert summary(provider)["total_usdc"] == "0.00" and summary(provider)["by_period"] == []
    for day, cost, asset, more in (
        (datetime(2025, 1, 1, tzinfo=UTC), "10", "USDC", {"resource_id": resource}),
        (datetime(2025, 1, 31, 23, 59, 59, 999_999, UTC), "20.123457", "USDC", {"type": "cpu"}),
        (datetime(2025, 1, 31, 12, tzinfo=UTC), "4", "USDT", {"resource_id": resource}),
        (datetime(2025, 2, 1, tzinfo=UTC), "100", "USDC", {}),
    ):
        finished_task(hub.database, buyer.account_id, me, cost, asset, ended_at=day, **more)
    finished_task(hub.database, buyer.account_id, other, "7")
    january = summary(provider, start_date="2025-01-01", end_date="2025-01-31")
    # 95 % of each, what is less than a minor unit favours the provider.
    assert [january[name] for name in ("total_usdc", "total_usdt", "total_tasks")] == ["28.617285", "3.80", 3]
    assert january["by_period"] == [{"period": "2025-01-01", "usdc": "28.617285", "usdt": "3.80", "others": [], "tasks": 3}]
    found = {(item["resource_id"], item["type"]): (item["usdc"], item["usdt"], item["tasks"]) for item in january["by_resource"]}
    assert found == {(str(resource), "gpu"): ("9.50", "3.80", 2), (None, "cpu"): ("19.117285", "0.00", 1)}
    by_day = summary(provider, interval="day", start_date="2025-01-31")["by_period"]
    assert [(item["period"], item["tasks"]) for item in by_day] == [("2025-01-31", 2), ("2025-02-01", 1)]
    whole = summary(provider)
    assert (whole["total_usdc"], whole["total_tasks"], whole["start_date"]) == ("123.617285", 4, None)
    assert whole["direct"] == {"payable": False, "jobs": 0, "amounts": []}


def test_spans_that_are_none_are_refused(provider: Person) -> None:
    backwards = "start_date=2025-02-01&end_date=2025-01-31"
    for query in ("start_date=x", "end_date=2025-13-01", backwards, "interval=year", "start_date=10000-01-01"):
        answer = provider.get(provider.own(f"earnings?{query}"))
        assert answer.status_code == 400 and answer.json["error"]["code"] == "INVALID_INPUT", query


def test_what_a_dispute_took_again_is_told(hub: Hub, buyer: Person, provider: Person) -> None:
    task = finished_task(hub.database, buyer.account_id, as_seller(provider), "10")
    with hub.database.unit_of_work() as session:
        dispute = disputes.open_dispute(session, task, Complaint("other", "x"), 48, buyer.account_id)
        disputes.slash(session, dispute.id, "test", "x")
    found = summary(provider)
    assert (found["total_usdc"], found["slashed_usdc"]) == ("9.50", "10.00")


def test_a_render_that_was_paid_directly_is_seen_and_never_payable(
    market: Market, hub: Hub, node: FakeNode, payer: Payer
) -> None:
    payment = paid(market, payer)
    (attempt,) = node.claim()
    assert node.finish(attempt).status_code == 200
    owner = Person(market.client, hub, "ly_")
    with hub.database.unit_of_work() as session:
        job = session.get_one(Job, uuid.UUID(payment["jobId"]))
        session.connection().exec_driver_sql(
            "UPDATE api_keys SET account_id = (SELECT account_id FROM providers) WHERE account_id = %s", (owner.account_id,)
        )
    owner.provider_id = job.provider_id
    found = summary(owner)
    (row,) = found["direct"]["amounts"]
    assert found["direct"]["payable"] is False and (row["currency"], row["jobs"], row["refunded"]) == ("SOL", 1, "0.00")
    assert row["received"] == str(Money(job.price_minor, "SOL")).rstrip("0")
    assert (found["total_usdc"], found["total_tasks"]) == ("0.00", 0)
    pending = owner.get(owner.own("payouts/pending")).json
    assert pending["available_usdc"] == "0.00" and pending["payouts"] == []


def test_work_dispatched_by_credits_is_earned_by_whose_node_did_it(hub: Hub, buyer: Person, provider: Person) -> None:
    buyer.fund("10", "CREDIT")
    with hub.database.unit_of_work() as session:
        node = Node(id=uuid.uuid4(), account_id=provider.account_id, provider_id=provider.provider_id, name="n", public_key="k",
                    capabilities=["render"])  # fmt: skip
        job = Job(id=uuid.uuid4(), dialect="rendertrust", kind="render", asset="CREDIT", units_total=1, settings={}, breakdown={},
                  account_id=buyer.account_id)  # fmt: skip
        session.add_all([node, job])
        session.flush()
        unit = WorkUnit(id=uuid.uuid4(), job_id=job.id, ordinal=0, kind="run", capability="render", queued_at=clock.now(),
                        attempt_id=uuid.uuid4(), fence=1)  # fmt: skip
        session.add(unit)
        session.flush()
        session.add(Attempt(id=unit.attempt_id, unit_id=unit.id, node_id=node.id, fence=1, upload_key="x"))
        session.flush()
        credit_holds.hold(session, buyer.account_id, job.id, Money(100_000, "CREDIT"), "render")
        credit_holds.capture(session, job.id, provider.account_id, hub.rates, 70)
    found = summary(provider)
    assert (found["total_usdc"], found["total_tasks"]) == ("0.70", 1)
    row = {"resource_id": None, "type": "render", "usdc": "0.70", "usdt": "0.00", "others": [], "tasks": 1}
    assert found["by_resource"] == [row]


def test_a_render_is_earned_by_whose_nodes_rendered_it_however_it_is_paid(hub: Hub, provider: Person) -> None:
    renders = Renders(hub.database)
    node, other = renders.node(), renders.node()
    with hub.database.unit_of_work() as session:
        own = session.get_one(Node, node)
        own.account_id, own.provider_id = provider.account_id, provider.provider_id
    with moving_clock() as hours:
        now, later = renders.place(4), renders.place(2, mode="pay_before_download")
        for each, count in ((node, 3), (other, 1), (node, 2)):
            taken = renders.claim(each, count)
            hours.wait(5)
            assert renders.complete(taken) == count
        total = [{"currency": "RENDER", "amount": "0.1425"}]
        assert (summary(provider)["total_others"], summary(provider)["total_tasks"]) == (total, 1)
        with hub.database.unit_of_work() as session:
            render_payments.pay_from_balance(session, renders.account_id, later, 900)
    found = summary(provider)
    assert (found["total_others"], found["total_tasks"]) == ([{"currency": "RENDER", "amount": "0.2375"}], 2)
    assert found["by_resource"][0]["others"] == found["total_others"] and found["total_usdc"] == "0.00"
    for job_id in (now, later):
        renders.assert_conserved(job_id, node, other)


def test_a_stranger_learns_nothing(provider: Person, stranger: Person) -> None:
    answer = stranger.get(provider.own("earnings"))
    assert (answer.status_code, answer.json["error"]["code"]) == (404, "PROVIDER_NOT_FOUND")
