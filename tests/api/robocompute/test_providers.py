"""Finding providers, and what a provider's own software tells and is told."""

import secrets
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient

from app.core import nodes, presence, reputation
from app.models.nodes import Node
from app.values import clock
from app.values.money import Money
from app.values.reputation import Outcome
from app.wiring import Hub
from tests.api.robocompute.conftest import Person, become_provider
from tests.factories.compute import a_resource

UNKNOWN = "00000000-0000-0000-0000-000000000001"


@pytest.fixture(autouse=True)
def _clock_again() -> Iterator[None]:
    yield
    clock.replace_clock(None)


def another(person: Person) -> Person:
    return become_provider(Person(person.client, person.hub))


def offers(person: Person, **changes: Any) -> None:
    a_resource(person.hub.database, person.provider_id, **changes)


def found(person: Person, query: str = "") -> list[str]:
    answer = person.get(f"providers/search{query}")
    assert answer.status_code == 200, answer.json
    assert answer.json["total"] >= len(answer.json["providers"])
    return [item["provider_id"] for item in answer.json["providers"]]


def praise(hub: Hub, provider_id: uuid.UUID, client_id: uuid.UUID) -> None:
    for outcome in (Outcome.COMPLETED, Outcome.COMPLETED, Outcome.FAILED):
        with hub.database.unit_of_work() as session:
            paid = Money(1_500_000, "USDC") if outcome == Outcome.COMPLETED else None
            reputation.note(session, provider_id, client_id, outcome, uuid.uuid4(), paid, seconds=90)
    with hub.database.unit_of_work() as session:
        reputation.fold(session)


def a_node(hub: Hub, provider_id: uuid.UUID, **machine: Any) -> None:
    body = {"name": "n", "public_key": secrets.token_hex(16), "capabilities": ["compute"], "machine": machine, "agent": ""}
    with hub.database.unit_of_work() as session:
        made = nodes.register(session, body, nodes.get_provider(session, provider_id), is_trusted=True)
        nodes.heartbeat(session, session.get_one(Node, made.node_id), {})


def test_the_seeds_search_finds_who_has_all_that_is_asked_for(provider: Person, buyer: Person) -> None:
    offers(provider, location="us-east-1", cpu_cores=8)
    poor, far, small, dear = (another(provider) for _ in range(4))
    offers(poor, location="us-east", cpu_cores=2)
    offers(far, location="eu-west", cpu_cores=8)
    offers(small, location="us-east", cpu_cores=8, gpu_memory_gb=4)
    offers(dear, location="us-east", cpu_cores=8, price_minor=15_000_001)
    another(provider)  # offers nothing
    seeds = "?gpu_memory_min=8&cpu_cores_min=4&max_price=15.00&location=us-east"
    assert found(buyer, seeds) == [str(provider.provider_id)]
    (told,) = buyer.get(f"providers/search{seeds}").json["providers"]
    assert (told["gpu_memory_gb"], told["cpu_cores"], told["price_per_hour"]) == (24, 8, "8.00")
    assert told["locations"] == ["us-east-1"] and told["status"] == "offline" and told["reputation_score"] == 0
    assert len(found(buyer)) == 5 and len(found(buyer, "?gpu_memory_min=8")) == 4
    assert found(buyer, "?location=EU") == [str(far.provider_id)]
    page = [found(buyer, f"?limit=2&offset={offset}") for offset in (0, 2, 4, 6)]
    assert sorted(sum(page, [])) == sorted(found(buyer)) and page[3] == []


def test_a_gpu_and_the_machine_around_it_may_be_two_resources(provider: Person, buyer: Person) -> None:
    offers(provider)
    assert found(buyer, "?gpu_memory_min=8&cpu_cores_min=4") == []
    offers(provider, type="cpu", gpu_count=0, gpu_memory_gb=None, cpu_cores=16, price_minor=1_000_000)
    assert found(buyer, "?gpu_memory_min=8&cpu_cores_min=4") == [str(provider.provider_id)]
    assert found(buyer, "?gpu_memory_min=8&max_price=5") == []  # the price is the GPU's own


def test_who_is_there_comes_first_then_reputation_then_price(provider: Person, buyer: Person, hub: Hub) -> None:
    cheap, good, there = (another(provider) for _ in range(3))
    offers(provider, price_minor=2)
    offers(cheap, price_minor=1)
    offers(good, price_minor=3)
    offers(there, price_minor=4)
    praise(hub, good.provider_id, buyer.account_id)
    assert there.post(there.own("heartbeat"), json={"status": "online"}).status_code == 200
    assert found(buyer) == [str(person.provider_id) for person in (there, good, cheap, provider)]


def test_nodes_count_as_what_their_machines_have(provider: Person, buyer: Person, hub: Hub) -> None:
    machine = {"cpu_count": 32, "memory_bytes": 64 * 10**9, "gpus": [{"memory_total_bytes": 80 * 10**9}]}
    a_node(hub, provider.provider_id, **machine)
    a_node(hub, another(provider).provider_id, cpu_count="many", memory_bytes=None, gpus="none")
    assert found(buyer, "?gpu_memory_min=80&cpu_cores_min=32") == [str(provider.provider_id)]
    assert found(buyer, "?gpu_memory_min=80&max_price=100") == []  # nobody has said what it costs
    offers(provider)
    assert found(buyer, "?gpu_memory_min=80&max_price=100") == [str(provider.provider_id)]
    told = buyer.get("providers/search?gpu_memory_min=80").json["providers"][0]
    assert (told["status"], told["nodes"], told["resources"], told["ram_gb"]) == ("online", 1, 1, 64)


