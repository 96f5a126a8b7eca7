"""Doorbells on Valkey: a queue that nobody reads stays small, and goes."""

import json

import pytest

from app.adapters import publisher
from app.adapters.publisher import Publisher
from app.config import Settings
from app.wiring import connect_cache, make_celery


def test_of_a_queue_that_nobody_reads_the_newest_bells_stay(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publisher, "MOST_BELLS", 3)
    cache = connect_cache(redis_url)
    publish = Publisher(make_celery(Settings(redis_url=redis_url)), cache, is_broker=True)
    for number in range(5):
        publish("ring", "render.nobody", {"unit_id": f"unit {number}"})
    kept = [json.loads(bell)["headers"]["argsrepr"] for bell in cache.lrange("render.nobody", 0, -1)]
    assert kept == ["['unit 4']", "['unit 3']", "['unit 2']"]
    assert 0 < cache.ttl("render.nobody") <= publisher.UNHEARD_SECONDS
    cache.delete("render.nobody")


def test_the_hubs_own_tasks_are_never_cut(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publisher, "MOST_BELLS", 3)
    cache = connect_cache(redis_url)
    cache.delete("hub")
    publish = Publisher(make_celery(Settings(redis_url=redis_url)), cache, is_broker=True)
    for number in range(5):
        publish("task", "pay", {"key": str(number)})
        publish("ring", "hub", {"unit_id": "of a kind of work that somebody calls so"})
    assert (cache.llen("hub"), cache.ttl("hub")) == (5, -1)
    cache.delete("hub")
