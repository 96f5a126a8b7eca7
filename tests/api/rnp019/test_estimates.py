"""What a render would cost, and what is free of each tier, by RNP-019's routes."""

from decimal import Decimal
from typing import Any

import pytest

from tests.api.conftest import UNKNOWN
from tests.api.rnp019.conftest import Agent
from tests.factories.task_market import moving_clock

SMALL = {"width": 64, "height": 64, "samples": 1}


def ask(agent: Agent, **body: Any) -> Any:
    body = {"scene_id": agent.scene_id, "frames": "1-10", "settings": SMALL} | body
    return agent.client.post("/rnp/v1/estimates", json=body, headers=agent.head)


def estimates(agent: Agent, **body: Any) -> dict[str, Any]:
    answer = ask(agent, **body)
    assert answer.status_code == 200, answer.json
    return answer.json  # type: ignore[no-any-return]


def tiers(agent: Agent) -> dict[str, Any]:
    answer = agent.client.get("/rnp/v1/tiers", headers=agent.head)
    assert answer.status_code == 200, answer.json
    return {item["tier"]: item for item in answer.json["tiers"]}


def test_an_estimate_is_what_the_order_then_holds_and_measured_frames_make_the_next_one(agent: Agent) -> None:
    with moving_clock() as hours:
        node = agent.renders.node()
        guessed = estimates(agent)
        priority, economy = guessed["estimates"]
        assert (guessed["basis"], guessed["frames_total"], priority["tier"], economy["tier"]) == (
            "guessed", 10, "priority", "economy"
        )  # fmt: skip
        assert 0 <= 2 * Decimal(economy["cost"]) - Decimal(priority["cost"]) <= Decimal("1e-8")  # each is rounded up
        assert Decimal(economy["cost"]) > Decimal(economy["expected_cost"]) > 0
        job = agent.ordered("1-10", settings=SMALL, tier="economy")
        assert job["estimated_cost"] == economy["cost"]
        while taken := agent.renders.claim(node):
            hours.wait(5)
            agent.renders.complete(taken)
        measured = estimates(agent, frames="1-20")
        assert (measured["basis"], measured["estimates"][1]["frame_seconds"]) == ("measured", 5.0)
        seconds = [measured["estimates"][1][name] for name in ("seconds_low", "seconds", "seconds_high")]
        assert seconds[0] < seconds[1] == 100 < seconds[2]
        assert agent.job(job["id"])["status"] == "completed"
        assert Decimal(agent.job(job["id"])["current_cost"]) <= Decimal(economy["cost"])


def test_a_price_is_told_in_what_it_is_paid_with_as_in_an_order(agent: Agent) -> None:
    [render, _] = estimates(agent, asset="RENDER")["estimates"]
    [dollars, _] = estimates(agent, payment={"asset": "USDC", "mode": "prepay", "max_amount": "1"})["estimates"]
    assert (render["rate"], dollars["rate"], dollars["asset"]) == ("1", "4.000000000000", "USDC")
    assert 0 <= Decimal(dollars["cost"]) - 4 * Decimal(render["cost"]) < Decimal("0.000001")


def test_what_nobody_has_looked_at_and_nobody_is_there_for_is_said(agent: Agent) -> None:
    found = estimates(agent, scene_id=agent.scene(report=None), settings={"samples": 60_000, "width": 4000})
    assert (found["settings"]["height"], found["basis"]) == (2250, "guessed")
    said = " ".join(found["warnings"])
    assert "no node has looked" in said and "3600 s" in said and "no node that fits" in said
    assert found["estimates"][0]["availability"]["wait_seconds"] is None


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"scene_id": UNKNOWN}, 404, "SCENE_NOT_FOUND"),
        ({"scene_id": None}, 400, "INVALID_INPUT"),
        ({"scene_id": None, "prompt": " "}, 400, "PROMPT_EMPTY"),
        ({"scene_id": None, "prompt": "a cat", "probe": True}, 400, "PROBE_OF_PROMPT"),
        ({"frames": "9-1"}, 400, "FRAMES_INVALID"),
        ({"frames": "1-1000000000"}, 400, "FRAMES_INVALID"),
        ({"frames": "1-10001"}, 400, "TOO_MANY_FRAMES"),
        ({"settings": {"camera": "none such"}}, 400, "NO_CAMERA"),
        ({"settings": {"width": 65_536, "height": 65_536}}, 400, "SETTINGS_INVALID"),
        ({"settings": {"samples": 10**9}}, 400, "SETTINGS_INVALID"),
        ({"settings": {"samples": -1}}, 400, "INVALID_INPUT"),
        ({"asset": "TON"}, 400, "INVALID_INPUT"),
    ],
)
def test_what_cannot_be_rendered_is_refused_with_a_reason(agent: Agent, body: dict[str, Any], status: int, code: str) -> None:
    answer = ask(agent, **body)
    assert (answer.status_code, answer.json["error"]["code"]) == (status, code)
    assert answer.json["error"]["message"]


def test_a_probe_is_free_and_needs_the_right_to_order(agent: Agent) -> None:
    answer = ask(agent, probe=True)
    assert (answer.status_code, answer.json["probe"], answer.json["basis"]) == (200, "ordered", "guessed")  # nobody is there
    assert estimates(agent, probe=True)["probe"] == "under_way"
    assert estimates(agent)["probe"] is None
    assert agent.renders.balance() == agent.renders.brought
    assert agent.get().json["count"] == 0  # it is no job of the client's
    readers = {"Authorization": f"Bearer {agent.key('jobs:read')}"}
    body = {"scene_id": agent.scene_id, "probe": True}
    assert agent.client.post("/rnp/v1/estimates", json=body, headers=readers).status_code == 403
    assert ask(agent, probe=True, scene_id=agent.scene(report=None)).json["error"]["code"] == "SCENE_NOT_READY"


def test_a_strangers_scene_is_as_none(agent: Agent, client: Any, hub: Any) -> None:
    stranger = Agent(client, hub, balance="0")
    assert ask(stranger, scene_id=agent.scene_id).json["error"]["code"] == "SCENE_NOT_FOUND"


def test_tiers_tell_what_is_free_and_what_waits(agent: Agent) -> None:
    with moving_clock():
        assert {item["wait_seconds"] for item in tiers(agent).values()} == {None}
        node = agent.renders.node()
        agent.ordered("1-10", settings=SMALL)
        agent.renders.claim(node)
        found = tiers(agent)
    priority, economy = found["priority"], found["economy"]
    assert (priority["nodes"], priority["nodes_free"], priority["rendering"]) == (1, 0, 1)
    assert priority["queued"] > 0 and priority["wait_seconds"] > 0
    assert Decimal(priority["price_per_hour"]) == 2 * Decimal(economy["price_per_hour"])
    assert (priority["wait_seconds_most"], economy["wait_seconds_most"]) == (None, 900)
    assert economy["wait_seconds_high"] >= 900
