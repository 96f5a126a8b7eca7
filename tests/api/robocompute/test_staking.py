"""Stakes through the API: what is locked, what comes back and when, and what was slashed."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from app.core import audit, ledger
from app.core.ledger import Party
from app.factory import create_app
from app.values import clock
from app.wiring import Hub
from tests.api.robocompute.conftest import Person, become_provider
from workers import sweeps


@pytest.fixture
def ahead() -> Iterator[list[timedelta]]:
    """What is put into the list is added to the time."""
    start, more = clock.now(), list[timedelta]()
    clock.replace_clock(lambda: start + sum(more, timedelta()))
    yield more
    clock.replace_clock(None)


def stake(person: Person, amount: object, verb: str = "stake", key: str | None = None, **more: Any) -> Any:
    return person.post(person.own(f"staking/{verb}"), json={"amount": amount, **more}, key=key)


def status(person: Person, currency: str = "USDC") -> dict[str, Any]:
    return dict(person.get(person.own(f"staking?currency={currency}")).json)


def has(hub: Hub, person: Person) -> list[int]:
    """Balance, stake and unstaking in whole USDC; the books agree."""
    with hub.database.unit_of_work() as session:
        assert audit.differences(session) == []
        kinds = ("balance", "stake", "unstaking")
        return [ledger.balance(session, Party(kind, person.account_id), "USDC").minor // 10**6 for kind in kinds]


def test_a_stake_is_locked_asked_back_and_given_back_by_the_sweep(
    hub: Hub, provider: Person, ahead: list[timedelta], monkeypatch: pytest.MonkeyPatch
) -> None:
    provider.fund("1000")
    assert stake(provider, "1000.00", currency="USDC").json["staked_amount"] == "1000.00"
    asked = stake(provider, "500.00", "unstake", currency="USDC")
    assert asked.status_code == 200, asked.json
    assert (asked.json["staked_amount"], asked.json["unstaking_amount"], asked.json["status"]) == ("500.00", "500.00", "pending")
    found = status(provider)
    (row,) = found["unstakings"]
    assert row["available_at"] > row["created_at"] and row == {name: asked.json[name] for name in row}
    monkeypatch.setattr(sweeps, "hub", lambda: hub)
    sweeps.sweep_stakes()
    assert has(hub, provider) == [0, 500, 500]
    ahead.append(timedelta(hours=72))
    sweeps.sweep_stakes()
    sweeps.sweep_stakes()
    assert has(hub, provider) == [500, 500, 0]
    (row,) = status(provider)["unstakings"]
    assert (row["status"], row["released_amount"]) == ("released", "500.00")


def test_where_there_is_no_delay_it_comes_at_once(hub: Hub, provider: Person, settings: Any) -> None:
    client = create_app(replace(settings, unstake_delay_hours=0, minimum_stake="0,USDC=300")).test_client()
    provider.client = client
    provider.fund("500")
    staked = stake(provider, 500).json
    assert (staked["minimum_required"], staked["is_sufficient"]) == ("300.00", True)
    back = stake(provider, "200.5", "unstake").json
    assert (back["status"], back["released_amount"], back["is_sufficient"]) == ("released", "200.50", False)
    assert status(provider, "USDT")["minimum_required"] == "0.00"
    assert has(hub, provider) == [200, 299, 0]
    client.application.extensions["lightyard"].database.engine.dispose()


def test_what_is_not_there_is_neither_staked_nor_given_back(hub: Hub, provider: Person, stranger: Person) -> None:
    provider.fund("100")
    answer = stake(provider, "100.01")
    assert (answer.status_code, answer.json["error"]["code"]) == (402, "INSUFFICIENT_FUNDS")
    assert answer.json["error"]["details"] == {"required": "100.01", "available": "100.00", "currency": "USDC"}
    assert stake(provider, "60").status_code == 200
    answer = stake(provider, "60.01", "unstake")
    assert (answer.status_code, answer.json["error"]["code"]) == (402, "INSUFFICIENT_STAKE")
    assert answer.json["error"]["details"] == {"required": "60.01", "current": "60.00", "currency": "USDC"}
    for amount in ("0", "-1", "x", None, "1e30", "0.0000001"):
        for verb in ("stake", "unstake"):
            assert stake(provider, amount, verb).status_code == 400, (amount, verb)
    assert stake(provider, "1", currency="SOL").status_code == 400
    become_provider(stranger)
    for verb in ("stake", "unstake"):
        answer = stranger.post(provider.own(f"staking/{verb}"), json={"amount": "1"})
        assert (answer.status_code, answer.json["error"]["code"]) == (404, "PROVIDER_NOT_FOUND")
    assert stranger.get(provider.own("staking")).status_code == 404
    assert has(hub, provider) == [40, 60, 0]


def test_a_repeated_request_stakes_and_unstakes_once(hub: Hub, provider: Person) -> None:
    provider.fund("100")
    for verb, amount in (("stake", "60"), ("unstake", "20")):
        first, again = (stake(provider, amount, verb, key=verb) for _ in range(2))
        assert first.json == again.json and first.status_code == 200
    assert has(hub, provider) == [40, 40, 20]
