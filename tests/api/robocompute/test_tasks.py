"""Tasks, from their order to their result: client and provider's own software over HTTP."""

import hashlib
import uuid
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest
from flask.testing import FlaskClient

from app.core import accounts, audit, outcomes
from app.wiring import Hub
from tests.api.robocompute.conftest import Person, become_provider
from tests.factories.task_market import moving_clock

ORDER: dict[str, Any] = {
    "name": "Task Name",
    "type": "gpu",
    "resource_requirements": {"cpu_cores": 4, "gpu_memory_gb": 8, "ram_gb": 16, "storage_gb": 50},
    "docker_image": "your-registry/image:tag",
    "command": ["python", "script.py"],
    "max_price_per_hour": "10.00",
    "timeout_seconds": 3600,
    "priority": "high",
}
UNKNOWN = str(uuid.UUID(int=1))
RESULT = b"all that came of it"
SHA256 = hashlib.sha256(RESULT).hexdigest()


def order(buyer: Person, **changes: Any) -> str:
    answer = buyer.post("tasks", json=ORDER | changes)
    assert answer.status_code == 201, answer.json
    return str(answer.json["task_id"])


def accept(provider: Person, task_id: str, **more: Any) -> Any:
    return provider.post(provider.own("tasks/accept"), json={"task_id": task_id} | more)


def act(provider: Person, task_id: str, verb: str, **body: Any) -> Any:
    method = "PATCH" if verb == "progress" else "POST"
    return provider.call(method, provider.own(f"tasks/{task_id}/{verb}"), json=body)


def error(answer: Any, status: int, code: str) -> dict[str, Any]:
    """The error's details."""
    assert (answer.status_code, answer.json["error"]["code"]) == (status, code), answer.json
    assert answer.json["error"]["message"]
    details: dict[str, Any] = answer.json["error"]["details"]
    return details


def upload(client: FlaskClient, assignment: Any, data: bytes = RESULT) -> None:
    assert client.put(assignment.json["upload_url"], data=data).status_code in (200, 201)


def test_a_task_runs_from_its_order_to_its_result(buyer: Person, provider: Person, client: FlaskClient) -> None:
    made = buyer.post("tasks", json=ORDER).json
    assert (made["status"], made["estimated_cost"], made["max_price_per_hour"], made["currency"]) == (
        "pending", "10.00", "10.00", "USDC",
    )  # fmt: skip
    task_id = made["task_id"]
    [offered] = provider.get(provider.own("tasks/available")).json["tasks"]
    assert offered["task_id"] == task_id and "environment" not in offered
    taken = accept(provider, task_id)
    assert (taken.status_code, taken.json["task_id"], taken.json["status"]) == (200, task_id, "accepted")
    assert taken.json["docker_image"] == ORDER["docker_image"] and taken.json["command"] == ORDER["command"]
    assert provider.get(provider.own("tasks/available")).json["tasks"] == []
    started = act(provider, task_id, "start", container_id="c1", resource_usage={"cpu_cores": 4, "gpu_memory_gb": 8})
    assert started.json["status"] == "running"
    told = act(provider, task_id, "progress", progress=65, metrics={"cpu_usage": 85.5, "gpu_usage": 92.3})
    assert told.json == {"task_id": task_id, "status": "running", "progress": 65}
    seen = buyer.get(f"tasks/{task_id}").json
    assert (seen["status"], seen["progress"], seen["container_id"], seen["provider_id"]) == (
        "running", 65, "c1", str(provider.provider_id),
    )  # fmt: skip
    upload(client, started)
    done = act(
        provider, task_id, "complete", result_hash=SHA256, result_storage_url=started.json["result_storage_url"],
        execution_time_seconds=3600,
    )  # fmt: skip
    assert done.status_code == 200 and done.json["status"] == "completed", done.json
    assert done.json["billed_seconds"] >= 1 and done.json["earnings"] > "0.00"
    seen = buyer.get(f"tasks/{task_id}").json
    assert (seen["status"], seen["progress"], seen["result_hash"], seen["error"]) == ("completed", 100, SHA256, None)
    results = buyer.get(f"tasks/{task_id}/results").json
    assert (results["result_hash"], results["size_bytes"]) == (SHA256, len(RESULT))
    assert client.get(results["result_url"]).data == RESULT


