"""Doorbells when the broker is there and does not answer: nobody's request waits for it."""

import socket
import threading

import redis

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
