"""History, usage and the payment method: what is told adds up, and is the owner's alone."""

import uuid
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, select, update

from app.api.robocompute import movement_words
from app.config import Settings
from app.core import ledger, payment_methods, solana_hub
from app.core.ledger import PLATFORM_KINDS, USER_KINDS, Party
from app.flows import billing
from app.models.payments import Payment
from app.values import clock
from app.values.money import Money, parse
from tests.api.robocompute.conftest import Person
from tests.factories import charges
from tests.factories.payouts import LOCAL_MINTS as MINTS

HUB_WALLET = "9xQeWvG816bUx9EPjHmaT23yvVM2ZWbrrpZb9PusVFin"


@pytest.fixture
def settings(settings: Settings) -> Settings:
    mints = ",".join(f"{asset}={mint}" for asset, mint in MINTS.items())
    return replace(settings, solana_wallet=HUB_WALLET, solana_mints=mints)


def test_every_movement_has_a_word() -> None:
    assert set(movement_words.WORDS) == {
        movement_words.word(is_credit, kind, is_own)
        for is_credit in (True, False) for kind in (*USER_KINDS, *PLATFORM_KINDS) for is_own in (True, False)
    }


def test_the_history_tells_every_movement_and_adds_up(buyer: Person, provider: Person) -> None:
    database = buyer.hub.database
    done = charges.begin(database, buyer.account_id, "2.00", name="train")
    charges.charge(database, done, "0.50", 500, provider.account_id)
    charges.release(database, charges.begin(database, buyer.account_id, "3.00"))
    running = charges.begin(database, buyer.account_id, "1.25")
    found = buyer.get("billing/history").json
    told = [(item["type"], item["amount"], item["task_id"] == str(done)) for item in found["transactions"]]
    assert told == [
        ("hold", "-1.25", False), ("release", "3.00", False), ("hold", "-3.00", False), ("release", "1.50", True),
        ("hold", "-2.00", True), ("deposit", "1000.00", False),
    ]
    assert found["transactions"][0]["task_id"] == str(running) and found["transactions"][3]["name"] == "train"
    assert [item["balance_after"] for item in found["transactions"]][::5] == ["998.25", "1000.00"]
    assert found["totals"]["USDC"] == {
        "opening_balance": "0.00", "closing_balance": "998.25", "spent": "0.50", "tasks_charged": 1,
        "by_type": {"deposit": "1000.00", "hold": "-6.25", "release": "4.50"},
    }
    assert found["totals"]["USDT"]["closing_balance"] == "0.00" and found["count"] == 6
    assert buyer.get("wallet/balance").json["usdc_balance"] == "998.25"
    (earned,) = provider.get("billing/history").json["transactions"]
    assert (earned["type"], earned["amount"], earned["task_id"]) == ("earning", "0.475", str(done))
    assert buyer.get("billing/history?limit=2&offset=1").json["transactions"] == found["transactions"][1:3]
    assert buyer.get("billing/history?currency=USDT").json["totals"].keys() == {"USDT"}


def test_days_count_to_their_end_and_the_opening_is_what_was_before(buyer: Person) -> None:
    today = clock.now().date()
    yesterday, tomorrow = today - timedelta(days=1), today + timedelta(days=1)
    for query, count, opening, closing in (
        (f"start_date={today}&end_date={today}", 1, "0.00", "1000.00"),
        (f"start_date={yesterday}&end_date={yesterday}", 0, "0.00", "0.00"),
        (f"start_date={tomorrow}", 0, "1000.00", "1000.00"),
        (f"end_date={tomorrow}", 1, "0.00", "1000.00"),
    ):
        found = buyer.get(f"billing/history?{query}").json
        totals = found["totals"]["USDC"]
        assert (found["count"], totals["opening_balance"], totals["closing_balance"]) == (count, opening, closing), query


BAD_SPANS = [
    "start_date=yesterday", "start_date=2025-02-30", "end_date=0001-01-01", "end_date=9999-12-31", "start_date=",
    "start_date=2025-02-01&end_date=2025-01-01", "limit=0", "limit=1001", "offset=-1", "currency=SOL",
    "start_date=2025-01-01T00:00:00%2B99:00",
]


def test_bad_spans_are_400_with_a_reason(stranger: Person) -> None:
    for path in ("billing/history", "billing/usage"):
        for query in BAD_SPANS:
            answer = stranger.get(f"{path}?{query}")
            assert answer.status_code == 400 and answer.json["error"]["message"], (query, answer.json)