def test_of_two_providers_at_once_one_has_the_task(buyer: Person, provider: Person, client: FlaskClient, hub: Hub) -> None:
    rivals = [provider, become_provider(Person(client, hub))]
    for _ in range(5):
        task_id, start = order(buyer, max_price_per_hour="1.00"), Barrier(2)

        def take(rival: Person, task_id: str = task_id, start: Barrier = start) -> Any:
            fresh = client.application.test_client()
            mine = Person.__new__(Person)
            mine.__dict__.update(rival.__dict__, client=fresh)
            start.wait()
            return accept(mine, task_id)

        with ThreadPoolExecutor(2) as pool:
            answers = sorted(pool.map(take, rivals), key=lambda answer: answer.status_code)
        assert answers[0].status_code == 200
        assert error(answers[1], 409, "TASK_ALREADY_ACCEPTED") == {"task_id": task_id, "by_you": False}


def test_a_wrong_hash_is_refused_and_loses_nothing(buyer: Person, provider: Person, client: FlaskClient) -> None:
    task_id = order(buyer)
    taken = accept(provider, task_id)
    act(provider, task_id, "start")
    error(act(provider, task_id, "complete", result_hash=SHA256), 400, "VERIFICATION_FAILED")  # nothing is there
    upload(client, taken, b"something else")
    for wrong in (SHA256, "0" * 64, "sha256_hash"):
        assert error(act(provider, task_id, "complete", result_hash=wrong), 400, "VERIFICATION_FAILED")["task_id"] == task_id
    upload(client, taken)
    for elsewhere in ("https://storage.robocompute.xyz/results/1", "http://[", taken.json["result_storage_url"][:-1]):
        answer = act(provider, task_id, "complete", result_hash=SHA256, result_storage_url=elsewhere)
        error(answer, 400, "VERIFICATION_FAILED")
    assert buyer.get(f"tasks/{task_id}").json["status"] == "running"
    first = act(provider, task_id, "complete", result_hash=f"sha256:{SHA256.upper()}")
    again = act(provider, task_id, "complete", result_hash=SHA256)
    assert first.status_code == again.status_code == 200 and first.json == again.json
    assert error(act(provider, task_id, "complete", result_hash="0" * 64), 409, "TASK_OVER")["status"] == "completed"


def test_a_late_result_is_not_paid(buyer: Person, provider: Person, client: FlaskClient, hub: Hub) -> None:
    task_id = order(buyer)
    upload(client, accept(provider, task_id))
    buyer.delete(f"tasks/{task_id}")
    assert error(act(provider, task_id, "complete", result_hash=SHA256), 409, "TASK_OVER")["status"] == "cancelled"
    error(act(provider, task_id, "progress", progress=99), 409, "TASK_OVER")
    with hub.database.unit_of_work() as session:
        assert audit.differences(session) == []


def test_a_failed_task_waits_for_others_three_times_at_most(
    buyer: Person, provider: Person, client: FlaskClient, hub: Hub
) -> None:
    task_id = order(buyer)
    other, third = (become_provider(Person(client, hub)) for _ in range(2))
    words = []
    for rival in (provider, other, third):
        assert accept(rival, task_id).status_code == 200
        answer = act(rival, task_id, "fail", error_code="EXECUTION_ERROR", error_message="Container crashed")
        words.append(answer.json["status"])
        assert rival.get(rival.own("tasks/available")).json["tasks"] == [], "it is not offered to who has failed at it"
        if answer.json["status"] == "pending":
            error(accept(rival, task_id), 409, "TASK_FAILED_BEFORE")
    assert words == ["pending", "pending", "failed"]
    seen = buyer.get(f"tasks/{task_id}").json
    assert seen["error"] == {"code": "EXECUTION_ERROR", "message": "Container crashed"}
    assert (seen["cost"], seen["attempts"]) == ("0.00", 3)
    error(accept(other, task_id), 409, "TASK_OVER")


