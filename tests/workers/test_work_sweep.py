"""The sweep of work, as beat runs it."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import redis

from app.config import Settings
from app.db import Database
from tests.factories.render_market import Renders
from tests.factories.task_market import moving_clock
from workers import sweeps


def test_what_has_waited_for_so_long_as_the_settings_say_goes_first(
    database: Database, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = SimpleNamespace(database=database, cache=redis.Redis.from_url(redis_url))
    parts.settings = replace(Settings(), economy_wait_seconds=60)
    monkeypatch.setattr(sweeps, "hub", lambda: parts)
    renders = Renders(database)
    with moving_clock() as hours:
        node = renders.node()
        first, second = (renders.place(1, tier="economy") for _ in range(2))
        for waited, expected in ((59, False), (2, True)):
            hours.wait(waited)
            urgent = renders.place(1, priority=100)
            sweeps.sweep_work()
            [taken] = renders.claim(node)
            assert taken.job.id == (first if expected else urgent)
            assert renders.complete([taken]) == 1
        assert renders.job(second).state == "open"