def test_usage_is_told_by_the_second(buyer: Person, provider: Person, stranger: Person) -> None:
    database = buyer.hub.database
    done = charges.begin(database, buyer.account_id, "2.00", name="train", seconds=500)
    charges.charge(database, done, "0.50", 500, provider.account_id)
    gone = charges.begin(database, buyer.account_id, "3.00", seconds=400)
    charges.release(database, gone)
    tether = parse("5", "USDT")
    with database.unit_of_work() as session:
        ledger.post(session, Party("chain"), Party("balance", buyer.account_id), tether, f"test:{uuid.uuid4()}")
    capped = charges.begin(database, buyer.account_id, "0.05", asset="USDT", seconds=300)
    running = charges.begin(database, buyer.account_id, "1.00", seconds=100.25)
    now = clock.now()
    clock.replace_clock(lambda: now)
    try:
        found = buyer.get("billing/usage").json
    finally:
        clock.replace_clock(None)
    rows = {item["task_id"]: item for item in found["usage"]}
    assert [item["task_id"] for item in found["usage"]] == [str(item) for item in (running, capped, gone, done)]
    charges.lose(database, running)
    waiting = buyer.get("billing/usage?limit=1").json["usage"][0]
    assert (waiting["status"], waiting["seconds"], waiting["amount"], waiting["held"]) == ("waiting", 0, "0.00", "1.00")
    seconds, amount = rows[str(running)]["seconds"], rows[str(running)]["amount"]
    assert seconds >= 101 and parse(amount, "USDC") == Money(1000 * seconds, "USDC")
    assert (rows[str(capped)]["amount"], rows[str(capped)]["held"]) == ("0.05", "0.05")
    told = {name: rows[str(done)][name] for name in ("name", "status", "seconds", "price_per_hour", "amount", "held")}
    assert told == {
        "name": "train", "status": "charged", "seconds": 500, "price_per_hour": "3.60", "amount": "0.50", "held": "0.00"
    }
    assert (rows[str(gone)]["status"], rows[str(gone)]["amount"]) == ("released", "0.00")
    assert found["total_usdt"] == "0.05"
    assert stranger.get("billing/usage").json["usage"] == provider.get("billing/usage").json["usage"] == []
    past = buyer.get("billing/usage?end_date=2020-01-01").json
    assert past["count"] == 0


def test_a_payment_method_is_kept_and_its_currency_is_the_default(stranger: Person) -> None:
    plain = stranger.get("billing/payment-method").json
    assert (plain["type"], plain["preferred_currency"], plain["auto_topup"]) == ("wallet", "USDC", False)
    body = {"preferred_currency": "USDT", "billing_details": "ACME\nVAT 7"}
    made = stranger.post("billing/payment-method", json=body)
    assert made.status_code == 200 and made.json == stranger.get("billing/payment-method").json
    assert made.json["billing_details"] == "ACME\nVAT 7"
    assert stranger.post("wallet/deposit", json={"amount": "1"}).json["currency"] == "USDT"
    assert stranger.post("billing/payment-method", json={}).json == plain


BAD_METHODS: list[dict[str, Any]] = [
    {"preferred_currency": "SOL"}, {"auto_topup": True}, {"auto_topup": True, "topup_threshold": "1"}, {"auto_topup": "maybe"},
    {"auto_topup": True, "topup_threshold": "1", "topup_amount": "0"}, {"billing_details": "x" * 501}, {"topup_amount": "-1"},
    {"auto_topup": True, "topup_threshold": "1", "topup_amount": "2e9"},
]


def test_bad_payment_methods_are_400(stranger: Person) -> None:
    for body in BAD_METHODS:
        answer = stranger.post("billing/payment-method", json=body)
        assert answer.status_code == 400 and answer.json["error"]["message"], (body, answer.json)


def test_a_low_balance_asks_for_one_topup_at_a_time(buyer: Person, stranger: Person, settings: Settings) -> None:
    database, body = buyer.hub.database, {"auto_topup": True, "topup_threshold": "500", "topup_amount": "200"}
    assert buyer.post("billing/payment-method", json=body).json["topup_deposit_id"] is None  # it has 1000
    asked = stranger.post("billing/payment-method", json=body).json["topup_deposit_id"]
    assert asked and stranger.get("wallet/balance").json["topup_deposit_id"] == asked
    deposit = stranger.get(f"wallet/deposits/{asked}").json
    assert (deposit["amount"], deposit["note"], deposit["status"]) == ("200.00", "automatic top-up", "pending")
    assert billing.keep_up(database, settings) == (0, 0)
    charges.begin(database, buyer.account_id, "600")
    assert billing.keep_up(database, settings) == (1, 0)
    assert billing.keep_up(database, settings) == (0, 0)
    with database.unit_of_work() as session:
        session.execute(update(Payment).values(expires_at=clock.now() - timedelta(seconds=1)))
    assert stranger.get("wallet/balance").json["topup_deposit_id"] is None
    assert billing.keep_up(database, settings) == (2, 0)
    with database.unit_of_work() as session:
        assert session.scalar(select(func.count()).select_from(Payment)) == 4
        hub = solana_hub.read(settings)
        assert payment_methods.ask_topup(session, hub, buyer.account_id, billing.MEMO_PREFIX) is None
    stranger.post("billing/payment-method", json={})
    with database.unit_of_work() as session:
        session.execute(update(Payment).values(expires_at=clock.now() - timedelta(seconds=1)))
    assert billing.keep_up(database, settings) == (1, 0)