def test_a_containers_own_end_is_its_tasks_end_and_is_charged(buyer: Person, provider: Person) -> None:
    task_id = order(buyer)
    accept(provider, task_id)
    act(provider, task_id, "start")
    said = {"error_code": "EXECUTION_ERROR", "error_message": "python: no such file"}
    for nonsense in (0, "2", 2.5, 2**40):
        assert act(provider, task_id, "fail", **said, exit_code=nonsense).status_code == 400
    assert act(provider, task_id, "fail", **said, exit_code=2).json["status"] == "failed"
    seen = buyer.get(f"tasks/{task_id}").json
    assert (seen["status"], seen["exit_code"], seen["attempts"], seen["error"]["code"]) == ("failed", 2, 1, "EXECUTION_ERROR")
    assert seen["billed_seconds"] >= 1 and float(seen["cost"]) > 0
    error(act(provider, task_id, "fail", **said, exit_code=2), 409, "TASK_OVER")
    dispute = buyer.post(f"tasks/{task_id}/dispute", json={"grounds": "other", "reason": "it runs elsewhere"})
    assert dispute.json["amount"] == seen["cost"], dispute.json


def test_last_words_are_kept_and_what_is_told_twice_under_one_key_once(buyer: Person, provider: Person) -> None:
    task_id = order(buyer)
    assert accept(provider, task_id).status_code == 200
    assert act(provider, task_id, "start").status_code == 200
    for _ in range(2):
        told = provider.call(
            "PATCH", provider.own(f"tasks/{task_id}/progress"), key="told", json={"progress": 5, "logs": [{"message": "once"}]}
        )
        assert told.status_code == 200, told.json
    assert act(provider, task_id, "fail", error_code="EXECUTION_ERROR", logs="the last\nwords").status_code == 200
    logs = buyer.get(f"tasks/{task_id}/logs").json["logs"]
    assert [(line["level"], line["message"]) for line in logs] == [("INFO", "once"), ("ERROR", "the last"), ("ERROR", "words")]


def test_anybody_elses_task_is_none(buyer: Person, provider: Person, stranger: Person, client: FlaskClient, hub: Hub) -> None:
    task_id = order(buyer)
    for path in (task_id, UNKNOWN, "nonsense"):
        for answer in (stranger.get(f"tasks/{path}"), stranger.delete(f"tasks/{path}"), stranger.get(f"tasks/{path}/results"),
                       stranger.patch(f"tasks/{path}", priority="low")):
            assert error(answer, 404, "TASK_NOT_FOUND") == {"task_id": path}
    accept(provider, task_id)
    thief = become_provider(Person(client, hub))
    for verb, body in (("start", {}), ("progress", {"progress": 1}), ("complete", {"result_hash": SHA256}),
                       ("fail", {"error_code": "X"})):
        for path in (task_id, UNKNOWN, "nonsense"):
            error(act(thief, path, verb, **body), 404, "TASK_NOT_FOUND")
        method = "PATCH" if verb == "progress" else "POST"
        error(thief.call(method, provider.own(f"tasks/{task_id}/{verb}"), json=body), 404, "PROVIDER_NOT_FOUND")
    assert stranger.get("tasks").json == {"tasks": [], "total": 0, "limit": 50, "offset": 0}
    assert buyer.get(f"tasks/{task_id}").json["status"] == "accepted"


def test_lists_are_by_status_and_page(buyer: Person, provider: Person) -> None:
    made = [order(buyer, max_price_per_hour="1.00") for _ in range(3)]
    accept(provider, made[0])
    buyer.delete(f"tasks/{made[1]}")
    found = buyer.get("tasks?limit=2&offset=0").json
    assert [task["task_id"] for task in found["tasks"]] == made[:0:-1] and found["total"] == 3
    for status, expected in (("pending", made[2:]), ("accepted", made[:1]), ("cancelled", made[1:2]), ("timeout", [])):
        found = buyer.get(f"tasks?status={status}").json
        assert ([task["task_id"] for task in found["tasks"]], found["total"]) == (expected, len(expected))
    error(buyer.get("tasks?status=nonsense"), 400, "INVALID_INPUT")


