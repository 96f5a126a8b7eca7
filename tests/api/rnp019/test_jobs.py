"""Renders ordered, followed, changed, paused and called off by RNP-019's routes."""

import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from decimal import ROUND_DOWN, Decimal
from typing import Any

import pytest
from flask.testing import FlaskClient
from solders.keypair import Keypair

from app.config import Settings
from app.errors import PaymentRequired
from app.flows import render_ordering
from app.flows.render_ordering import Wanted
from app.values import clock
from app.values.money import parse
from app.wiring import Hub
from tests.api.conftest import UNKNOWN
from tests.api.rnp019.conftest import REPORT, Agent, refused
from tests.factories.dispatching import Dispatcher
from tests.factories.payouts import LOCAL_MINTS
from tests.factories.task_market import moving_clock


@pytest.fixture
def settings(settings: Settings) -> Settings:
    mints = ",".join(f"{asset}={mint}" for asset, mint in LOCAL_MINTS.items())
    return replace(settings, solana_wallet=str(Keypair().pubkey()), solana_mints=mints)


def part(amount: str, share: str) -> str:
    """So much of an amount of RCREDIT, rounded down."""
    return str((Decimal(amount) * Decimal(share)).quantize(Decimal("1e-8"), ROUND_DOWN))


def test_an_order_is_set_aside_and_begins(agent: Agent) -> None:
    job = agent.ordered("3,1, 5 - 9:2 ,5", name="shot", settings={"width": 128, "quality": "LOW", "output_format": "jpeg"})
    assert (job["status"], job["frames"], job["frames_total"], job["current_cost"]) == ("queued", "1-9:2", 5, "0.00000000")
    assert job["settings"] == {
        "width": 128, "height": 96, "samples": 32, "quality": "low", "engine": "cycles", "output_format": "JPEG"
    }  # fmt: skip
    assert job["warnings"] == ["texture.png is missing"]
    assert "payment" not in job and job["payment_mode"] == "credits"
    assert agent.renders.balance("held") == agent.renders.brought - agent.renders.balance()
    assert str(agent.renders.balance("held")) == job["estimated_cost"]
    assert job["allocation"]["units_at_once"] > 0 and job["allocation"]["explanation"]
    assert agent.job(job["id"]) == job
    assert agent.get().json == {"jobs": [job], "count": 1, "limit": 50, "offset": 0}


def test_a_job_is_followed_to_its_end_and_costs_what_the_ledger_says(agent: Agent) -> None:
    renders = agent.renders
    with moving_clock() as hours:
        node = renders.node()
        job = agent.ordered("1-4")
        taken = renders.claim(node, 64)
        hours.wait(7)
        assert renders.complete(taken[:1]) == 1
        found = agent.job(job["id"])
        assert (found["status"], found["frames_completed"], found["progress"]) == ("rendering", 1, 0.25)
        assert found["current_cost"] == str(renders.earned(node) + renders.fees())
        assert renders.complete(taken[1:]) == 3
        done = agent.job(job["id"])
        assert (done["status"], done["settled"], done["frames_completed"]) == ("completed", True, 4)
        assert done["current_cost"] == str(renders.earned(node) + renders.fees())
        assert [item["id"] for item in agent.get("?status=completed").json["jobs"]] == [job["id"]]
        assert agent.get("?status=queued").json["count"] == 0
        renders.assert_conserved(uuid.UUID(job["id"]), node)


def test_pause_resume_name_priority_cap_and_cancel(agent: Agent) -> None:
    renders = agent.renders
    with moving_clock():
        node = renders.node()
        job = agent.ordered("1-10", name="before")
        path = f"/{job['id']}"
        for _ in range(2):
            assert agent.post(f"{path}/pause").json["status"] == "paused"
        assert agent.job(job["id"])["reason"]["code"] == "PAUSED_BY_OWNER"
        assert renders.claim(node, 64) == []
        for _ in range(2):
            assert agent.post(f"{path}/resume").json["status"] == "queued"
        changed = agent.patch(job["id"], name="after", priority=7).json
        assert (changed["name"], changed["priority"]) == ("after", 7)
        rush = agent.ordered("1", priority=8)
        assert str(renders.claim(node, 1)[0].job.id) == rush["id"]  # before what came earlier
        assert agent.patch(job["id"], priority=9).status_code == 200
        second = agent.ordered("1", priority=8)
        assert str(renders.claim(node, 1)[0].job.id) == job["id"]
        little = part(job["estimated_cost"], "0.3")
        refused(agent.patch(job["id"], max_amount=little), 409, "MAX_AMOUNT_TOO_LOW")  # its frames stand in the queue
        assert agent.post(f"{path}/pause").status_code == 200
        assert agent.patch(job["id"], max_amount=little).json["max_amount"] == little
        assert agent.patch(job["id"], payment={"max_amount": job["estimated_cost"]}).status_code == 200
        held = renders.balance("held")
        for _ in range(2):
            ended = agent.cancel(job["id"])
            assert (ended.status_code, ended.json["status"]) == (200, "cancelled")
        assert renders.balance("held") == held - parse(job["estimated_cost"], "RCREDIT")
        for answer in (agent.post(f"{path}/pause"), agent.post(f"{path}/resume"), agent.patch(job["id"], priority=1)):
            refused(answer, 409, "JOB_OVER")
        assert agent.patch(job["id"], name="kept").json["name"] == "kept"
        assert agent.job(second["id"])["status"] == "queued"


