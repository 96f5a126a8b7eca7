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
from app.adapters.courier import Courier

log = structlog.get_logger()
EVENTS_CHANNEL = "lightyard.events"
TASKS_CHANNEL = "lightyard.tasks"
RELAY_CHANNEL = "lightyard.relay"
RING_TASK = "gpu_node.ring"
HUB_QUEUE = "hub"
# On Valkey and on RabbitMQ alike: a node that is said to be idle and never reads must not fill the memory.
MOST_BELLS, UNHEARD_SECONDS = 1000, 3600


class Publisher:
    """publish(kind, key, payload). A broker that is away, or says no, is logged and never an error: sweeps ring again."""

    def __init__(self, celery: Celery, cache: redis.Redis, courier: Courier | None = None, is_broker: bool = False) -> None:
        """`courier`: who carries messages to a broker that confirms them; without one they are sent at once. `is_broker`: the
        cache is the broker, too."""
        self._celery, self._cache, self._courier, self._is_broker = celery, cache, courier, is_broker

    def __call__(self, kind: str, key: str, payload: dict[str, Any]) -> None:
        try:
            self._send(kind, key, payload)
        except (OperationalError, AMQPError, redis.RedisError, OSError) as error:  # RabbitMQ's refusals come as they are
            log.warning("publisher.away", kind=kind, key=key, error=str(error))

    def _send(self, kind: str, key: str, payload: dict[str, Any]) -> None:
        if kind == "event":
            self._cache.publish(EVENTS_CHANNEL, json.dumps({"type": key, **payload}))
        elif kind == "followed":
            self._cache.publish(TASKS_CHANNEL, json.dumps({"job_id": key}))
        elif kind == "wake":
            self._cache.publish(RELAY_CHANNEL, json.dumps({"type": "wake", "queue": key, **payload}))
        elif kind == "signal":
            signals.give(self._cache, key)
        elif kind == "ring":
            self._ring(key, payload["unit_id"])
        else:
            self._order(f"hub.{key}", [payload["key"], payload.get("message_id")], HUB_QUEUE, payload.get("origin", {}))

    def _ring(self, queue: str, unit_id: str) -> None:
        """Nobody's kind of work may be called as the hub's own queue."""
        if queue == HUB_QUEUE:
            return
        self._order(RING_TASK, [unit_id], queue, {})
        if self._is_broker:
            self._bound(queue)

    def _bound(self, queue: str) -> None:
        """Of a queue of doorbells the newest stay, and of one that is not rung any more none."""
        both = self._cache.pipeline(transaction=False)
        both.ltrim(queue, 0, MOST_BELLS - 1)
        both.expire(queue, UNHEARD_SECONDS)
        both.execute()

    def _order(self, task: str, arguments: list[Any], queue: str, origin: dict[str, str]) -> None:
        """A task, which goes on under the ids of whoever ordered it."""
        with trail.span(f"publish {task}", "producer", queue=queue):
            headers = {**origin, **trail.carried()} if trail.tracer() else origin
            if self._courier is not None:
                self._courier.take(task, arguments, queue, headers)
            else:
                self._celery.send_task(task, args=arguments, queue=queue, ignore_result=True, retry=False, headers=headers)
