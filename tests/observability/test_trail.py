"""Ids go along: with durable messages, over the broker, and from a node to its own hub and to nobody else."""

import base64
import json
import threading
from pathlib import Path
from typing import Any

import httpx
import redis

from app import outbox, trail
from app.adapters.publisher import Publisher
from app.config import Settings
from app.db import Database
from app.values import attempt_steps
from app.wiring import make_celery
from gpu_node import trail as of_node
from gpu_node.attempts import Attempt, Job
from gpu_node.client import HubClient
from gpu_node.session import Limits

TRACE = "00-" + "a" * 32 + "-" + "b" * 16 + "-01"
ATTEMPT = "5c32adbc-6023-4686-a842-798b5f3e7b8f"


def test_a_durable_message_that_is_carried_away_late_still_names_the_request_that_ordered_it(database: Database) -> None:
    sent: list[dict[str, Any]] = []
    outbox.connect(lambda kind, key, payload: sent.append(payload))
    try:
        trail.begin(request_id="request-1")
        with database.unit_of_work() as session:
            outbox.write(session, "payments.verify", "key-1")
        trail.begin(task="hub.sweep")  # much later, in another process: the first was lost
        with database.unit_of_work() as session:
            for topic, key, origin in outbox.take_waiting(session, older_than_seconds=0):
                outbox.resend(session, topic, key, origin)
    finally:
        trail.end()
        outbox.connect(None)
    assert [(item["key"], item["origin"]) for item in sent] == [("key-1", {"request_id": "request-1"})] * 2


def test_a_task_carries_the_ids_in_its_headers(redis_url: str) -> None:
    celery, cache = make_celery(Settings(redis_url=redis_url)), redis.Redis.from_url(redis_url)
    publish = Publisher(celery, cache)
    publish("task", "payments.verify", {"key": "key-1", "message_id": "m", "origin": {"request_id": "request-1"}})
    (message,) = [json.loads(item) for item in cache.lrange("hub", 0, -1)]
    assert message["headers"]["request_id"] == "request-1" and message["headers"]["task"] == "hub.payments.verify"
    assert json.loads(base64.b64decode(message["body"]))[0] == ["key-1", "m"]


def test_work_for_an_order_carries_its_id_and_that_of_whoever_asks() -> None:
    trail.begin(request_id="asks-now")
    try:
        with trail.resumed("verify", "ordered-it", None, job_id="job-1"):
            assert trail.bound() == {"request_id": "ordered-it", "via_request_id": "asks-now", "job_id": "job-1"}
        with trail.resumed("verify", None, None):
            assert trail.bound() == {"request_id": "asks-now"}
        trail.note(job_id="job-1", payout_id="1")
        trail.note(job_id="job-2", payout_id="1")
        assert trail.bound() == {"request_id": "asks-now"} and trail.noted() == {"payout_id": "1"}
    finally:
        trail.end()


def attempt_of(request_id: str | None, traceparent: str | None) -> Attempt:
    job = Job("job-1", "render", {}, (), Limits(), None, request_id, traceparent)
    return Attempt(ATTEMPT, 1, "unit-1", job, "frame", 1, 60.0, None)


def test_a_nodes_requests_to_its_hub_name_the_order_and_the_attempt_and_a_file_store_is_told_nothing(tmp_path: Path) -> None:
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:  # in place of a hub and a store, whose words don't matter here
        seen.append(request)
        return httpx.Response(200, json={})

    client = HubClient("http://hub", threading.Event(), httpx.MockTransport(answer))
    (tmp_path / "a").write_bytes(b"x")
    with of_node.at(attempt_of("request-1", TRACE)):
        client.post("/results", {}, {}, 1)
        client.upload({"url": "/files/results/a"}, tmp_path / "a", 1)
        client.upload({"url": "https://bucket.example/a?X-Amz-Signature=1"}, tmp_path / "a", 1)
    client.post("/heartbeat", {}, {}, 1)
    client.close()
    told = [(request.headers.get("X-Request-Id"), request.headers.get("traceparent")) for request in seen]
    own = ("request-1", f"00-{'a' * 32}-{ATTEMPT.replace('-', '')[:16]}-01")
    assert told == [own, own, (None, None), (None, None)]


def test_of_several_attempts_what_they_share_is_said_and_of_an_odd_hub_nothing() -> None:
    with of_node.at(attempt_of("request-1", TRACE), attempt_of("request-2", TRACE)):
        assert of_node.ids()["job_id"] == "job-1" and "request_id" not in of_node.ids()
        assert "X-Request-Id" not in of_node.headers()
    for odd in (None, "", "00-a-b-01", "no trace"):
        with of_node.at(attempt_of(None, odd)):
            assert dict(of_node.headers()) == {} and set(of_node.ids()) == {"job_id", "unit_id", "attempt_id"}


def test_steps_that_are_none_are_passed_over() -> None:
    good = {"name": "render", "ago": 2.5, "seconds": 2}
    odd = [None, 1, {}, {**good, "name": ""}, {**good, "name": "x" * 41}, {**good, "ago": -1}, {**good, "seconds": True},
           {**good, "seconds": float("nan")}, {**good, "ago": 10**7}, {**good, "name": "a\nb"}]
    assert attempt_steps.read([*odd, good]) == (("render", 2.5, 2.0),)
    assert attempt_steps.read([{**good, "seconds": 9}]) == (("render", 2.5, 2.5),) and attempt_steps.read("steps") == ()
    assert len(attempt_steps.read([good] * 100)) == attempt_steps.MOST_STEPS
