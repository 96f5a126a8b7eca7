"""Carries doorbells away: rings and tasks over Celery's broker, events over Valkey's pub/sub."""

import json
from typing import Any

import redis
import structlog
from amqp.exceptions import AMQPError
from celery import Celery
from kombu.exceptions import OperationalError

from app.adapters import signals

log = structlog.get_logger()
EVENTS_CHANNEL = "lightyard.events"
RELAY_CHANNEL = "lightyard.relay"
RING_TASK = "gpu_node.ring"


class Publisher:
    """publish(kind, key, payload). A broker that is away, or says no, is logged and never an error: sweeps ring again."""

    def __init__(self, celery: Celery, cache: redis.Redis) -> None:
        self._celery, self._cache = celery, cache

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
            self._celery.send_task(RING_TASK, args=[payload["unit_id"]], queue=key, ignore_result=True, retry=False)
        else:
            args = [payload["key"], payload.get("message_id")]
            self._celery.send_task(f"hub.{key}", args=args, queue="hub", ignore_result=True, retry=False)
