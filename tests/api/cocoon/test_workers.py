"""/api/v1/workers as the seed writes it, who sees what, and figures of workers that were really polled."""

from dataclasses import replace
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from flask.testing import FlaskClient

from app import greenlets
from app.config import Settings
from app.core import cocoon_workers
from app.wiring import Hub
from tests.api.cocoon.conftest import Person, join
from tests.factories import cocoon_workers as fakes
from tests.factories.cocoon_workers import FakeWorker, Farm
from tests.poller.conftest import Pool

SEED = {"worker_name": "Worker-0", "instance_number": 0, "host": "localhost", "stats_port": 12000, "price_coefficient": 1.0}
SEED_FIELDS = {
    "id", "participant_id", "worker_name", "instance_number", "host", "stats_port", "is_active", "latest_status",
    "latest_gpu_utilization", "latest_revenue_ton",
}


@pytest.fixture(scope="module")
def farm():
    with fakes.farm() as made:
        yield made


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return replace(settings, worker_timeout_seconds=1)


class Polling(Pool):
    """The hub's poller, for workers that were registered over the API."""

    def __init__(self, hub: Hub) -> None:
        self.hub = hub


def make(person: Person, **body: Any) -> dict[str, Any]:
    answer = person.post("workers", json={"participant_id": person.id, **SEED, **body})
    assert answer.status_code == 201, answer.json
    return answer.json  # type: ignore[no-any-return]


def test_a_worker_as_the_seed_writes_it(participant: Person) -> None:
    made = make(participant)
    assert made.keys() >= SEED_FIELDS and made["price_coefficient"] == 1 and made["is_active"] is True
    assert [made[name] for name in ("latest_status", "latest_gpu_utilization", "latest_revenue_ton", "last_seen")] == [None] * 4
    assert participant.get("workers").json == [made] == [participant.get(f"workers/{made['id']}").json]
    changed = participant.patch(f"workers/{made['id']}", is_active=False, price_coefficient=1.2)
    assert changed.status_code == 200 and (changed.json["is_active"], changed.json["price_coefficient"]) == (False, 1.2)
    assert changed.json["is_change_pending"] is True
    assert participant.patch(f"workers/{made['id']}", worker_name="Z").json["is_active"] is False  # what is not sent stays


def test_ports_follow_the_instance_where_none_is_said(participant: Person) -> None:
    body = {"participant_id": participant.id, "worker_name": "w", "instance_number": 3}
    made = participant.post("workers", json=body).json
    assert (made["host"], made["stats_port"]) == ("localhost", 12_030)


def test_filters(client: FlaskClient, hub: Hub, operator: Person, participant: Person) -> None:
    other = join(client, hub)
    first, second, third = make(participant), make(participant, is_active=False), make(other)
    ids = lambda query: [row["id"] for row in operator.get(f"workers{query}").json]  # noqa: E731
    assert ids("") == [first["id"], second["id"], third["id"]]
    assert ids(f"?participant_id={participant.id}") == [first["id"], second["id"]]
    assert ids("?is_active=true") == [first["id"], third["id"]] and ids("?is_active=false") == [second["id"]]
    assert ids(f"?participant_id={participant.id}&is_active=true") == [first["id"]] and ids("?limit=1&offset=1") == [second["id"]]
    assert [row["id"] for row in participant.get(f"workers?participant_id={other.id}").json] == []


