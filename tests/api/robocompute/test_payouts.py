"""Payouts of earnings: once, never more than there is, and only to wallets that have signed, after their cool-off."""

import base64
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from solders.keypair import Keypair

from app.core import audit, ledger, payout_reconciliation
from app.core.ledger import Party
from app.core.payouts import Filter, hold, listed
from app.models.payouts import Payout
from app.values import clock
from app.wiring import Hub
from tests.api.conftest import UNKNOWN
from tests.api.robocompute.conftest import Person, become_provider


@pytest.fixture
def ahead() -> Iterator[list[timedelta]]:
    """What is put into the list is added to the time."""
    start, more = clock.now(), list[timedelta]()
    clock.replace_clock(lambda: start + sum(more, timedelta()))
    yield more
    clock.replace_clock(None)


def ask(person: Person, amount: object, key: str | None = None, **more: Any) -> Any:
    return person.post(person.own("payouts/request"), json={"amount": amount, **more}, key=key)


def refused(answer: Any, status: int, code: str) -> dict[str, Any]:
    assert answer.status_code == status, answer.json
    assert answer.json["error"]["code"] == code, answer.json
    return dict(answer.json["error"]["details"])


def left(hub: Hub, person: Person, asset: str = "USDC") -> tuple[int, int]:
    """(balance, on its way) in minor units; the books agree."""
    with hub.database.unit_of_work() as session:
        assert audit.differences(session) == [] and payout_reconciliation.ledger_differences(session) == []
        found = [ledger.balance(session, Party(kind, person.account_id), asset).minor for kind in ("balance", "payout")]
    return found[0], found[1]


def made(hub: Hub, person: Person) -> list[Payout]:
    with hub.database.unit_of_work() as session:
        return listed(session, Filter(account_id=person.account_id), 1000)


@pytest.mark.parametrize("key", [None, "the-same"])
def test_a_thousand_requests_at_once_for_one_balance_are_one_payout(hub: Hub, provider: Person, key: str | None) -> None:
    """Each of its own, and one that a client tries over and over under one Idempotency-Key."""
    provider.fund("500")

    def request(_: int) -> tuple[int, str]:
        thread = Person.__new__(Person)
        vars(thread).update(vars(provider) | {"client": provider.client.application.test_client()})
        answer = ask(thread, "500.00", key, currency="USDC", wallet_address=provider.wallet)
        return answer.status_code, answer.json["payout_id"] if answer.status_code == 201 else answer.json["error"]["code"]

    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(request, range(1000)))
    (payout,) = made(hub, provider)
    assert answers.count((201, str(payout.id))) == (1 if key is None else sum(status == 201 for status, _ in answers)) > 0
    others = {answer for answer in answers if answer[0] != 201}
    assert others <= ({(402, "INSUFFICIENT_FUNDS")} if key is None else {(409, "IDEMPOTENCY_IN_PROGRESS")})
    assert left(hub, provider) == (0, 500 * 10**6)


def test_a_request_is_told_whole_and_seen_in_history_and_pending(hub: Hub, provider: Person) -> None:
    provider.fund("30.5")
    provider.fund("7", "USDT")
    answer = ask(provider, "10.25")
    assert answer.status_code == 201
    told = answer.json
    assert (told["status"], told["amount"], told["currency"]) == ("pending", "10.25", "USDC")
    assert told["wallet_address"] == provider.wallet
    assert told["tx_hash"] is told["confirmed_at"] is told["reason"] is None
    second = ask(provider, 7, currency="USDT", wallet_address=provider.wallet).json
    history = provider.get(provider.own("payouts/history?limit=1")).json
    assert history == {"payouts": [second], "count": 1}
    pending = provider.get(provider.own("payouts/pending")).json
    assert pending["payouts"] == [second, told] and pending["minimum_payout"] == "0.01"
    assert [pending[f"{word}_{asset}"] for word in ("pending", "available") for asset in ("usdc", "usdt")] == [
        "10.25", "7.00", "20.25", "0.00",
    ]  # fmt: skip
    with hub.database.unit_of_work() as session:
        hold(session, uuid.UUID(told["payout_id"]), "looked into")
    assert provider.get(provider.own("payouts/pending")).json["payouts"][1]["reason"].startswith("held")


