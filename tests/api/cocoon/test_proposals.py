"""Proposals through the API: everybody's own, an operator's approval, once."""

import copy
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import insert, text

from app.flows import proposals
from app.models.workers import CocoonWorker, WorkerHour
from app.values import clock
from app.wiring import Hub
from tests.api.cocoon.conftest import Person, join

MONDAY = datetime(2026, 1, 5, tzinfo=UTC)


def earn(hub: Hub, person: Person, nano: int) -> None:
    """One worker of the person's earned so much in the week from MONDAY on."""
    worker = {"participant_id": person.id, "worker_name": "Worker-0", "instance_number": 0, "host": "h", "stats_port": 12000,
              "is_active": True, "coefficient": 1500, "created_at": MONDAY, "updated_at": MONDAY}
    hour = {"at": MONDAY, "samples": 1, "answered": 1, "level": 1, "requests": 10, "success": 10, "failed": 0,
            "time_seconds": 60.0, "revenue_nano": nano, "weighed_nano": nano * 3 // 2, "gpu_samples": 0}
    with hub.database.unit_of_work() as session:
        worker_id = session.scalars(insert(CocoonWorker).values(worker).returning(CocoonWorker.id)).one()
        session.execute(insert(WorkerHour).values(hour | {"worker_id": worker_id}))
        session.execute(text("UPDATE participants SET created_at = :then"), {"then": MONDAY})


@pytest.fixture
def proposal(client: FlaskClient, hub: Hub, operator: Person, participant: Person) -> Any:
    earn(hub, participant, 10_000_000_001)
    clock.replace_clock(lambda: MONDAY + timedelta(days=8))
    made = proposals.propose_all(hub.database, hub.proposal_terms)
    clock.replace_clock(None)
    assert made == 1
    (found,) = operator.get("payouts/proposals").json
    return found


def test_a_proposal_says_how_it_came_about(participant: Person, proposal: dict[str, Any]) -> None:
    shown = copy.deepcopy(proposal)
    assert shown.pop("created_at") == "2026-01-13T00:00:00Z" and shown.pop("id") == 1
    (worker,) = shown.pop("workers")
    assert worker.pop("worker_id") == 1
    assert worker.pop("shares_contract_with") == []
    assert worker == {"worker_name": "Worker-0", "earned_ton": 10.000000001, "price_coefficient": 1.5}
    assert shown == {
        "participant_id": participant.id, "period_start": "2026-01-05T00:00:00Z", "period_end": "2026-01-12T00:00:00Z",
        "earned_ton": 15.000000001, "share_percent": 95, "amount_ton": 14.25, "total_requests": 10,
        "total_compute_time_seconds": 60, "state": "proposed", "payout_id": None, "approved_at": None,
        "rejected_at": None, "rejected_because": None,
    }  # fmt: skip
    assert participant.get("payouts/proposals").json == [proposal]


def test_an_operators_approval_is_one_payout(operator: Person, participant: Person, proposal: dict[str, Any]) -> None:
    path = f"payouts/proposals/{proposal['id']}/approve"
    assert participant.post(path).status_code == 403
    first, again = operator.post(path, key="a"), operator.post(path)
    assert first.status_code == 200 and first.json == again.json == operator.post(path, key="a").json
    assert (first.json["state"], first.json["payout_id"]) == ("approved", 1) and first.json["approved_at"]
    (payout,) = participant.get("payouts").json
    assert (payout["id"], payout["origin"], payout["amount_ton"], payout["transaction_hash"]) == (1, "engine", 14.25, None)
    assert (payout["period_start"], payout["total_requests"]) == ("2026-01-05T00:00:00Z", 10)
    assert participant.address is not None
    assert payout["to_address"] == participant.address.friendly(bounceable=False)
    assert participant.get(f"participants/{participant.id}").json["total_revenue_ton"] == 14.25


def test_a_rejected_one_is_never_paid_nor_proposed_again(
    operator: Person, participant: Person, hub: Hub, proposal: dict[str, Any]
) -> None:
    path, why = f"payouts/proposals/{proposal['id']}", "Worker-0 is registered twice"
    assert participant.post(f"{path}/reject", json={"reason": why}).status_code == 403
    for body in ({}, {"reason": ""}, {"reason": "x" * 501}, {"reason": 7}, {"reason": "a\0b"}):
        assert operator.post(f"{path}/reject", json=body).status_code == 422, body
    first = operator.post(f"{path}/reject", json={"reason": why})
    again = operator.post(f"{path}/reject", json={"reason": "another"})
    assert first.status_code == 200 and first.json == again.json
    assert (first.json["state"], first.json["rejected_because"], first.json["payout_id"]) == ("rejected", why, None)
    assert participant.get("payouts/proposals?state=rejected").json == [first.json]
    answer = operator.post(f"{path}/approve")
    assert answer.status_code == 409 and why in answer.json["detail"]
    clock.replace_clock(lambda: MONDAY + timedelta(days=15))
    assert proposals.propose_all(hub.database, hub.proposal_terms) == 0
    clock.replace_clock(None)
    assert operator.post("payouts/proposals/9/reject", json={"reason": why}).status_code == 404
    assert operator.get("payouts").json == []


def test_an_approved_one_is_not_rejected_any_more(operator: Person, proposal: dict[str, Any]) -> None:
    path = f"payouts/proposals/{proposal['id']}"
    assert operator.post(f"{path}/approve").status_code == 200
    assert operator.post(f"{path}/reject", json={"reason": "too late"}).status_code == 409
    assert operator.get("payouts/proposals?state=approved").json[0]["rejected_at"] is None


@pytest.mark.usefixtures("proposal")
def test_lists_are_filtered(client: FlaskClient, hub: Hub, operator: Person, participant: Person) -> None:
    other = join(client, hub)
    assert other.get("payouts/proposals").json == []
    for query, count in (("?state=proposed", 1), ("?state=approved", 0), (f"?participant_id={participant.id}", 1),
                         (f"?participant_id={other.id}", 0), ("?offset=1", 0), ("?limit=1", 1)):
        assert len(operator.get(f"payouts/proposals{query}").json) == count, query
    for query in ("?state=odd", "?limit=0", "?participant_id=x"):
        assert operator.get(f"payouts/proposals{query}").status_code == 422, query


def test_odd_approvals(operator: Person, hub: Hub, proposal: dict[str, Any]) -> None:
    assert operator.post("payouts/proposals/x/approve").status_code == 422
    assert operator.post("payouts/proposals/999/approve").status_code == 404
    with hub.database.unit_of_work() as session:
        session.execute(text("UPDATE payout_proposals SET amount_minor = 1"))
    answer = operator.post(f"payouts/proposals/{proposal['id']}/approve")
    assert answer.status_code == 400 and "smallest payout" in answer.json["detail"]
    assert operator.get("payouts").json == []
