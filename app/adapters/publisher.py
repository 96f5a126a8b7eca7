"""Carries doorbells away: rings and tasks over Celery's broker, events over Valkey's pub/sub."""

import json
from typing import Any

import redis
import structlog
from amqp.exceptions import AMQPError
from celery import Celery
from kombu.exceptions import OperationalError

from app import trail
from app.adapters import signals

log = structlog.get_logger()
EVENTS_CHANNEL = "lightyard.events"
RELAY_CHANNEL = "lightyard.relay"
RING_TASK = "gpu_node.ring"
HUB_QUEUE = "hub"


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
            with trail.span(f"publish {RING_TASK}", "producer", queue=key):
                self._celery.send_task(RING_TASK, args=[payload["unit_id"]], queue=key, ignore_result=True, retry=False)
        else:
            self._order(key, payload)

    def _order(self, topic: str, payload: dict[str, Any]) -> None:
        """A task of the hub's own worker, which goes on under the ids of whoever ordered it."""
        args = [payload["key"], payload.get("message_id")]
        with trail.span(f"publish hub.{topic}", "producer", queue=HUB_QUEUE):
            headers = {**payload.get("origin", {}), **trail.carried()} if trail.tracer() else payload.get("origin", {})
            self._celery.send_task(f"hub.{topic}", args=args, queue=HUB_QUEUE, ignore_result=True, retry=False, headers=headers)
