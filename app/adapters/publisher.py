"""Carries doorbells away: rings and tasks over Celery's broker, events over Valkey's pub/sub."""

import json
from typing import Any

import redis
import structlog
from amqp.exceptions import AMQPError
from celery import Celery
from kombu.exceptions import OperationalError

from app.adapters import signals
from app.adapters.courier import Courier

log = structlog.get_logger()
EVENTS_CHANNEL = "lightyard.events"
RELAY_CHANNEL = "lightyard.relay"
RING_TASK = "gpu_node.ring"
HUB_QUEUE = "hub"


class Publisher:
    """publish(kind, key, payload). A broker that is away, or says no, is logged and never an error: sweeps ring again."""

    def __init__(self, celery: Celery, cache: redis.Redis, courier: Courier | None = None) -> None:
        """`courier`: who carries messages to a broker that confirms them; without one they are sent at once."""
        self._celery, self._cache, self._courier = celery, cache, courier

    def __call__(self, kind: str, key: str, payload: dict[str, Any]) -> None:
        try:
            self._send(kind, key, payload)
        except (OperationalError, AMQPError, redis.RedisError, OSError) as error:  # RabbitMQ's refusals come as they are
            log.warning("publisher.away", kind=kind, key=key, error=str(error))

    def _send(self, kind: str, key: str, payload: dict[str, Any]) -> None:
        if kind == "event":
            self._cache.publish(EVENTS_CHANNEL, json.dumps({"type": key, **payload}))
        elif kind == "wake":
            self._cache.publish(RELAY_CHANNEL, json.dumps({"type": "wake", "queue": key, **payload}))
        elif kind == "signal":
            signals.give(self._cache, key)
        elif kind == "ring":
            self._order(RING_TASK, [payload["unit_id"]], key)
        else:
            self._order(f"hub.{key}", [payload["key"], payload.get("message_id")], HUB_QUEUE)

    def _order(self, task: str, arguments: list[Any], queue: str) -> None:
        if self._courier is not None:
            self._courier.take(task, arguments, queue)
        else:
            self._celery.send_task(task, args=arguments, queue=queue, ignore_result=True, retry=False)
