"""A provider's resources, as the seed's SDK creates, lists, changes and deletes them."""

from typing import Any

from app.wiring import Hub
from tests.api.robocompute.conftest import Person
from tests.factories.compute import a_task, take

SEEDS = {
    "resource_type": "gpu",
    "specifications": {"model": "NVIDIA RTX 4090", "memory_gb": 24},
    "pricing": {"per_hour": "8.00"},
}
UNKNOWN = "00000000-0000-0000-0000-000000000001"


def create(person: Person, **changes: Any) -> Any:
    return person.post(person.own("resources"), json=SEEDS | changes)


def test_the_seeds_calls(provider: Person) -> None:
    made = create(provider)
    assert made.status_code == 201 and made.json["status"] == "available"
    path = provider.own(f"resources/{made.json['resource_id']}")
    assert provider.get(path).json == made.json
    assert made.json["pricing"] == {"per_hour": "8.00", "currency": None} and made.json["location"] is None
    listed = provider.get(provider.own("resources?type=gpu&status=available")).json
    assert listed == {"resources": [made.json], "total": 1, "limit": 50, "offset": 0}
    assert provider.get(provider.own("resources?type=cpu")).json["total"] == 0
    changed = provider.patch(path, pricing={"per_hour": "10.00"}, status="available")
    assert changed.status_code == 200 and changed.json["pricing"]["per_hour"] == "10.00"
    assert changed.json["specifications"] == SEEDS["specifications"]
    assert provider.delete(path).json == {"resource_id": made.json["resource_id"], "status": "deleted"}
    for again in (provider.get(path), provider.delete(path), provider.patch(path, status="offline")):
        assert again.status_code == 404 and again.json["error"]["code"] == "RESOURCE_NOT_FOUND"
    assert provider.get(provider.own("resources")).json["resources"] == []


def test_what_specifications_say_is_read_and_the_rest_is_kept(provider: Person) -> None:
    said = {"memory_gb": 64, "cores": "16", "storage_gb": 500.5, "location": "US East", "nvme": True, "tags": ["a", {"b": 1}]}
    made = create(provider, resource_type="cpu", specifications=said, pricing={"per_hour": 0.5, "currency": "USDT"})
    assert made.status_code == 201, made.json
    assert made.json["specifications"] == said and made.json["location"] == "us-east"
    assert made.json["pricing"] == {"per_hour": "0.50", "currency": "USDT"}
    path = provider.own(f"resources/{made.json['resource_id']}")
    for change in ({"location": "eu"}, {"specifications": {"cores": 8}, "status": "maintenance"}, {"location": None}):
        told = provider.patch(path, **change)
        assert told.status_code == 200 and {name: told.json[name] for name in change} == change, told.json
    assert told.json["location"] is None and told.json["status"] == "maintenance"
    refused = provider.patch(path, price="1.00")
    assert refused.status_code == 400 and "pricing" in refused.json["error"]["message"]


BAD: list[dict[str, Any]] = [
    {"resource_type": "quantum"}, {"resource_type": None}, {"specifications": None}, {"specifications": []},
    {"specifications": {"memory_gb": -1}}, {"specifications": {"memory_gb": 0}}, {"specifications": {"memory_gb": 1e6}},
    {"specifications": {"gpu_count": 1_000_000}}, {"specifications": {"gpu_count": 1.5}}, {"specifications": {"cores": True}},
    {"specifications": {"cpu_cores": "many"}}, {"specifications": {"cpu_cores": "1e999999999"}},
    {"specifications": {"ram_gb": "nan"}}, {"specifications": {"location": "us%"}}, {"specifications": {"x": "y" * 17_000}},
    {"specifications": {"": 1}}, {"specifications": {"memory_gb": 2000}},
    {"pricing": {}}, {"pricing": {"per_hour": "-1"}}, {"pricing": {"per_hour": "free"}}, {"pricing": {"per_hour": "1.0000001"}},
    {"pricing": {"per_hour": "8", "currency": "SOL"}}, {"pricing": {"per_hour": [8]}}, {"pricing": "8.00"},
    {"status": "busy"}, {"location": ""}, {"location": 7},
]  # fmt: skip


def test_bad_resources_are_400_and_say_why(provider: Person) -> None:
    for changes in BAD:
        answer = create(provider, **changes)
        assert answer.status_code == 400, (changes, answer.json)
        assert set(answer.json["error"]) == {"code", "message", "details"} and answer.json["error"]["message"]
    assert provider.get(provider.own("resources")).json["total"] == 0


def test_nobody_else_sees_or_changes_them(provider: Person, stranger: Person) -> None:
    path = provider.own(f"resources/{create(provider).json['resource_id']}")
    calls = [
        ("GET", provider.own("resources")), ("POST", provider.own("resources")), ("GET", path), ("PATCH", path), ("DELETE", path),
    ]  # fmt: skip
    for method, where in calls:
        body = {"json": SEEDS if method == "POST" else {"status": "offline"}} if method in ("POST", "PATCH") else {}
        answer = stranger.call(method, where, **body)
        assert (answer.status_code, answer.json["error"]["code"]) == (404, "PROVIDER_NOT_FOUND"), where
        nobodys = stranger.call(method, where.replace(str(provider.provider_id), UNKNOWN), **body)
        assert nobodys.json["error"]["message"] == answer.json["error"]["message"]  # whether it exists is not told
    assert provider.get(path).json["status"] == "available"
    for unknown in ("resource_123", "%00"):
        assert provider.get(provider.own(f"resources/{unknown}")).status_code == 400


def test_a_busy_one_is_told_so_and_not_deleted(provider: Person, hub: Hub) -> None:
    made = create(provider).json
    path, job_id = provider.own(f"resources/{made['resource_id']}"), a_task(hub.database)
    with hub.database.unit_of_work() as session:
        take(session, job_id, provider.provider_id)
    assert provider.get(path).json["status"] == "busy"
    assert [item["status"] for item in provider.get(provider.own("resources?status=busy")).json["resources"]] == ["busy"]
    refused = provider.delete(path)
    assert (refused.status_code, refused.json["error"]["code"]) == (409, "RESOURCE_UNAVAILABLE")
    told = provider.get(provider.own("status")).json
    assert told["resources"] == {"available": 0, "busy": 1, "maintenance": 0, "offline": 0} and told["active_tasks"] == 1


def test_a_repeated_order_with_its_key_makes_one(provider: Person) -> None:
    answers = [provider.post(provider.own("resources"), key="once", json=SEEDS) for _ in range(3)]
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.json["resource_id"] for answer in answers}) == 1
    assert provider.post(provider.own("resources"), key="once", json=SEEDS | {"location": "eu"}).status_code == 409
    assert provider.get(provider.own("resources")).json["total"] == 1
