"""Disputes through the API: a buyer complains, the provider answers, the operator decides, and the money follows."""

import hashlib
import io
import uuid
from typing import Any

import pytest

from app.core import accounts, audit, ledger
from app.core.ledger import Party
from app.flows import disputes as flow
from app.wiring import Hub
from tests.api.conftest import UNKNOWN
from tests.api.robocompute.conftest import Person
from tests.factories.finished_tasks import SHA256, Seller, finished_task


@pytest.fixture
def operator(hub: Hub) -> dict[str, str]:
    with hub.database.unit_of_work() as session:
        return {"Authorization": f"Bearer {accounts.ensure_operator(session)}"}


def a_task(hub: Hub, buyer: Person, provider: Person, cost: str = "10", **more: Any) -> uuid.UUID:
    assert provider.provider_id is not None
    return finished_task(hub.database, buyer.account_id, Seller(provider.provider_id, provider.account_id), cost, **more)


def complain(person: Person, task: object, **body: Any) -> Any:
    return person.post(f"tasks/{task}/dispute", json={"reason": "the archive is empty", **body})


def decide(client: Any, head: dict[str, str], dispute: str, decision: str, **body: Any) -> Any:
    return client.post(
        f"/api/v1/tasks/disputes/{dispute}/decision", json={"decision": decision, "reason": "looked", **body}, headers=head
    )