def test_a_bad_search_is_400(buyer: Person) -> None:
    for query in ("gpu_memory_min=-1", "cpu_cores_min=x", "max_price=-1", "max_price=1e99", "location=%00", "location=us%25",
                  "limit=0", "offset=-1", "gpu_memory_min=nan"):  # fmt: skip
        answer = buyer.get(f"providers/search?{query}")
        assert answer.status_code == 400 and answer.json["error"]["message"], query


def test_a_provider_as_others_see_it(provider: Person, buyer: Person, hub: Hub) -> None:
    offers(provider, location="eu")
    offers(provider, status="maintenance")
    praise(hub, provider.provider_id, buyer.account_id)
    told = buyer.get(f"providers/{provider.provider_id}").json
    assert told["wallet_address"] == provider.wallet and told["tasks_completed"] == 2
    assert [item["location"] for item in told["resources"]] == told["locations"] == ["eu"]
    worth = told["reputation"]
    assert (worth["good"], worth["bad"], worth["clients"], worth["days"]) == (2.0, 1.0, 1, 1)
    assert 0 < told["reputation_score"] == worth["score"] < 0.1
    for unknown, status in ((UNKNOWN, 404), ("not-a-provider", 400)):
        answer = buyer.get(f"providers/{unknown}")
        assert answer.status_code == status and set(answer.json["error"]) == {"code", "message", "details"}
    assert buyer.get(f"providers/{UNKNOWN}").json["error"]["code"] == "PROVIDER_NOT_FOUND"


def test_a_heartbeat_is_heard_told_and_forgotten_after_a_while(provider: Person, stranger: Person) -> None:
    assert provider.get(provider.own("status")).json["status"] == "offline"
    beat = {"status": "active", "active_tasks": 2, "resources_available": {"gpus": 1}}
    answer = provider.post(provider.own("heartbeat"), json=beat)
    assert answer.json == {
        "provider_id": str(provider.provider_id), "status": "online", "active_tasks": 0, "next_heartbeat_seconds": 30,
    }  # fmt: skip
    told = provider.get(provider.own("status")).json
    assert told["status"] == "online" and told["reported"] == {"active_tasks": 2, "resources_available": {"gpus": 1}}
    for word in ("busy", "maintenance", "offline"):
        provider.post(provider.own("heartbeat"), json={"status": word})
        assert provider.get(provider.own("status")).json["status"] == word
    provider.post(provider.own("heartbeat"), json={})
    now = datetime.now(UTC)
    clock.replace_clock(lambda: now + timedelta(seconds=91))
    assert provider.get(provider.own("status")).json["status"] == "offline"
    for bad in ({"status": "dead"}, {"status": 1}, {"resources_available": "x" * 5000}):
        assert provider.post(provider.own("heartbeat"), json=bad).status_code == 400
    for path in ("status", "metrics"):
        assert stranger.get(provider.own(path)).status_code == 404
    assert stranger.post(provider.own("heartbeat"), json={}).status_code == 404


def test_metrics_tell_a_period_in_all_and_by_the_day(provider: Person, buyer: Person, hub: Hub) -> None:
    begin = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
    for day in (0, 2):
        clock.replace_clock(lambda day=day: begin + timedelta(days=day))
        praise(hub, provider.provider_id, buyer.account_id)
    told = provider.get(provider.own("metrics?period=7d")).json
    assert told["period"] == "7d" and told["success_rate"] == 66.67 and told["compute_seconds"] == 6 * 90
    assert (told["earned_usdc"], told["earned_usdt"]) == ("6.00", "0.00")
    others = ("timeout", "late", "lost", "cancelled", "exited", "disputed")
    assert told["tasks"] == dict.fromkeys(others, 0) | {"completed": 4, "failed": 2}
    days = [{"date": f"2026-03-{day}", "completed": 2, "failed": 1, "compute_seconds": 270} for day in (10, 12)]
    assert told["days"] == days
    last = provider.get(provider.own("metrics?period=24h")).json
    assert last["period"] == "1d" and last["tasks"]["completed"] == 2 and last["days"] == days[1:]
    assert provider.get(provider.own("metrics?period=1h")).json["period"] == "1h"
    for bad in ("0d", "91d", "7w", "d", "", "-7d", "7d ", "9999999999d", "٧d"):
        assert provider.get(provider.own(f"metrics?period={bad}")).status_code == 400, bad


def test_uptime_is_the_minutes_in_which_a_provider_was_heard(provider: Person, hub: Hub) -> None:
    begin = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
    assert provider.get(provider.own("metrics")).json["uptime_percentage"] is None
    for minute in range(120):
        clock.replace_clock(lambda minute=minute: begin + timedelta(minutes=minute))
        with hub.database.unit_of_work() as session:
            if minute < 60:
                presence.note(session, provider.provider_id, "online")
            for _ in range(2):
                presence.note_minutes(session, 50)
    clock.replace_clock(lambda: begin + timedelta(minutes=120))
    assert provider.get(provider.own("metrics")).json["uptime_percentage"] == 50.0


def test_the_search_is_no_providers_id_and_wants_a_key(client: FlaskClient, buyer: Person) -> None:
    assert client.get("/api/v1/providers/search").status_code == 401
    assert "providers" in buyer.get("providers/search").json
