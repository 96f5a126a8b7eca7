"""What operators see at /metrics while work is under way, and while a part is away."""

import uuid
from collections import Counter
from dataclasses import replace
from datetime import timedelta

import pytest
from prometheus_client.parser import text_string_to_metric_families

from app.core import figures, nodes
from app.factory import create_app
from app.models.nodes import Node
from app.observability import metrics
from app.values import clock
from app.wiring import Hub
from devnet.payer import Payer
from tests.api.conftest import FakeNode, Market
from tests.api.test_paid_render import paid
from tests.factories.dispatching import Dispatcher


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
    assert found["jobs_dispatched_total", "render"] == 1
    assert [found["fleet_nodes_total", status] for status in ("REGISTERED", "HEALTHY", "UNHEALTHY")] == [0, 1, 0]


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
    of_database = {"lightyard_nodes", "fleet_nodes_total", *(f"{total}_total" for total in metrics.TOTALS)}
    shown = {name[0] for name in found} & of_database
    assert shown == (of_database - {"lightyard_nodes"} if setting == "redis_url" else set())
    app.extensions["lightyard"].database.engine.dispose()


def labels(client, family: str) -> set[tuple[str, ...]]:
    """The names of the labels of a family's samples, as a scraper reads them."""
    text = client.get("/metrics").text
    families = {found.name: found for found in text_string_to_metric_families(text)}
    return {tuple(sorted(sample.labels)) for sample in families[family].samples}


def test_every_family_of_rendertrust_has_its_labels(client) -> None:
    assert client.get("/stats").status_code == 200
    expected = {
        "http_requests": {("endpoint", "method", "status_code")},
        "http_request_duration_seconds": {("endpoint", "le", "method"), ("endpoint", "method")},
        "jobs_dispatched": {("job_type",)},
        "jobs_completed": {("job_type", "status")},
        "fleet_nodes_total": {("status",)},
        "credits_consumed": {()},
        "active_websocket_connections": {()},
    }
    assert {family: labels(client, family) for family in expected} == expected


def test_jobs_are_counted_by_priced_types_and_a_new_hub_counts_on(client, hub: Hub, settings) -> None:
    renter = Dispatcher(hub.database)
    node = renter.node("compute", "inference", "of my own", "of another's")
    for kind in ("echo", "inference", "of my own", "of another's"):
        renter.dispatch(kind, "5")
    renter.complete(renter.claim(node, kinds=("inference",))[0])
    again = create_app(settings)  # another process, or the same one after a restart
    for found in (scrape(client), scrape(again.test_client())):
        dispatched = {key[1]: value for key, value in found.items() if key[0] == "jobs_dispatched_total"}
        assert dispatched == {"render": 0, "inference": 1, "cpu_benchmark": 0, "echo": 1, "other": 2}
        completed = {key[1:]: value for key, value in found.items() if key[0] == "jobs_completed_total"}
        assert completed["completed", "inference"] == 1 and sum(completed.values()) == 1 and len(completed) == 15
        assert found["credits_consumed_total",] == 5
    again.extensions["lightyard"].database.engine.dispose()


def test_the_fleet_is_told_in_the_words_of_its_nodes(client, hub: Hub) -> None:
    renter = Dispatcher(hub.database)
    with hub.database.unit_of_work() as session:
        body = {"name": "n", "public_key": "k", "capabilities": ["echo"], "machine": {}, "agent": ""}
        new = nodes.register(session, body, None, False)
    silent, broken, draining, well = (renter.node("compute") for _ in range(4))
    with hub.database.unit_of_work() as session:
        session.get_one(Node, silent).last_heartbeat_at = clock.now() - timedelta(minutes=10)
        session.get_one(Node, broken).unhealthy_until = clock.now() + timedelta(minutes=5)
        session.get_one(Node, draining).is_draining = True
    with hub.database.unit_of_work() as session:
        every = [session.get_one(Node, node_id) for node_id in (new.node_id, silent, broken, draining, well)]
        told = Counter(nodes.status(node, hub.settings.node_unhealthy_seconds) for node in every)
    found = scrape(client)
    assert {key[1]: value for key, value in found.items() if key[0] == "fleet_nodes_total"} == dict(told)
    assert told == {"REGISTERED": 1, "UNHEALTHY": 2, "HEALTHY": 2}


def test_addresses_and_methods_that_clients_make_up_are_one_series_each(client) -> None:
    for number in range(3):
        assert client.get(f"/nothing/{number}").status_code == 404
        assert client.open("/stats", method=f"METHOD{number}").status_code == 405
        assert client.get(f"/providers/{uuid.uuid4()}").status_code == 404
    found = {key[1:]: value for key, value in scrape(client).items() if key[0] == "http_requests_total"}
    assert found == {
        ("404", "GET", "unmatched"): 3,
        ("405", "OTHER", "unmatched"): 3,
        ("/providers/<provider_id>", "404", "GET"): 3,
    }


def test_what_is_refused_for_its_rate_is_a_request_too(settings) -> None:
    app = create_app(replace(settings, rate_limits=True))
    client = app.test_client()
    refused = sum(client.get("/providers").status_code == 429 for _ in range(65))
    found = scrape(client)
    assert refused >= 5 and found["http_requests_total", "/providers", "429", "GET"] == refused
    assert found["http_request_duration_seconds_count", "/providers", "GET"] == 65
    app.extensions["lightyard"].database.engine.dispose()


def test_the_token_guards_the_families_while_the_database_is_away(settings) -> None:
    app = create_app(replace(settings, database_url="postgresql://x@127.0.0.1:9/0", metrics_token="t0ken"))
    client = app.test_client()
    assert client.get("/metrics").status_code == 401
    assert client.get("/metrics", headers={"Authorization": "Bearer wrong"}).status_code == 401
    answer = client.get("/metrics", headers={"Authorization": "Bearer t0ken"})
    assert answer.status_code == 200
    assert 'http_requests_total{endpoint="/metrics",method="GET",status_code="401"} 2.0' in answer.text
    app.extensions["lightyard"].database.engine.dispose()


def test_every_figure_is_named_once() -> None:
    named = {name: metrics.LABELS.get(name, ()) for name in metrics.NAMES}
    named |= {name: labels for name, (_, labels) in metrics.COUNTED.items()}
    asked = {name: labels for name, (_, labels) in (figures.QUERIES | figures.SERVER).items()}
    assert {name: named[name] for name in asked} == asked
    assert set(metrics.LABELS) <= set(metrics.NAMES)
