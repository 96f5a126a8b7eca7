"""The baseline of the throughput figures: a Celery task that does nothing, on the same Valkey.

NOOP_BROKER_URL: the worker's broker.
"""

import os

import redis
from celery import Celery

MARK = "bench:done"

app = Celery("noop", broker=os.environ.get("NOOP_BROKER_URL"), set_as_current=False)  # the hub's own app stays the current one
app.conf.update(
    task_ignore_result=True,
    task_default_queue="bench",
    task_serializer="json",
    accept_content=["json"],
    worker_prefetch_multiplier=4,
    broker_connection_retry_on_startup=True,
)


@app.task(name="bench.noop")
def noop(number: int) -> None:
    """Nothing at all."""


@app.task(name="bench.mark")
def mark() -> None:
    """The last task of a run: tells the waiting side that all before it were handed out."""
    redis.Redis.from_url(app.conf.broker_url).rpush(MARK, "done")
