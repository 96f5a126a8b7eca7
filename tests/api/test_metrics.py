"""What operators see at /metrics while work is under way, and while a part is away."""

from dataclasses import replace

import pytest
from prometheus_client.parser import text_string_to_metric_families

from app.core import figures
from app.factory import create_app
from app.observability import metrics
from app.wiring import Hub
from devnet.payer import Payer
from tests.api.conftest import FakeNode, Market
from tests.api.test_paid_render import paid


def scrape(client) -> dict[tuple, float]:
    answer = client.get("/metrics")
    assert answer.status_code == 200
    return {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def test_work_nodes_and_books_are_figures(market: Market, payer: Payer, node: FakeNode, hub: Hub) -> None:
    paid(market, payer, '{"resolution":{"width":8,"height":6},"frames":{"start":1,"end":3}}')
    node.claim(1)
    metrics.note_audit(hub.cache, 0, is_whole=True)
    found = scrape(market.client)
    assert found["lightyard_units", "queued", "render"] == 2
    assert found["lightyard_units", "assigned", "render"] == 1
    assert found["lightyard_oldest_unit_age_seconds", "render"] >= 0
    assert found["lightyard_nodes", "healthy"] == 1
    assert found["lightyard_ledger_differences",] == 0
    assert (found["lightyard_database_up",], found["lightyard_cache_up",]) == (1, 1)
    assert any(name[0] == "lightyard_http_request_total" and "402" in name for name in found)


def test_a_difference_stays_until_a_whole_audit_finds_none(market: Market, hub: Hub) -> None:
    for count, is_whole, shown in ((3, False, 3), (0, False, 3), (0, True, 0)):
        metrics.note_audit(hub.cache, count, is_whole)
        assert scrape(market.client)["lightyard_ledger_differences",] == shown


@pytest.mark.parametrize(("setting", "figure"), [("database_url", "database_up"), ("redis_url", "cache_up")])
def test_what_is_away_is_shown_as_down_not_as_zero(settings, setting: str, figure: str) -> None:
    scheme = "postgresql://x@" if setting == "database_url" else "redis://"
    app = create_app(replace(settings, **{setting: f"{scheme}127.0.0.1:9/0"}))
    found = scrape(app.test_client())
    assert found[f"lightyard_{figure}",] == 0
    assert not any(name[0] == "lightyard_nodes" for name in found) or setting == "redis_url"
    app.extensions["lightyard"].database.engine.dispose()


def test_every_figure_is_named_once() -> None:
    assert set(figures.QUERIES) <= set(metrics.NAMES)
    assert {name: labels for name, (_, labels) in figures.QUERIES.items() if labels} == metrics.LABELS