def test_a_cap_pauses_the_job_and_asks(agent: Agent) -> None:
    renders = agent.renders
    with moving_clock() as hours:
        node = renders.node()
        first = agent.ordered("1-4")
        agent.cancel(first["id"])
        cap = part(first["estimated_cost"], "0.6")
        job = agent.ordered("1-4", payment={"max_amount": cap})
        while taken := renders.claim(node, 64):
            hours.wait(60)
            renders.complete(taken)
        found = agent.job(job["id"])
        assert (found["status"], found["reason"]["code"]) == ("paused", "MAX_AMOUNT_REACHED")
        assert 0 < Decimal(found["current_cost"]) <= Decimal(cap)
        refused(agent.post(f"/{job['id']}/resume"), 409, "MAX_AMOUNT_REACHED")
        assert agent.job(job["id"])["reason"]["message"]
        refused(agent.patch(job["id"], max_amount=0), 400, "INVALID_INPUT")
        assert agent.patch(job["id"], max_amount=first["estimated_cost"]).json["status"] == "rendering"
        while taken := renders.claim(node, 64):
            hours.wait(60)
            renders.complete(taken)
        assert agent.job(job["id"])["status"] == "completed"
        renders.assert_conserved(uuid.UUID(job["id"]), node)


def test_an_engine_that_no_node_has_is_refused_while_others_are_there(agent: Agent) -> None:
    eevee = {"scene_id": agent.scene_id, "settings": {"engine": "eevee"}}
    assert agent.post(body=eevee).status_code == 201  # nobody is there: whoever comes may have it
    agent.renders.node(engines=["cycles"], memory_bytes="a lot")
    assert "cycles" not in refused(agent.post(body=eevee), 503, "ENGINE_NOT_OFFERED")
    assert agent.post(body=eevee | {"settings": {"engine": "cycles"}}).status_code == 201
    agent.renders.node(engines=["cycles", "eevee"])
    assert agent.post(body=eevee).json["allocation"]["nodes_fitting"] == 1


def test_a_scene_has_its_part_of_the_nodes_that_have_the_memory_for_it(agent: Agent) -> None:
    agent.renders.node(memory_bytes=2**29)
    assert agent.ordered("1")["allocation"]["nodes_fitting"] == 0
    agent.renders.node(memory_bytes=2**31)
    found = agent.ordered("1")["allocation"]
    assert (found["nodes_fitting"], found["scene_memory_bytes"]) == (1, REPORT["estimated_memory_bytes"])
    assert "1.0 GiB: 1," in found["explanation"] and found["nodes_blocked"] == 0


def test_an_allocation_tells_how_many_nodes_get_nothing_more_of_the_job(agent: Agent) -> None:
    node, job = agent.renders.node(), agent.ordered("1-4")
    agent.renders.node()
    agent.renders.node_fails(agent.renders.claim(node, 1)[0], "CRASHED")
    assert agent.job(job["id"])["allocation"]["nodes_blocked"] == 1 and agent.renders.claim(node, 64) == []


def test_the_same_order_is_one_job_however_often_it_comes(agent: Agent) -> None:
    body = {"scene_id": agent.scene_id, "frames": "1-3"}
    first, again = (agent.post(body=body, **{"Idempotency-Key": "a"}) for _ in range(2))
    assert first.status_code == again.status_code == 201 and first.json == again.json
    refused(agent.post(body=body | {"frames": "1-4"}, **{"Idempotency-Key": "a"}), 409, "IDEMPOTENCY_KEY_REUSED")
    assert agent.get().json["count"] == 1


def test_who_has_too_little_is_told_what_is_there(client: FlaskClient, hub: Hub) -> None:
    poor = Agent(client, hub, balance="0.00000001")
    answer = poor.order("1-100")
    refused(answer, 402, "INSUFFICIENT_CREDITS")
    assert answer.json["error"]["details"]["available"] == "0.00000001"
    assert set(answer.json["error"]["details"]) == {"available", "requested"}
    assert poor.get().json["count"] == 0