def test_amounts_and_wallets_that_cannot_be_paid_are_refused(hub: Hub, provider: Person) -> None:
    provider.fund("10")
    details = refused(ask(provider, "10.01"), 402, "INSUFFICIENT_FUNDS")
    assert details == {"required": "10.01", "available": "10.00", "currency": "USDC"}
    for amount in ("0.009", "0"):
        refused(ask(provider, amount), 400, "PAYOUT_TOO_SMALL")
    for none in ("-1", "1.0000001", "NaN", "1e400", "", True, None, [1]):
        refused(ask(provider, none), 400, "INVALID_INPUT")
    refused(ask(provider, "1", currency="SOL"), 400, "INVALID_INPUT")
    for wallet in ("", "x", "1" * 81, "0:" + "0" * 64, 7):
        assert ask(provider, "1", wallet_address=wallet).status_code == 400, wallet
    assert made(hub, provider) == [] and left(hub, provider) == (10 * 10**6, 0)


def test_another_wallet_is_paid_only_after_it_signed_and_waited(hub: Hub, provider: Person, ahead: list[timedelta]) -> None:
    provider.fund("10")
    new, path = Keypair(), provider.own("payouts/addresses")
    wallet = str(new.pubkey())
    refused(ask(provider, "10", wallet_address=wallet), 400, "PAYOUT_ADDRESS_FOREIGN")
    template = provider.get(path).json["message"]
    now = int(clock.now().timestamp() * 1000)
    message = template.format(wallet_address=wallet, timestamp=now)
    body = {"wallet_address": wallet, "timestamp": now, "signature": str(new.sign_message(message.encode()))}
    forged = base64.b64encode(bytes(provider.keypair.sign_message(message.encode()))).decode()
    refused(provider.post(path, json={**body, "signature": forged}), 401, "WALLET_SIGNATURE_INVALID")
    refused(provider.post(path, json={**body, "timestamp": now - 301_000}), 401, "SIGNATURE_EXPIRED")
    added = provider.post(path, json=body)
    assert added.status_code == 201 and added.json["automatic"] is False
    assert provider.post(path, json=body).status_code == 409  # a signature is good once
    refused(ask(provider, "10", wallet_address=wallet), 400, "PAYOUT_ADDRESS_COOLING_OFF")
    assert ask(provider, "1").json["wallet_address"] == provider.wallet  # the old one is paid meanwhile
    ahead.append(timedelta(hours=24))
    assert provider.get(path).json["addresses"] == [added.json] and added.json["usable_at"] > added.json["created_at"]
    assert ask(provider, "4", wallet_address=wallet).status_code == 201
    assert ask(provider, "1").json["wallet_address"] == wallet
    assert provider.delete(f"{path}/{added.json['address_id']}").status_code == 204
    refused(ask(provider, "4", wallet_address=wallet), 400, "PAYOUT_ADDRESS_FOREIGN")
    assert left(hub, provider) == (4 * 10**6, 6 * 10**6)


def test_a_key_makes_one_payout_and_another_body_under_it_is_refused(hub: Hub, provider: Person) -> None:
    provider.fund("10")
    first = ask(provider, "4", key="k")
    again = ask(provider, "4", key="k")
    assert first.json == again.json and again.headers["Idempotent-Replayed"] == "true"
    refused(ask(provider, "5", key="k"), 409, "IDEMPOTENCY_KEY_REUSED")
    refused(ask(provider, "7", key="short"), 402, "INSUFFICIENT_FUNDS")
    provider.fund("1")
    assert ask(provider, "7", key="short").status_code == 201
    assert left(hub, provider) == (0, 11 * 10**6)


def test_nobody_else_asks_looks_or_adds(hub: Hub, provider: Person, stranger: Person) -> None:
    provider.fund("10")
    become_provider(stranger)
    paths = [("GET", "payouts/history"), ("GET", "payouts/pending"), ("GET", "payouts/addresses")]
    for method, path in paths:
        refused(stranger.call(method, provider.own(path)), 404, "PROVIDER_NOT_FOUND")
        assert stranger.call(method, f"providers/{UNKNOWN}/{path}").status_code == 404
    body = {"amount": "1", "wallet_address": stranger.wallet}
    refused(stranger.post(provider.own("payouts/request"), json=body), 404, "PROVIDER_NOT_FOUND")
    refused(stranger.delete(provider.own(f"payouts/addresses/{UNKNOWN}")), 404, "PROVIDER_NOT_FOUND")
    refused(ask(provider, "1", wallet_address=stranger.wallet), 400, "PAYOUT_ADDRESS_FOREIGN")
    poor = Person(provider.client, hub, scopes=("payouts:read",))
    refused(become_provider(poor).post(poor.own("payouts/request"), json=body), 403, "SCOPE_MISSING")
    assert made(hub, provider) == made(hub, stranger) == []
