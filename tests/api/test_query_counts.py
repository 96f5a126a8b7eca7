"""How many SQL statements a request makes: time is noise on a shared machine, a count is not, and it grows unseen."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import event

from app.wiring import Hub
from devnet.payer import Payer
from tests.api.conftest import FakeNode, Market

SETTINGS: dict[str, Any] = {"resolution": {"width": 8, "height": 6}}


@pytest.fixture
def said(hub: Hub) -> Iterator[list[str]]:
    """Every statement that the hub makes; empty it before what is to be counted."""
    statements: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        statements.append(statement)

    event.listen(hub.database.engine, "before_cursor_execute", note)
    yield statements
    event.remove(hub.database.engine, "before_cursor_execute", note)


def queue_frames(market: Market, payer: Payer, node: FakeNode, frames: int) -> dict[str, Any]:
    """A paid job whose inspection is out of the way."""
    payment = market.quote(payer, json.dumps({**SETTINGS, "frames": {"start": 1, "end": frames}}))
    signature = payer.pay(payment["payTo"], round(payment["price"] * 10**9), payment["memo"])
    payer.wait_final(signature)
    assert market.pay(payment, signature).status_code == 200
    assert node.claim(1) != []  # its inspection, where there is one, is taken care of by the fake node itself
    return payment


def test_a_claim_is_two_statements_however_many_units_it_takes(
    market: Market, payer: Payer, node: FakeNode, said: list[str]
) -> None:
    queue_frames(market, payer, node, 12)
    for limit in (1, 10):
        said.clear()
        attempts = node.claim(limit)
        assert len(attempts) == limit
        assert len(said) == 2, said


def test_booking_results_is_three_statements_however_many_they_are(
    market: Market, payer: Payer, node: FakeNode, said: list[str]
) -> None:
    queue_frames(market, payer, node, 12)
    for limit in (1, 5):
        attempts = node.claim(limit)
        results = [node.upload(attempt) for attempt in attempts]
        said.clear()
        answer = node.post("results", results=results)
        assert [item["accepted"] for item in answer.json["results"]] == [True] * limit
        assert len(said) == 3, said


def test_one_bad_result_never_spoils_the_others_of_its_batch(market: Market, payer: Payer, node: FakeNode) -> None:
    payment = queue_frames(market, payer, node, 6)
    attempts = node.claim(5)
    good, wrong_hash, wrong_size, stale, missing = (node.upload(attempt) for attempt in attempts)
    wrong_hash["sha256"] = "0" * 64
    wrong_size |= {key: node.upload(attempts[2], (9, 6))[key] for key in ("sha256", "size_bytes")}
    stale["fence"] += 1
    missing_file = f"results/{attempts[4]['job_id']}/{attempts[4]['unit_id']}-{attempts[4]['fence']}"
    market.hub.store.delete(missing_file)
    answer = node.post("results", results=[wrong_hash, wrong_size, stale, missing, good])
    assert answer.status_code == 200, answer.json
    verdicts = [item.get("error", {}).get("code", "accepted") for item in answer.json["results"]]
    assert verdicts == ["RESULT_HASH_MISMATCH", "RESULT_WRONG_SIZE", "ATTEMPT_NOT_LIVE", "RESULT_MISSING", "accepted"]
    again = node.upload(attempts[0])
    answer = node.post("results", results=[good, again]).json["results"]
    assert all(item["accepted"] for item in answer)  # what was accepted stays accepted, however often it is announced
    assert market.job(payment)["status"] == "rendering"


def test_a_result_that_settles_its_job_is_eight_statements(
    market: Market, payer: Payer, node: FakeNode, said: list[str]
) -> None:
    for expected in (15, 8):  # the first job of a provider opens its accounts in the ledger
        payment = market.quote(payer, json.dumps({**SETTINGS, "frames": {"start": 1, "end": 1}}))
        signature = payer.pay(payment["payTo"], round(payment["price"] * 10**9), payment["memo"])
        payer.wait_final(signature)
        assert market.pay(payment, signature).status_code == 200
        results = [node.upload(attempt) for attempt in node.claim(1)]
        said.clear()
        assert node.post("results", results=results).json["results"][0]["accepted"]
        assert len(said) <= expected, said
        assert market.job(payment)["status"] == "completed"


def test_a_quote_and_a_status_keep_their_number_of_statements(market: Market, payer: Payer, said: list[str]) -> None:
    market.quote(payer)
    said.clear()
    payment = market.quote(payer)
    assert len(said) <= 12, said  # one of them is whether x402 is offered
    said.clear()
    market.job(payment)
    assert len(said) <= 6, said
