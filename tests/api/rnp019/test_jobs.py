"""Renders ordered, followed, changed, paused and called off by RNP-019's routes."""

import uuid
from typing import Any

import pytest
from flask.testing import FlaskClient

from app.wiring import Hub
from tests.api.conftest import UNKNOWN
from tests.api.rnp019.conftest import Agent, refused
from tests.factories.task_market import moving_clock


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
