"""Doorbells when the broker does not answer, or says no: nobody's request waits for it or fails with it."""

import socket
import threading

import pytest
import redis
from amqp.exceptions import AccessRefused, PreconditionFailed
from celery import Celery

from app.adapters.publisher import Publisher
from app.config import Settings
from app.wiring import make_celery

LONG_SECONDS = 60


def test_a_broker_that_never_answers_is_given_up(redis_url: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # the kernel takes connections; nobody reads them
        address = f"redis://127.0.0.1:{silent.getsockname()[1]}/0"
        publish = Publisher(make_celery(Settings(broker_url=address)), redis.Redis.from_url(redis_url))
        ringing = threading.Thread(target=publish, args=("ring", "render", {"unit_id": "1"}), daemon=True)
        ringing.start()
        ringing.join(LONG_SECONDS)
        assert not ringing.is_alive(), "the request that rang hangs with it"


@pytest.mark.parametrize("error", [AccessRefused, PreconditionFailed])
def test_a_broker_that_refuses_a_ring_breaks_nobodys_request(redis_url: str, monkeypatch, error: type[Exception]) -> None:
    """What was ordered is committed by then. RabbitMQ's own answers are faked: which of them it gives hangs on its settings."""
    asked = []

    def refuse(*_: object, **options: object) -> None:
        asked.append(options["queue"])
        raise error("no")

    celery = make_celery(Settings(broker_url=redis_url))
    monkeypatch.setattr(Celery, "send_task", refuse)
    publish = Publisher(celery, redis.Redis.from_url(redis_url))
    publish("ring", "render", {"unit_id": "1"})
    publish("task", "payments.verify", {"key": "1"})
    assert asked == ["render", "hub"]