def test_a_prepaid_job_says_where_to_pay_and_begins_once_it_is_paid(
    client: FlaskClient, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = Agent(client, hub, "10", "USDC")
    job = agent.ordered("1-10", payment={"mode": "prepay", "asset": "USDC", "max_amount": "0.04"})
    assert (job["status"], job["asset"], job["rate"], job["allocation"]["nodes"]) == ("pending_payment", "USDC", "4", 1)
    payment = job["payment"]
    assert {"id", "status", "asset", "amount", "pay_to", "memo", "expires_at"} <= set(payment)
    assert (payment["asset"], payment["amount"], payment["job_id"]) == ("USDC", "0.040000", job["id"])
    assert agent.job(job["id"])["payment"] == payment
    assert agent.renders.units(uuid.UUID(job["id"])) == [] and agent.renders.balance("held").minor == 0
    refused(agent.post(f"/{job['id']}/pause"), 409, "JOB_NOT_PAID")
    refused(agent.patch(job["id"], max_amount="1"), 409, "JOB_NOT_PAID")
    assert agent.post(f"/{job['id']}/pay", {"from": "balance"}).status_code == 200
    assert agent.job(job["id"])["status"] == "queued"
    assert len(agent.renders.units(uuid.UUID(job["id"]))) == 10 and str(agent.renders.balance("held")) == "0.040000"
    monkeypatch.setattr(render_ordering, "UNPAID_MOST", 1)
    other = agent.ordered("1-10", payment={"mode": "prepay", "asset": "USDC"})
    assert agent.cancel(other["id"]).json["status"] == "cancelled"
    refused(agent.order(payment={"mode": "prepay"}), 400, "TOO_MANY_UNPAID")  # nor by calling them off: its payment may come yet
    assert agent.order("1", payment={"asset": "USDC"}).status_code == 201


def test_jobs_that_are_paid_later_begin_within_a_bound(agent: Agent) -> None:
    renders = agent.renders
    later = agent.ordered("1-10", payment={"mode": "pay_before_download"})
    assert (later["status"], later["settled"]) == ("queued", False)
    assert renders.balance("held").minor == 0
    heavy: dict[str, Any] = {"frames": "1-500", "settings": {"width": 1920, "height": 1080, "quality": "high"}}
    answer = agent.order(**heavy, payment={"mode": "pay_before_download"})
    refused(answer, 402, "UNPAID_LIMIT")
    assert Decimal(answer.json["error"]["details"]["available"]) == 5 - Decimal(later["estimated_cost"])
    capped = agent.order(**heavy, payment={"mode": "pay_before_download", "max_amount": "1"})
    assert capped.status_code == 201
    refused(agent.patch(capped.json["id"], max_amount=capped.json["estimated_cost"]), 402, "UNPAID_LIMIT")
    assert agent.patch(capped.json["id"], max_amount="2").json["max_amount"] == "2.00000000"


def test_orders_that_are_paid_later_share_one_bound_however_many_come_at_once(agent: Agent, hub: Hub) -> None:
    wanted = Wanted(
        account_id=agent.account_id,
        name="",
        scene_id=uuid.UUID(agent.scene_id),
        frames="1-500",
        settings={"width": 1920, "height": 1080, "quality": "high"},
        tier="priority",
        priority=0,
        mode="pay_before_download",
        asset="USDC",
        max_amount=Decimal(8),  # at 4 USDC for one RENDER: 2 of the 5 that may be owed
    )
    gate = threading.Barrier(4)

    def order(_: int) -> str:
        gate.wait()
        try:
            return render_ordering.order(hub.database, hub.render_terms, wanted).state
        except PaymentRequired as refusal:
            return refusal.code

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(order, range(4))) == ["UNPAID_LIMIT", "UNPAID_LIMIT", "open", "open"]


def test_an_order_whose_answer_was_lost_is_found_again(agent: Agent, hub: Hub) -> None:
    first = agent.ordered("1-4", payment={"mode": "pay_before_download"})
    wanted = Wanted(
        account_id=agent.account_id, name="", scene_id=uuid.UUID(UNKNOWN), frames="1-4", settings={}, tier="priority", priority=0,
        mode="pay_before_download", asset="RCREDIT", max_amount=None, order_id=uuid.UUID(first["id"]),
    )  # fmt: skip
    assert str(render_ordering.order(hub.database, hub.render_terms, wanted).id) == first["id"]
    assert agent.get().json["count"] == 1


def test_nobody_sees_or_changes_anothers(client: FlaskClient, hub: Hub, agent: Agent) -> None:
    job_id, other = agent.ordered("1")["id"], Agent(client, hub)
    for answer in (
        other.get(f"/{job_id}"), other.cancel(job_id), other.patch(job_id, name="x"), other.post(f"/{job_id}/pause"),
        other.post(f"/{job_id}/resume"), other.get(f"/{UNKNOWN}"),
    ):  # fmt: skip
        refused(answer, 404, "JOB_NOT_FOUND")
    assert other.get().json["jobs"] == []
    refused(other.post(body={"scene_id": agent.scene_id}), 404, "SCENE_NOT_FOUND")
    refused(agent.get("/x"), 400, "INVALID_INPUT")
    reader = {"Authorization": f"Bearer {agent.key('jobs:read')}"}
    refused(client.post("/rnp/v1/jobs", json={"scene_id": agent.scene_id}, headers=reader), 403, "SCOPE_MISSING")


