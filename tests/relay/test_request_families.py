"""/metrics of two real processes: whichever is asked tells what both have done."""

from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from app.config import Settings
from app.db import Database, make_engine
from tests.factories.dispatching import Dispatcher
from tests.relay.conftest import Api


@pytest.fixture
def environment(environment: dict[str, str], tmp_path: Path) -> dict[str, str]:
    """Both keep their figures in one folder, as the workers of one gunicorn do."""
    folder = tmp_path / "metrics"
    folder.mkdir()
    return {**environment, "PROMETHEUS_MULTIPROC_DIR": str(folder)}


def scrape(api: Api) -> dict[tuple[str, ...], float]:
    answer = api.get("/metrics")
    assert answer.status_code == 200
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(answer.data.decode())
        for sample in family.samples
    }


def test_requests_of_both_are_one_count_and_one_histogram(apis: tuple[Api, Api]) -> None:
    for api, times in zip(apis, (3, 2), strict=True):
        for _ in range(times):
            assert api.get("/stats").status_code == 200
        assert api.get("/nothing/here").status_code == 404
    for api in apis:
        found = scrape(api)
        assert found["http_requests_total", "/stats", "GET", "200"] == 5
        assert found["http_requests_total", "unmatched", "GET", "404"] == 2
        assert found["http_request_duration_seconds_count", "/stats", "GET"] == 5
        assert found["http_request_duration_seconds_sum", "/stats", "GET"] > 0
        name = "http_request_duration_seconds_bucket"
        buckets = {float(key[2]): value for key, value in found.items() if key[:2] == (name, "/stats")}
        assert buckets[float("inf")] == 5 and len(buckets) > 5
        assert [buckets[edge] for edge in sorted(buckets)] == sorted(buckets.values()), "cumulative"


def test_jobs_and_sockets_of_both_are_told_by_either(apis: tuple[Api, Api], database_url: str) -> None:
    database = Database(make_engine(Settings(database_url=database_url)))
    renter = Dispatcher(database)
    node = renter.node("compute")
    renter.dispatch("echo", "3")
    assert renter.complete(renter.claim(node)[0])
    database.engine.dispose()
    with apis[0].connect(), apis[1].connect() as socket:
        socket.send('{"type":"heartbeat"}')
        assert socket.recv(timeout=10)
        expected: Any = {
            ("jobs_dispatched_total", "echo"): 1,
            ("jobs_completed_total", "echo", "completed"): 1,
            ("credits_consumed_total",): 3,
            ("fleet_nodes_total", "HEALTHY"): 1,
            ("active_websocket_connections",): 2,
        }
        for api in apis:
            found = scrape(api)
            assert {key: found[key] for key in expected} == expected