def test_a_long_list_is_read_in_lots_and_others_have_their_turn(
    operator: Person, participant: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = [make(participant, worker_name=f"w{n}")["id"] for n in range(7)]
    operator.patch(f"workers/{ids[3]}", is_active=False)
    turns = list[float]()
    monkeypatch.setattr(cocoon_workers, "LOT", 2)
    monkeypatch.setattr(greenlets, "AT_ONCE", 3)
    monkeypatch.setattr(greenlets, "time", SimpleNamespace(sleep=turns.append))

    def listed(query: str) -> list[int]:
        return [row["id"] for row in operator.get(f"workers{query}").json]

    assert listed("") == ids and turns == [0] * 4  # twice while it is made, twice while it is written
    assert listed("?limit=5&offset=1") == ids[1:6] and listed("?limit=4") == ids[:4] and listed("?offset=7") == []
    assert listed("?is_active=true&limit=6") == ids[:3] + ids[4:]


def test_others_rows_are_404_and_not_to_be_touched(client: FlaskClient, hub: Hub, operator: Person, participant: Person) -> None:
    other = join(client, hub)
    worker = make(other)
    for path in ("", "/metrics", "/stats"):
        assert participant.get(f"workers/{worker['id']}{path}").status_code == 404
        assert operator.get(f"workers/{worker['id']}{path}").status_code == 200
        assert participant.get(f"workers/999999{path}").status_code == 404
    assert participant.patch(f"workers/{worker['id']}", is_active=False).status_code == 404
    assert participant.post("workers", json={**SEED, "participant_id": other.id}).status_code == 404
    assert operator.post("workers", json={**SEED, "participant_id": 999_999}).status_code == 404
    assert other.get(f"workers/{worker['id']}").json["is_active"] is True


@pytest.mark.parametrize("body", [
    {"participant_id": None}, {"participant_id": "x"}, {"participant_id": 2**40}, {"worker_name": ""}, {"worker_name": "x" * 201},
    {"worker_name": 7}, {"worker_name": None}, {"instance_number": -1}, {"instance_number": 1.5}, {"stats_port": 0},
    {"stats_port": 65_536}, {"stats_port": "x"}, {"stats_port": 22}, {"host": ""}, {"host": "a/b"}, {"host": "a@b"},
    {"host": "169.254.169.254"}, {"host": "a b"}, {"price_coefficient": 0}, {"price_coefficient": -1},
    {"price_coefficient": 1e30}, {"price_coefficient": 0.0001}, {"price_coefficient": "x"}, {"price_coefficient": None},
    {"is_active": "maybe"}, {"is_active": None},
])
def test_bad_fields_are_422_and_say_which(participant: Person, body: dict[str, Any]) -> None:
    answer = participant.post("workers", json={"participant_id": participant.id, **SEED, **body})
    assert answer.status_code == 422 and set(answer.json) == {"detail"}
    name = next(iter(body))
    assert name in answer.json["detail"] or (name in ("host", "stats_port") and "URL" in answer.json["detail"])


@pytest.mark.parametrize("path", ["workers/x", "workers/1.5", "workers/1/metrics?hours=0", "workers/1/metrics?hours=x",
                                  "workers/1/metrics?hours=100000", "workers?participant_id=x", "workers?is_active=maybe"])
def test_bad_queries_are_422(operator: Person, path: str) -> None:
    assert operator.get(path).status_code == 422


def test_private_hosts_are_refused_where_they_are_not_allowed(participant: Person, hub: Hub) -> None:
    object.__setattr__(hub.settings, "allow_private_endpoints", False)
    for host in ("localhost", "127.0.0.1", "10.1.2.3", "::1", "box.local"):
        body = {"participant_id": participant.id, **SEED, "host": host}
        answer = participant.post("workers", json=body)
        assert answer.status_code == 422 and "private" in answer.json["detail"] or "public" in answer.json["detail"]


def test_metrics_and_stats_of_a_polled_worker(participant: Person, hub: Hub, farm: Farm) -> None:
    fake = FakeWorker()
    worker = make(participant, stats_port=farm.add(fake), price_coefficient=1.5)
    path = f"workers/{worker['id']}"
    empty = participant.get(f"{path}/stats")
    assert (empty.status_code, empty.json) == (200, {"worker_id": worker["id"], "message": "No metrics available"})
    assert participant.get(f"{path}/metrics").json["metrics_count"] == 0
    polling = Polling(hub)
    polling.poll()
    fake.requests, fake.failed, fake.time_seconds = 1300, 22, 2600.0
    fake.tokens["EQproxyA"] += 40_000_000
    polling.poll()
    fake.mode = "disconnect"
    polling.poll()
    shown = participant.get(path).json
    assert (shown["latest_status"], shown["latest_revenue_ton"], shown["latest_gpu_utilization"]) == ("down", 1.125, None)
    assert shown["is_change_pending"] is False and fake.coefficient == 1500 and shown["status_reasons"]
    assert participant.get(f"{path}/stats").json == {
        "worker_id": worker["id"], "worker_name": "Worker-0", "period_hours": 24, "total_revenue_ton": 1,
        "avg_gpu_utilization": None, "total_inference_requests": 100, "failed_inference_requests": 10,
        "avg_inference_latency_ms": 2000.0, "uptime_percentage": 66.67,
    }
    minutes = participant.get(f"{path}/metrics?hours=1").json
    assert (minutes["metrics_count"], minutes["step_seconds"], minutes["period_hours"]) == (3, 0, 1)
    assert [row["status"] for row in minutes["metrics"]] == ["healthy", "healthy", "down"]
    assert [row["inference_requests_total"] for row in minutes["metrics"]] == [1200, 1300, 1300]
    for hours, seconds in ((24, 300), (720, 3600)):
        found = participant.get(f"{path}/metrics?hours={hours}").json
        assert (found["worker_id"], found["worker_name"], found["step_seconds"]) == (worker["id"], "Worker-0", seconds)
        total = [sum(row[name] for row in found["metrics"]) for name in ("inference_requests", "revenue_earned_ton")]
        assert total == [100, 1] and found["metrics"][-1]["revenue_ton"] == 1.125
        assert found["metrics"][-1]["gpu_utilization"] is None and found["metrics"][-1]["status"] == "down"
        assert datetime.fromisoformat(found["metrics"][-1]["timestamp"]) <= datetime.now(UTC)
