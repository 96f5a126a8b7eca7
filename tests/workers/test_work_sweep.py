"""What beat has done for renders, as it does it."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import redis

from app.config import Settings
from app.core import render_nodes
from app.db import Database
from tests.factories.render_market import Renders
from tests.factories.task_market import moving_clock
from workers import sweeps


@pytest.fixture
def parts(database: Database, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """What these sweeps ask of the hub."""
    settings = replace(Settings(), economy_wait_seconds=60)
    nodes = render_nodes.Terms(90, True, 60, settings.economy_wait_seconds)
    found = SimpleNamespace(database=database, cache=redis.Redis.from_url(redis_url), settings=settings)
    found.estimate_terms = SimpleNamespace(nodes=nodes)
    monkeypatch.setattr(sweeps, "hub", lambda: found)
    return found


def test_every_sweep_is_in_beats_schedule() -> None:
    from celery_app import app

    made = {item.name for item in vars(sweeps).values() if str(getattr(item, "name", "")).startswith("hub.")}
    assert len(made) > 20 and made <= {entry["task"] for entry in app.conf.beat_schedule.values()}


def test_renders_under_way_get_their_part_of_nodes_that_come(parts: SimpleNamespace) -> None:
    renders = Renders(parts.database)
    with moving_clock():
        renders.node()
        job_id = renders.place(200, window_units=1)
        for _ in range(3):
            renders.node()
        sweeps.sweep_allocations()
        order = renders.order(job_id)
        assert order.allocation["nodes"] == 4 and order.window_units == order.allocation["units_at_once"] > 4
        assert len([unit for unit in renders.units(job_id) if not unit.is_parked]) == order.window_units


def test_what_has_waited_for_so_long_as_the_settings_say_goes_first(parts: SimpleNamespace) -> None:
    renders = Renders(parts.database)
    with moving_clock() as hours:
        node, cheap = renders.node(), renders.place(1, tier="economy")
        for waited, expected in ((59, False), (2, True)):
            hours.wait(waited)
            urgent = renders.place(1, priority=100)
            sweeps.sweep_work()
            [taken] = renders.claim(node)
            assert taken.job.id == (cheap if expected else urgent)
            assert renders.complete([taken]) == 1
