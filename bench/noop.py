"""The baseline of the throughput figures: a Celery task that does nothing, on the same Valkey."""

import os

import redis
from celery import Celery

MARK = "bench:done"

app = Celery("noop", broker=os.environ["BROKER_URL"])
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
    redis.Redis.from_url(os.environ["BROKER_URL"]).rpush(MARK, "done")
