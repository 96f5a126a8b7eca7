"""The judge of payments as a table: every trick is a row, and money that really came is never called nothing."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from app.values.chain import Movement, Sighting
from app.values.payment_check import judge

NOW = datetime(2026, 1, 1, tzinfo=UTC)
EXPECTED = {
    "pay_to": "payee",
    "mint": None,
    "amount_minor": 100,
    "memo": "m",
    "created_at": NOW,
    "expires_at": NOW + timedelta(900),
}
GOOD = Sighting(
    signature="s",
    slot=1,
    block_time=NOW,
    error=None,
    is_final=True,
    memos=("m",),
    movements=(Movement("payer", "payee", 100),),
    fee_payer="payer",
    changes={("payee", None): 100, ("payer", None): -105},
)
HALF = {("payee", None): 40}
ROWS = {
    "good": ({}, "accepted", None, 100),
    "more than asked": (
        {"movements": (Movement("payer", "payee", 150),), "changes": {("payee", None): 150}},
        "accepted",
        None,
        150,
    ),
    "failed": ({"error": "x"}, "refused", "transaction_failed", 0),
    "failed, not final": ({"error": "x", "is_final": False}, "pending", "not_final", 0),
    "not final": ({"is_final": False}, "pending", "not_final", 0),
    "no memo": ({"memos": ()}, "refused", "memo_missing", 0),
    "another memo": ({"memos": ("M",)}, "refused", "memo_wrong", 0),
    "two memos": ({"memos": ("m", "n")}, "refundable", "memo_twice", 100),
    "the same memo twice": ({"memos": ("m", "m")}, "refundable", "memo_twice", 100),
    "taken back": ({"changes": {("payee", None): 0}}, "refused", "taken_back", 0),
    "half taken back": ({"changes": HALF}, "refundable", "short", 40),
    "no readable transfer": ({"movements": ()}, "refundable", "no_transfer", 100),
    "another payee": ({"movements": (Movement("payer", "other", 100),), "changes": {}}, "refused", "wrong_payee", 0),
    "another mint": ({"movements": (Movement("payer", "payee", 100, "x"),), "changes": {}}, "refused", "wrong_payee", 0),
    "late": ({"block_time": NOW + timedelta(901)}, "refundable", "expired", 100),
    "no time": ({"block_time": None}, "refundable", "expired", 100),
    "older than the order": ({"block_time": NOW - timedelta(1)}, "refundable", "before_order", 100),
    "short by one": (
        {"movements": (Movement("payer", "payee", 99),), "changes": {("payee", None): 99}},
        "refundable",
        "short",
        99,
    ),
    "in two parts": ({"movements": (Movement("payer", "payee", 60), Movement("payer", "payee", 40))}, "accepted", None, 100),
}


@pytest.mark.parametrize("name", ROWS)
def test_verdict(name: str) -> None:
    change, state, code, received = ROWS[name]
    verdict = judge(replace(GOOD, **change), **EXPECTED)
    assert (verdict.state, verdict.code, verdict.received_minor) == (state, code, received)