def test_a_task_is_changed_while_it_waits_and_called_off_at_any_time(buyer: Person, provider: Person) -> None:
    task_id = order(buyer)
    seen = buyer.patch(f"tasks/{task_id}", max_price_per_hour="15.00", priority="low").json
    assert (seen["max_price_per_hour"], seen["estimated_cost"], seen["priority"]) == ("15.00", "15.00", "low")
    details = error(buyer.patch(f"tasks/{task_id}", max_price_per_hour="5000"), 402, "INSUFFICIENT_FUNDS")
    assert (details["currency"], details["available"], details["required"]) == ("USDC", "985.00", "4985.00")
    accept(provider, task_id)
    error(buyer.patch(f"tasks/{task_id}", max_price_per_hour="1"), 409, "TASK_ALREADY_ACCEPTED")
    for _ in range(2):
        seen = buyer.delete(f"tasks/{task_id}").json
        assert (seen["status"], seen["cost"]) == ("cancelled", "0.00")
    error(buyer.patch(f"tasks/{task_id}", priority="high"), 409, "TASK_OVER")
    error(buyer.get(f"tasks/{task_id}/results"), 409, "TASK_NOT_COMPLETED")


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        *[({"resource_requirements": wanted}, "INVALID_RESOURCE_REQUIREMENTS") for wanted in (
            {"cpu_cores": 0}, {"ram_gb": -1}, {"gpu_count": 10**6}, {"storage_gb": 1e30}, {"gpu_memory_gb": "8"})],
        *[({"max_price_per_hour": price}, "INVALID_INPUT") for price in (
            0, "-1", "0.0000001", "NaN", "1e400", None, [], "10**18")],
        *[({"timeout_seconds": seconds}, "INVALID_INPUT") for seconds in (0, -1, 10**9, "x", 1.5)],
        *[({"docker_image": image}, "INVALID_INPUT") for image in ("", " ", "a b", "-rm", "x" * 501, "a;b")],
        ({"command": "python script.py"}, "INVALID_INPUT"),
        ({"command": ["x" * 70_000]}, "INVALID_INPUT"),
        ({"environment": {"A=B": "x"}}, "INVALID_INPUT"),
        ({"environment": {"A": 1}}, "INVALID_INPUT"),
        ({"type": "tpu"}, "INVALID_INPUT"),
        ({"priority": "urgent"}, "INVALID_INPUT"),
        ({"currency": "SOL"}, "INVALID_INPUT"),
        ({"name": ""}, "INVALID_INPUT"),
        ({"location": "../.."}, "INVALID_INPUT"),
    ],
)  # fmt: skip
def test_bad_orders_say_what_is_wrong_and_hold_nothing(buyer: Person, changes: dict[str, Any], code: str) -> None:
    error(buyer.post("tasks", json=ORDER | changes), 400, code)
    assert buyer.get("tasks").json["total"] == 0


def test_short_funds_are_402_and_the_same_key_orders_once(buyer: Person, hub: Hub) -> None:
    details = error(buyer.post("tasks", json=ORDER | {"max_price_per_hour": "1000.01"}), 402, "INSUFFICIENT_FUNDS")
    assert details == {"required": "1000.01", "available": "1000.00", "currency": "USDC"}
    first, again = (buyer.post("tasks", key="k1", json=ORDER) for _ in range(2))
    assert first.json == again.json and again.headers["Idempotent-Replayed"] == "true"
    error(buyer.post("tasks", key="k1", json=ORDER | {"name": "another"}), 409, "IDEMPOTENCY_KEY_REUSED")
    assert buyer.get("tasks").json["total"] == 1


def test_scopes_are_asked_for(buyer: Person, hub: Hub) -> None:
    task_id = order(buyer)
    with hub.database.unit_of_work() as session:
        buyer.key = accounts.create_key(session, buyer.account_id, "read", ["tasks:read"])
    assert buyer.get(f"tasks/{task_id}").status_code == 200
    path = f"tasks/{task_id}"
    for answer in (buyer.post("tasks", json=ORDER), buyer.delete(path), buyer.patch(path, priority="low")):
        assert answer.status_code == 403


def plain_key(person: Person, *scopes: str) -> dict[str, str]:
    """The header of a key that needs no signature."""
    with person.hub.database.unit_of_work() as session:
        return {"Authorization": f"Bearer {accounts.create_key(session, person.account_id, 'plain', list(scopes))}"}


