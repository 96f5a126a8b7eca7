"""The sweep of providers: what was noted becomes a reputation, and who is there is written down."""

import uuid
from types import SimpleNamespace

import pytest

from app.config import Settings
from app.core import presence, reputation
from app.db import Database
from app.values import clock
from app.values.money import Money
from app.values.reputation import Outcome
from tests.factories.compute import a_provider, an_account
from workers import sweeps


def test_work_and_presence_are_written_down_once(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    provider_id = a_provider(database)
    with database.unit_of_work() as session:
        reputation.note(session, provider_id, an_account(session), Outcome.COMPLETED, uuid.uuid4(), Money(1, "USDC"))
        presence.note_alive(session, provider_id)
    monkeypatch.setattr(sweeps, "hub", lambda: SimpleNamespace(database=database, settings=Settings()))
    for _ in range(2):
        sweeps.sweep_providers()
    with database.unit_of_work() as session:
        assert reputation.read(session, provider_id).good == pytest.approx(1)
        assert reputation.read(session, provider_id).score > 0
        assert presence.uptime_percent(session, provider_id, clock.now()) is not None
        assert presence.read(session, provider_id, 90).status == "online"
