"""One task's money from its order to its payout, and back again: what it earned, what was staked on it, and a dispute."""

import uuid
from dataclasses import replace
from typing import Any

import pytest
from flask.testing import FlaskClient

from app.config import Settings
from app.core import accounts, audit, ledger
from app.core.ledger import Party
from app.flows import disputes as flow
from app.wiring import Hub
from tests.api.robocompute.conftest import Person
from tests.api.robocompute.test_tasks import RESULT, SHA256, accept, act, error, order, upload
from tests.factories.task_market import moving_clock


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return replace(settings, minimum_stake="0,USDC=20")


def has(hub: Hub, person: Person, *kinds: str) -> list[str]:
    """So much of each kind, in USDC."""
    with hub.database.unit_of_work() as session:
        assert audit.differences(session) == []
        return [f"{ledger.balance(session, Party(kind, person.account_id), 'USDC').decimal:.2f}" for kind in kinds]


def worked(buyer: Person, provider: Person, client: FlaskClient, resource: str) -> tuple[str, dict[str, Any]]:
    """A task of half an hour at 10 USDC an hour: its id, and what its completion answers."""
    with moving_clock() as hours:
        task_id = order(buyer)
        assert accept(provider, task_id, resource_id=resource).status_code == 200
        started = act(provider, task_id, "start")
        for progress in range(0, 100, 10):
            hours.wait(180)
            assert act(provider, task_id, "progress", progress=progress).status_code == 200
        upload(client, started, RESULT)
        done = act(provider, task_id, "complete", result_hash=SHA256, execution_time_seconds=1800)
        assert done.status_code == 200, done.json
        return task_id, done.json


def test_who_has_not_staked_enough_takes_nothing(buyer: Person, provider: Person) -> None:
    provider.fund("20")
    provider.post(provider.own("staking/stake"), json={"amount": "19.99"})
    task_id = order(buyer)
    assert error(accept(provider, task_id), 402, "INSUFFICIENT_STAKE") == {
        "required": "20.00", "current": "19.99", "currency": "USDC",
    }  # fmt: skip
    provider.post(provider.own("staking/stake"), json={"amount": "0.01"})
    assert accept(provider, task_id).status_code == 200


def test_what_a_task_earned_is_paid_out_and_a_bad_result_is_paid_back(
    hub: Hub, client: FlaskClient, buyer: Person, provider: Person
) -> None:
    provider.fund("20")
    assert provider.post(provider.own("staking/stake"), json={"amount": "20"}).json["is_sufficient"] is True
    offer = {"resource_type": "gpu", "specifications": {"memory_gb": 24}, "pricing": {"per_hour": "10.00"}}
    resource = provider.post(provider.own("resources"), json=offer).json["resource_id"]
    task_id, done = worked(buyer, provider, client, resource)
    assert (done["earnings"], has(hub, buyer, "balance", "held")) == ("4.75", ["995.00", "0.00"])
    found = provider.get(provider.own("earnings")).json
    assert (found["total_usdc"], found["total_tasks"]) == ("4.75", 1)
    earned = {"usdc": "4.75", "usdt": "0.00", "others": [], "tasks": 1}
    assert found["by_resource"] == [{"resource_id": resource, "type": "gpu", **earned}]
    asked = provider.post(provider.own("payouts/request"), json={"amount": "4.75", "wallet_address": provider.wallet})
    assert asked.status_code == 201 and has(hub, provider, "balance", "payout", "stake") == ["0.00", "4.75", "20.00"]
    _slash(hub, buyer, provider, task_id)


def _slash(hub: Hub, buyer: Person, provider: Person, task_id: str) -> None:
    with moving_clock() as hours:
        hours.wait(47 * 3600)
        opened = buyer.post(f"tasks/{task_id}/dispute", json={"reason": "empty"})
        assert opened.status_code == 201, opened.json
        dispute = opened.json["dispute_id"]
        flow.check(hub.database, hub.store, uuid.UUID(dispute))
        findings = buyer.get(f"tasks/{task_id}/dispute").json["findings"]
        assert (findings["result_hash"], findings["matches_stored"]) == (SHA256, True)
        with hub.database.unit_of_work() as session:
            head = {"Authorization": f"Bearer {accounts.ensure_operator(session)}"}
        body = {"decision": "slash", "reason": "it is"}
        decided: Any = buyer.client.post(f"/api/v1/tasks/disputes/{dispute}/decision", json=body, headers=head).json
    assert (decided["status"], decided["amount"], decided["refunded"]) == ("slashed", "5.00", "5.00")
    assert has(hub, buyer, "balance") == ["1000.00"]
    assert has(hub, provider, "balance", "payout", "stake", "debt") == ["0.00", "4.75", "15.00", "0.00"]
    assert provider.get(provider.own("earnings")).json["slashed_usdc"] == "5.00"
    assert error(accept(provider, order(buyer)), 402, "INSUFFICIENT_STAKE")["current"] == "15.00"
