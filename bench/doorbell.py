"""(c) From the doorbell's ring to the claim."""

import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import redis
from sqlalchemy import select
from tqdm import tqdm

from app import outbox
from app.adapters.publisher import Publisher
from app.core import jobs
from app.db import Database
from app.models.jobs import Attempt, Job, WorkUnit
from app.values import clock
from app.wiring import make_celery
from bench import seeding
from bench.painters import painter, wait_for_nodes
from bench.report import Part, Series
from bench.rounds import Options
from bench.stack import BenchError, BenchStack

UNIT_SECONDS = 20.0
NEVER_SECONDS = "3600"  # only a ring may bring a claim
HOW = (
    "A job is paid, its ring goes over Celery and Valkey to the real worker of an idle node (agent, client and claims "
    "of `gpu_node`; only Blender is left out: it hands in a plain picture), which claims over HTTP. From the moment "
    "before the message is sent to the moment that the hub notes in the attempt; one ring after the other, the node "
    "idle in between."
)


def measure(options: Options) -> Part:
    part = Part("c", "Ring → claim", HOW)
    began = clock.now()
    with BenchStack() as stack, painter(stack, "painter", NODE_POLL_SECONDS=NEVER_SECONDS), _ringing(stack) as rung_at:
        scene_id = seeding.store_scene(stack.database, stack.settings())
        wait_for_nodes(stack, 1, began)
        _ring_once(stack.database, scene_id, rung_at)  # the first one connects everything
        rings = options.size(300, 20)
        milliseconds = sorted(
            _ring_once(stack.database, scene_id, rung_at) * 1000
            for _ in tqdm(range(rings), desc="(c) rings", unit="ring", leave=False)
        )
    part.series = [
        Series("p50", "ms", (_quantile(milliseconds, 0.50),), 1),
        Series("p99", "ms", (_quantile(milliseconds, 0.99),), 1),
        Series("slowest", "ms", (milliseconds[-1],), 1),
    ]
    part.notes = [f"{rings} rings; no target is set."]
    return part


def _quantile(ordered: list[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


@contextmanager
def _ringing(stack: BenchStack) -> Iterator[list[float]]:
    """Let this process ring as the hub's processes do; the times of the rings are noted."""
    settings, rung_at = stack.settings(), list[float]()
    publish = Publisher(make_celery(settings), redis.Redis.from_url(settings.redis_url, decode_responses=True))

    def note(kind: str, key: str, payload: dict[str, Any]) -> None:
        if kind == "ring":
            rung_at.append(time.time())
        publish(kind, key, payload)

    before = outbox.connected()
    outbox.connect(note)
    try:
        yield rung_at
    finally:
        outbox.connect(before)


def _ring_once(database: Database, scene_id: uuid.UUID, rung_at: list[float]) -> float:
    """Pay a job of one frame, and wait until it is done: seconds from its ring to its claim."""
    rung_at.clear()
    with database.unit_of_work() as session:
        job = jobs.submit(session, seeding.order(seeding.local_provider(session), scene_id, 1))
        jobs.queue(session, job)
    if not rung_at:
        raise BenchError("nobody was rung")
    deadline = time.monotonic() + UNIT_SECONDS
    claimed = select(Attempt.started_at).join(WorkUnit, WorkUnit.id == Attempt.unit_id).where(WorkUnit.job_id == job.id)
    while True:
        with database.unit_of_work() as session:
            if session.scalar(select(Job.state).where(Job.id == job.id)) == "completed":
                return min(session.scalars(claimed)).timestamp() - rung_at[0]
        if time.monotonic() > deadline:
            raise BenchError(f"a unit was not done {UNIT_SECONDS:g} s after its ring")
        time.sleep(0.01)  # polled, so that nothing else rides on the hub's events
