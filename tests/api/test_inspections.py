"""Inspections seen from outside: what a quote warns of, and that looking is free, bounded and never ends a job."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from app.config import Settings
from app.core import inspections, outcomes
from app.factory import create_app
from app.wiring import Hub
from devnet.payer import Payer
from tests.api.conftest import FakeNode, Market

REPORT = {"cameras": ["Camera"], "missing_files": ["//oak.png"], "warnings": ["The file oak.png is missing"]}


@pytest.fixture
def settings(settings: Settings, tmp_path: Path) -> Settings:
    """A hub whose quotes wait for an idle node."""
    return replace(settings, inspection_wait_seconds=30)


def quote_and_look(market: Market, payer: Payer, node: FakeNode, answer: dict, code: str | None = None):
    """POST /render in one thread while the node, in another client, looks at the scene."""

    def look() -> None:
        found = []
        while not found:
            found = node.claim_anything()
        if code is None:
            assert node.report(found[0], answer).status_code == 200
        else:
            item = {"attempt_id": found[0]["attempt_id"], "fence": found[0]["fence"]}
            assert node.post("failures", failures=[{**item, "code": code, "message": "broken block"}]).status_code == 200

    with ThreadPoolExecutor(1) as pool:
        looking = pool.submit(look)
        try:
            return market.quote(payer)
        finally:
            looking.result(30)


def test_a_quote_carries_what_an_idle_node_found(market: Market, payer: Payer, node: FakeNode) -> None:
    payment = quote_and_look(market, payer, node, REPORT)
    assert payment["warnings"] == ["The file oak.png is missing"]
    job = market.job(payment)
    assert (job["warnings"], job["status"], job["framesTotal"]) == (payment["warnings"], "pending_payment", 1)
    again = market.quote(payer)
    assert again["warnings"] == payment["warnings"], "the same bytes are not looked at twice"
    assert node.claim_anything() == []


def test_a_file_that_blender_cannot_open_is_refused_before_it_is_paid(market: Market, payer: Payer, node: FakeNode) -> None:
    with pytest.raises(AssertionError, match="Blender cannot open this file: broken block"):
        quote_and_look(market, payer, node, {}, code="SCENE_UNREADABLE")
    assert node.claim_anything() == []


def test_a_scene_without_a_camera_is_refused_before_it_is_paid(market: Market, payer: Payer, node: FakeNode) -> None:
    with pytest.raises(AssertionError, match="no active camera"):
        quote_and_look(market, payer, node, {"cameras": [], "active_camera": None, "warnings": ["no camera"]})


def test_without_an_idle_node_the_quote_does_not_wait(market: Market, payer: Payer) -> None:
    assert market.quote(payer)["warnings"] == []


def test_a_late_failure_only_warns(market: Market, payer: Payer) -> None:
    payment = market.quote(payer)
    node = FakeNode(market).join()
    signature = payer.pay(payment["payTo"], round(payment["price"] * 10**9), payment["memo"])
    payer.wait_final(signature)
    assert market.pay(payment, signature).json["data"]["status"] == "queued"
    looked_at, frame = sorted(node.claim_anything(2), key=lambda item: item["kind"] != "inspection")
    assert (looked_at["kind"], looked_at["upload"], frame["kind"]) == ("inspection", None, "frame")
    item = {"attempt_id": looked_at["attempt_id"], "fence": looked_at["fence"], "code": "SCENE_UNREADABLE", "message": "no"}
    assert node.post("failures", failures=[item]).json["failures"][0]["unit_state"] == "failed"
    assert node.finish(frame).json["results"][0]["accepted"] is True
    job = market.job(payment)
    assert (job["status"], job["warnings"]) == ("completed", ["the scene could not be opened: no"])


def test_quotes_cannot_fill_a_provider_with_inspections(market: Market, payer: Payer, hub: Hub) -> None:
    for _ in range(inspections.WAITING_AT_MOST + 3):
        market.quote(payer)
    node = FakeNode(market).join()
    assert len(node.claim_anything(64)) == inspections.WAITING_AT_MOST


def test_a_lost_inspection_goes_back_and_ends_by_itself(market: Market, payer: Payer, hub: Hub) -> None:
    payment = market.quote(payer)
    node = FakeNode(market).join()
    for _ in range(hub.settings.max_attempts):
        (attempt,) = node.claim_anything()
        with hub.database.unit_of_work() as session:
            session.execute(outcomes.update(outcomes.WorkUnit).values(lease_until=outcomes.clock.now() - outcomes.timedelta(1)))
        with hub.database.unit_of_work() as session:
            assert outcomes.expire_leases(session, (3, hub.settings.max_attempts)) == 1
    assert node.claim_anything() == []
    assert node.report(attempt, REPORT).status_code == 409
    assert market.job(payment)["warnings"] == ["the scene could not be opened: the node stopped reporting"]


@pytest.mark.parametrize("body", [{}, {"report": {}, "sha256": "0" * 64, "size_bytes": 1}, {"sha256": "0" * 64}, {"report": 1}])
def test_a_result_is_an_upload_or_a_report(market: Market, payer: Payer, body: dict) -> None:
    market.quote(payer)
    node = FakeNode(market).join()
    (attempt,) = node.claim_anything()
    item = {"attempt_id": attempt["attempt_id"], "fence": attempt["fence"], **body}
    assert node.post("results", results=[item]).status_code == 400


@pytest.mark.parametrize(
    "report",
    [{"warnings": 5}, {"warnings": "no"}, {"warnings": [5, {}, "yes"]}, {"error": "x"}, {"error": {"code": "SCENE_UNREADABLE"}}],
)
def test_a_node_may_report_anything_and_breaks_nothing(market: Market, payer: Payer, report: dict) -> None:
    payment = market.quote(payer)
    node = FakeNode(market).join()
    (attempt,) = node.claim_anything()
    assert node.report(attempt, report).status_code == 200
    assert market.job(payment)["warnings"] == (["yes"] if report.get("warnings") == [5, {}, "yes"] else [])
    assert market.quote(payer)["jobId"], "the same bytes are quoted again"


def test_what_one_providers_node_says_of_a_file_counts_for_no_other(market: Market, payer: Payer, solana_url: str) -> None:
    market.quote(payer)
    node = FakeNode(market).join()
    (attempt,) = node.claim_anything()
    failure = {"attempt_id": attempt["attempt_id"], "fence": attempt["fence"], "code": "SCENE_UNREADABLE", "message": "no"}
    assert node.post("failures", failures=[failure]).status_code == 200
    market.set_status("offline")
    other = Market(market.client, market.hub, solana_url)
    assert other.job(other.quote(payer))["providerId"] == other.provider_id


def test_a_report_is_cut_to_size() -> None:
    report = inspections.tidy({"warnings": ["x" * 1000] * 500, "deep": {"a": {"b": {}}}, "nul": "a\0b", "odd": object()})
    assert [len(report["warnings"]), len(report["warnings"][0])] == [100, 300]
    assert (report["deep"], report["nul"], report["odd"]) == ({"a": None}, "ab", None)


def test_the_hub_answers_while_a_quote_waits(market: Market, payer: Payer, node: FakeNode, settings: Settings) -> None:
    """A second process signals the first: the wait crosses processes because it is Valkey's."""
    other: FlaskClient = create_app(settings).test_client()
    node.client = other
    assert quote_and_look(market, payer, node, REPORT)["warnings"] == REPORT["warnings"]