def code_of(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json["error"]["code"]


def balance(hub: Hub, person: Person, kind: str = "balance") -> int:
    with hub.database.unit_of_work() as session:
        assert audit.differences(session) == []
        return ledger.balance(session, Party(kind, person.account_id), "USDC").minor


def test_a_bad_result_is_disputed_answered_and_slashed(
    hub: Hub, buyer: Person, provider: Person, operator: dict[str, str]
) -> None:
    task = a_task(hub, buyer, provider)
    provider.fund("20")
    provider.post(provider.own("staking/stake"), json={"amount": "20"})
    opened = complain(buyer, task, grounds="result_hash", expected_hash="CD" * 32)
    assert opened.status_code == 201, opened.json
    body = opened.json
    assert (body["status"], body["amount"], body["currency"], body["expected_hash"]) == ("open", "10.00", "USDC", "cd" * 32)
    assert body["findings"]["result_hash"] == SHA256 and body["findings"]["matches_expected"] is False
    (seen,) = provider.get(provider.own("disputes")).json["disputes"]
    assert seen == {name: value for name, value in body.items() if name != "findings"}
    answered = provider.post(provider.own(f"disputes/{body['dispute_id']}/answer"), json={"answer": "it is not"})
    assert answered.json["answer"] == "it is not"
    assert provider.get(provider.own("staking")).json["at_risk_amount"] == "10.00"
    decided = decide(buyer.client, operator, body["dispute_id"], "slash", penalty="2.5")
    assert decided.status_code == 200, decided.json
    assert [decided.json[name] for name in ("status", "refunded", "owed", "penalty")] == ["slashed", "10.00", "0.00", "2.50"]
    assert balance(hub, buyer) == 1000 * 10**6 and balance(hub, provider, "stake") == 7_500_000
    (event,) = provider.get(provider.own("staking")).json["slashing_events"]
    assert (event["code"], event["amount"], event["owed"], event["task_id"]) == ("SLASHING_EVENT", "12.50", "0.00", str(task))
    assert code_of(decide(buyer.client, operator, body["dispute_id"], "reject")) == (409, "DISPUTE_DECIDED")
    mine = buyer.get(f"tasks/{task}/dispute").json
    assert mine["status"] == "slashed" and mine["decision_reason"] == "looked"
    assert buyer.get("tasks/disputes?status=slashed").json["count"] == 1
    assert buyer.get("tasks/disputes?status=open").json == {"disputes": [], "count": 0}


def test_the_hub_reads_the_stored_result_again(hub: Hub, buyer: Person, provider: Person) -> None:
    data, key = b"the result", "results/a/b/1"
    hub.store.put(key, io.BytesIO(data), 100)
    sha256 = hashlib.sha256(data).hexdigest()
    cases = ((sha256, key, True), ("00" * 32, key, False), (sha256, "results/none/of/1", False), (None, None, None))
    for kept, at, matches in cases:
        task = a_task(hub, buyer, provider, sha256=kept, key=at)
        dispute = complain(buyer, task).json["dispute_id"]
        with hub.database.unit_of_work() as session:
            rows = session.connection().exec_driver_sql("SELECT topic, key FROM outbox_messages").all()
        assert ("disputes.check", dispute) in [tuple(row) for row in rows]
        for _ in range(2):
            flow.check(hub.database, hub.store, uuid.UUID(dispute))
        assert buyer.get(f"tasks/{task}/dispute").json["findings"]["matches_stored"] is matches


def test_only_who_bought_complains_and_only_an_operator_decides(
    hub: Hub, buyer: Person, provider: Person, stranger: Person, operator: dict[str, str]
) -> None:
    task = a_task(hub, buyer, provider)
    for person in (stranger, provider):
        assert code_of(complain(person, task)) == (404, "TASK_NOT_FOUND")
        assert code_of(person.get(f"tasks/{task}/dispute")) == (404, "TASK_NOT_FOUND")
        assert person.get("tasks/disputes").json["count"] == 0
    for unknown in (UNKNOWN, "nothing"):
        answer = complain(buyer, unknown)
        assert code_of(answer) == (404, "TASK_NOT_FOUND") and answer.json["error"]["details"] == {"task_id": unknown}
    assert code_of(buyer.get(f"tasks/{task}/dispute")) == (404, "DISPUTE_NOT_FOUND")
    dispute = complain(buyer, task).json["dispute_id"]
    assert code_of(complain(buyer, task)) == (409, "DISPUTE_EXISTS")
    for person in (buyer, provider, stranger):
        assert code_of(person.post(f"tasks/disputes/{dispute}/decision", json={"decision": "slash", "reason": "x"})) == (
            403, "SCOPE_MISSING",
        )  # fmt: skip
    assert code_of(decide(buyer.client, operator, UNKNOWN, "slash")) == (404, "DISPUTE_NOT_FOUND")
    answer = stranger.post(provider.own(f"disputes/{dispute}/answer"), json={"answer": "x"})
    assert code_of(answer) == (404, "PROVIDER_NOT_FOUND")
    assert buyer.client.get("/api/v1/tasks/disputes", headers=operator).json["count"] == 1
    assert decide(buyer.client, operator, dispute, "reject").json["status"] == "rejected"
    assert balance(hub, buyer) == 990 * 10**6 and balance(hub, provider) == 9_500_000


def test_complaints_that_say_nothing_are_refused(hub: Hub, buyer: Person, provider: Person) -> None:
    task, hashed, again = a_task(hub, buyer, provider), {"grounds": "result_hash"}, {"grounds": "rerun"}
    for body in (
        {"reason": ""}, {"reason": "x" * 2001}, {"reason": None}, {"grounds": "taste"}, hashed, again,
        {**hashed, "expected_hash": "xy"}, {**hashed, "expected_hash": "a" * 64 + "\n"},
        {**again, "rerun_task_id": "x"}, {**again, "rerun_task_id": UNKNOWN},
    ):  # fmt: skip
        answer = complain(buyer, task, **body)
        assert answer.status_code == 400 and answer.json["error"]["message"], body


def test_decisions_that_say_nothing_are_refused(hub: Hub, buyer: Person, provider: Person, operator: dict[str, str]) -> None:
    dispute = complain(buyer, a_task(hub, buyer, provider)).json["dispute_id"]
    for decision, body in (("both", {}), ("slash", {"reason": ""}), ("slash", {"penalty": "-1"}), ("reject", {"penalty": "1"})):
        assert decide(buyer.client, operator, dispute, decision, **body).status_code == 400, (decision, body)
    assert buyer.get("tasks/disputes?status=never").status_code == 400