def test_a_provider_works_at_its_resources_price_and_one_task_at_a_time_has_it(
    buyer: Person, provider: Person, client: FlaskClient
) -> None:
    made = provider.post(
        provider.own("resources"),
        json={"resource_type": "gpu", "specifications": {"memory_gb": 24}, "pricing": {"per_hour": "8.00"}},
    ).json
    answer = buyer.post("tasks", json=ORDER | {"max_price_per_hour": "7.99"}).json
    low, first, second = answer["task_id"], order(buyer), order(buyer)
    assert answer["status"] == "pending" and "8.000000 USDC an hour" in answer["warnings"][0]
    offered = [task["task_id"] for task in provider.get(provider.own("tasks/available")).json["tasks"]]
    assert offered == [first, second], "a price below its own is not for it"
    error(accept(provider, low, resource_id=made["resource_id"]), 409, "RESOURCE_UNAVAILABLE")
    error(accept(provider, first, resource_id="resource_123"), 404, "RESOURCE_NOT_FOUND")
    taken = accept(provider, first, resource_id=made["resource_id"])
    assert (taken.json["price_per_hour"], taken.json["resource_id"]) == ("8.00", made["resource_id"])
    assert provider.get(provider.own("tasks/available")).json["tasks"] == []
    error(accept(provider, second), 409, "RESOURCE_UNAVAILABLE")
    act(provider, first, "fail", error_code="NO")
    assert accept(provider, second, resource_id=made["resource_id"]).status_code == 200
    found = provider.get(provider.own("tasks?status=accepted")).json
    assert [task["task_id"] for task in found["tasks"]] == [second]


def test_logs_and_figures_come_with_progress(buyer: Person, provider: Person) -> None:
    task_id = order(buyer)
    accept(provider, task_id)
    lines = [{"number": number, "message": f"line {number}"} for number in (1, 2)]
    for _ in range(2):
        answer = act(provider, task_id, "progress", progress=10, metrics={"cpu_usage": 85.5, "gpu_usage": 92.3}, logs=lines)
        assert answer.status_code == 200, answer.json
    assert [line["message"] for line in buyer.get(f"tasks/{task_id}/logs").json["logs"]] == ["line 1", "line 2"]
    figures = buyer.get(f"tasks/{task_id}/metrics").json["metrics"]
    assert (figures["cpu_usage_percent"], figures["gpu_usage_percent"]) == (85.5, 92.3)
    error(act(provider, task_id, "progress", progress=10, metrics={"Bad Name": 1}), 400, "INVALID_INPUT")


def test_signs_of_life_keep_a_task_and_silence_gives_it_back(
    buyer: Person, provider: Person, hub: Hub
) -> None:
    task_id = order(buyer)
    accept(provider, task_id)
    act(provider, task_id, "start")
    with moving_clock() as hours:
        for sign in (lambda: provider.post(provider.own("heartbeat"), json={"status": "online"}),
                     lambda: provider.get(provider.own("tasks/available"))):
            hours.wait(200)
            assert sign().status_code == 200
            sweep(hub)
            assert buyer.get(f"tasks/{task_id}").json["status"] == "running"
        hours.wait(301)
        sweep(hub)
    assert buyer.get(f"tasks/{task_id}").json["status"] == "pending"
    assert error(act(provider, task_id, "progress", progress=5), 409, "TASK_NOT_HELD") == {"task_id": task_id}
    assert accept(provider, task_id).status_code == 200


def sweep(hub: Hub) -> None:
    with hub.database.unit_of_work() as session:
        outcomes.expire_leases(session, (3, 5))


def test_a_task_is_a_job_of_its_owners_in_the_other_dialects(buyer: Person, provider: Person, client: FlaskClient) -> None:
    task_id, head = order(buyer), plain_key(buyer, "jobs:read", "jobs:write")
    upload(client, accept(provider, task_id))
    act(provider, task_id, "start")
    [listed] = client.get("/api/v1/jobs", headers=head).json["jobs"]
    assert (listed["id"], listed["job_type"], listed["status"]) == (task_id, "task", "RUNNING")
    assert client.get(f"/render/{task_id}", headers=head).json["data"]["id"] == task_id
    assert client.get(f"/render/{task_id}").status_code == 404
    assert client.post(f"/api/v1/jobs/{task_id}/cancel", headers=head).status_code == 409
    act(provider, task_id, "complete", result_hash=SHA256)
    assert client.get(f"/api/v1/jobs/{task_id}", headers=head).json["status"] == "COMPLETED"
    assert client.get(f"/render/{task_id}/result", headers=head).data == RESULT