def test_other_dialects_jobs_are_listed_and_are_changed_only_there(agent: Agent, client: FlaskClient) -> None:
    own = agent.ordered("1")
    dispatcher = Dispatcher(agent.renders.database, "0")
    dispatcher.account_id = agent.account_id
    dispatcher.fund("100")
    dispatcher.node("echo")
    dispatched = str(dispatcher.dispatch()[0])
    listed = agent.get().json["jobs"]
    assert [(item["id"], item["api"]) for item in listed] == [(dispatched, "rendertrust"), (own["id"], "rnp019")]
    assert listed[0] == agent.job(dispatched)
    assert [item["id"] for item in agent.get("?limit=1&offset=1").json["jobs"]] == [own["id"]]
    assert (listed[0]["status"], listed[0]["allocation"], listed[0]["current_cost"]) == ("queued", None, "0.0000")
    for answer in (agent.cancel(dispatched), agent.patch(dispatched, name="x"), agent.post(f"/{dispatched}/pause")):
        refused(answer, 409, "OTHER_DIALECT")
    head = agent.head
    assert {item["id"] for item in client.get("/api/v1/jobs", headers=head).json["jobs"]} == {dispatched, own["id"]}


@pytest.mark.parametrize(
    ("members", "code"),
    [
        ({"frames": "9-5"}, "FRAMES_INVALID"),
        ({"frames": "1-9:0"}, "FRAMES_INVALID"),
        ({"frames": "\u0661"}, "FRAMES_INVALID"),
        ({"frames": ""}, "FRAMES_INVALID"),
        ({"frames": "1-1000000000"}, "FRAMES_INVALID"),
        ({"frames": "1-100000"}, "TOO_MANY_FRAMES"),
        ({"frames": 7}, "INVALID_INPUT"),
        ({"settings": {"width": 0}}, "INVALID_INPUT"),
        ({"settings": {"width": "64"}}, "INVALID_INPUT"),
        ({"settings": {"engine": "vray"}}, "INVALID_INPUT"),
        ({"settings": {"output_format": "GIF"}}, "INVALID_INPUT"),
        ({"settings": {"width": 65536, "height": 65536}}, "SETTINGS_INVALID"),
        ({"settings": {"output_format": "MP4"}, "frames": "1"}, "SETTINGS_INVALID"),
        ({"settings": {"camera": "Nobody's"}}, "NO_CAMERA"),
        ({"settings": []}, "INVALID_INPUT"),
        ({"tier": "fast"}, "INVALID_INPUT"),
        ({"priority": 101}, "INVALID_INPUT"),
        ({"payment": {"mode": "never"}}, "INVALID_INPUT"),
        ({"payment": {"asset": "TON"}}, "INVALID_INPUT"),
        ({"payment": {"max_amount": 0}}, "INVALID_INPUT"),
        ({"payment": {"max_amount": "-1"}}, "INVALID_INPUT"),
        ({"payment": {"max_amount": "1e400"}}, "INVALID_INPUT"),
        ({"payment": {"max_amount": "1_0"}}, "INVALID_INPUT"),
        ({"payment": {"max_amount": "0.000000001"}}, "INVALID_INPUT"),
        ({"scene_id": None}, "INVALID_INPUT"),
        ({"scene_id": "x"}, "INVALID_INPUT"),
        ({"prompt": "a cat"}, "INVALID_INPUT"),
        ({"name": "x" * 201}, "INVALID_INPUT"),
        ({"name": "a\u0000b"}, "INVALID_JSON"),
    ],
)
def test_what_cannot_be_ordered_is_a_clear_400(agent: Agent, members: dict[str, Any], code: str) -> None:
    message = refused(agent.order(**{"frames": "1-10", **members}), 400, code)
    assert len(message) > 10
    assert agent.get().json["count"] == 0


def test_scenes_that_are_not_ready_are_said_to_be_so(agent: Agent) -> None:
    for scene_id, status, code in (
        (agent.scene(report=None, state="inspecting"), 409, "SCENE_NOT_READY"),
        (agent.scene(state="rejected"), 400, "SCENE_REJECTED"),
        (agent.scene(dropped_at=clock.now()), 404, "SCENE_NOT_FOUND"),
        (UNKNOWN, 404, "SCENE_NOT_FOUND"),
    ):
        refused(agent.post(body={"scene_id": scene_id}), status, code)
