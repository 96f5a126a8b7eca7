"""Rayment's rate limits, counted for all processes in Valkey."""

import socket
import time
from dataclasses import replace
from types import SimpleNamespace

import pytest
import redis
from flask.testing import FlaskClient
from redis.backoff import NoBackoff
from redis.retry import Retry

from app.api import limits
from app.api.limits import neighbourhood, node_limit, rayment_limit, rendertrust_limit, rnp019_limit
from app.factory import create_app
from app.wiring import connect_cache


@pytest.fixture
def processes(settings) -> tuple[FlaskClient, FlaskClient]:
    """Two apps that share nothing but their servers, as two gunicorn workers do."""
    limited = replace(settings, rate_limits=True)
    return create_app(limited).test_client(), create_app(limited).test_client()


@pytest.mark.parametrize(
    ("method", "path", "per_minute"),
    [("POST", "/render", 10), ("GET", "/providers", 60), ("GET", "/health", 120)],
)
def test_the_limit_holds_across_processes_and_answers_in_the_envelope(processes, method, path, per_minute) -> None:
    counted = [processes[number % 2].open(path, method=method).status_code for number in range(per_minute)]
    assert 429 not in counted
    for client in processes:
        answer = client.open(path, method=method)
        assert answer.status_code == 429
        assert answer.json["success"] is False and answer.json["code"] == "RATE_LIMITED"
        assert 1 <= int(answer.headers["Retry-After"]) <= 60


def test_counters_are_per_group_and_per_address(processes) -> None:
    client, other = processes
    for _ in range(11):
        answer = client.post("/render")
    assert answer.status_code == 429
    assert client.get("/render/x").status_code == 404  # GET /render/:id is one of the 120
    assert client.get("/providers").status_code == 200
    other.environ_base["REMOTE_ADDR"] = "10.1.2.3"
    assert other.post("/render").status_code == 400


def test_unknown_and_wrong_paths_count_too(processes) -> None:
    answers = [processes[0].get("/nowhere").status_code for _ in range(121)]
    assert answers[-2:] == [404, 429]


def test_off_means_off(client: FlaskClient) -> None:
    assert {client.post("/render").status_code for _ in range(30)} == {400}


def test_a_counter_that_is_away_stops_nobody(settings, processes) -> None:
    client = create_app(replace(settings, rate_limits=True)).test_client()
    hub = client.application.extensions["lightyard"]
    object.__setattr__(hub, "cache", connect_cache("redis://127.0.0.1:1/0"))
    assert {client.post("/render").status_code for _ in range(12)} == {400}


def test_a_counter_that_does_not_answer_is_waited_for_once(settings, processes, monkeypatch: pytest.MonkeyPatch) -> None:
    client = create_app(replace(settings, rate_limits=True)).test_client()
    hub = client.application.extensions["lightyard"]
    counter = hub.cache
    with socket.create_server(("127.0.0.1", 0)) as silent:
        away = redis.Redis(port=silent.getsockname()[1], socket_timeout=0.05, retry=Retry(NoBackoff(), 0))
        object.__setattr__(hub, "cache", away)
        assert {client.post("/render").status_code for _ in range(12)} == {400}
        silent.accept()[0].close()
        silent.setblocking(False)
        with pytest.raises(BlockingIOError):
            silent.accept()
    object.__setattr__(hub, "cache", counter)
    monkeypatch.setattr(limits, "time", SimpleNamespace(monotonic=lambda: time.monotonic() + limits.AWAY_SECONDS))
    assert [client.post("/render").status_code for _ in range(11)] == [400] * 10 + [429], "and then it counts again"


def test_a_refused_request_is_not_counted_and_the_wait_is_to_the_oldest(processes, redis_url: str) -> None:
    client = processes[0]
    for _ in range(15):
        client.post("/render")
    cache = redis.Redis.from_url(redis_url)
    (key,) = cache.keys("limit:rayment-render:*")
    assert cache.llen(key) == 10
    oldest = int(cache.lindex(key, -1))
    cache.lset(key, -1, oldest - 60_000)  # as if the first had been sent a minute ago
    assert client.post("/render").status_code == 400
    assert client.post("/render").status_code == 429


def test_forwarded_addresses_count_only_from_trusted_proxies(settings) -> None:
    def client(trusted: str) -> FlaskClient:
        return create_app(replace(settings, rate_limits=True, trusted_proxies=trusted)).test_client()

    trusting, plain = client("127.0.0.0/8, 10.0.0.0/8"), client("")
    for number in range(11):
        head = {"X-Forwarded-For": f"6.6.6.6, 198.51.100.{number}, 10.0.0.7"}
        assert trusting.post("/render", headers=head).status_code == 400
    for _ in range(11):
        answer = trusting.post("/render", headers={"X-Forwarded-For": "6.6.6.6, 203.0.113.9"})
    assert answer.status_code == 429
    for number in range(11):
        answer = plain.post("/render", headers={"X-Forwarded-For": f"198.51.100.{number}"})
    assert answer.status_code == 429


def test_the_table_of_limits() -> None:
    assert rayment_limit("POST", "/render").per_minute == 10
    assert {rayment_limit("GET", path).per_minute for path in ("/providers", "/providers/x")} == {60}
    for method, path in (("GET", "/render/x"), ("POST", "/render/pay"), ("GET", "/stats"), ("POST", "/provider/register")):
        assert rayment_limit(method, path).per_minute == 120
    assert node_limit("POST", "/node/v1/nodes") and node_limit("POST", "/node/v1/claims") is None
    orders = [rnp019_limit("POST", path) for path in ("/rnp/v1/jobs", "/rnp/v1/estimates")]
    assert orders[0] == orders[1] and orders[0].per_minute == 1200 and rnp019_limit("GET", "/rnp/v1/jobs") is None
    assert node_limit("POST", "/node/v1/proof") not in (None, node_limit("POST", "/node/v1/nodes"))
    assert rendertrust_limit("POST", "/api/v1/nodes/register") == node_limit("POST", "/node/v1/nodes")
    assert rendertrust_limit("POST", "/api/v1/nodes/heartbeat") is None


def test_one_ipv6_customer_is_one_address() -> None:
    assert neighbourhood("2001:db8::1") == neighbourhood("2001:db8::ffff:2") != neighbourhood("2001:db8:0:1::1")
    assert neighbourhood("::ffff:192.0.2.1") == neighbourhood("192.0.2.1") == "192.0.2.1"
    assert neighbourhood("") == "unknown"
