"""Push paid jobs to providers' own software: POST {endpoint}/render, GET {endpoint}/health (source: Rayment's SDK)."""

import json
import uuid
from datetime import timedelta
from typing import Any, Protocol

import structlog

from app.config import Settings
from app.core import nodes, pushes
from app.core.pushes import HeldJob, PushOrder
from app.db import Database
from app.errors import LightyardError, Unavailable
from app.failpoints import failpoint
from app.values import clock

log = structlog.get_logger()
# Longer than a provider's short outage: losing the lease sends the scene again, and costs one of the job's five attempts.
LEASE_SECONDS = 300
# Software that says it is not rendering has failed, or is delivering right now: it has this long to finish that.
DELIVERY_SECONDS = 60
ASK_AGAIN_SECONDS = 20
HEALTH_SECONDS = 5
SLOWEST_BYTES_PER_SECOND = 256 * 1024
SHORTEST_PUSH_SECONDS, LONGEST_PUSH_SECONDS = 30, 3600


class Outbound(Protocol):
    def post_multipart(self, url: str, files: Any, fields: Any, *, timeout_seconds: float | None = None) -> Any: ...

    def get_json(self, url: str, *, timeout_seconds: float | None = None) -> Any: ...


class Pace(Protocol):
    def begin(self, provider_id: uuid.UUID, job_id: uuid.UUID, seconds: float) -> bool: ...

    def end(self, provider_id: uuid.UUID, job_id: uuid.UUID, is_taken: bool) -> None: ...


def push(
    database: Database, store: Any, outbound: Outbound, pace: Pace, settings: Settings, job_id: uuid.UUID
) -> bool:
    """Hand the job over; False if there is nothing to push, it is not its turn, or the provider did not take it now."""
    with database.unit_of_work() as session:
        alive = nodes.providers_with_means(session, settings.node_unhealthy_seconds)
        order = pushes.describe(session, job_id, alive)
    if order is None or order.endpoint.rstrip("/") == settings.base_url:
        return False
    seconds = push_seconds(order.size_bytes)
    if not pace.begin(order.provider_id, job_id, seconds + HEALTH_SECONDS):
        return False
    is_taken = False
    try:
        is_taken = _send(store, outbound, order, job_id, seconds)
        if is_taken:
            failpoint("push.sent")
            with database.unit_of_work() as session:
                pushes.accept(session, job_id, LEASE_SECONDS)
    finally:
        pace.end(order.provider_id, job_id, is_taken)
    return is_taken


def push_seconds(size_bytes: int) -> float:
    """How long sending a scene may take: a slow line is allowed, one that has stopped is not."""
    return min(LONGEST_PUSH_SECONDS, SHORTEST_PUSH_SECONDS + size_bytes / SLOWEST_BYTES_PER_SECOND)


def _send(store: Any, outbound: Outbound, order: PushOrder, job_id: uuid.UUID, seconds: float) -> bool:
    """Whether the software said that it took the job. No answer is no `yes`: it is asked again, and says if it has it."""
    fields = {"jobId": str(job_id), "settings": json.dumps(order.settings)}
    url = order.endpoint.rstrip("/") + "/render"
    try:
        with store.open(order.storage_key) as file:
            files = {"file": (order.file_name, file, "application/octet-stream")}
            answer = outbound.post_multipart(url, files, fields, timeout_seconds=seconds)
    except LightyardError as error:
        log.info("push.refused", job_id=str(job_id), code=error.code, error=error.message)
        return False
    if not 200 <= answer.status < 300 or _refusal(answer):
        log.info("push.busy", job_id=str(job_id), status=answer.status)
        return False
    return True


def _refusal(answer: Any) -> bool:
    """Whether a 2xx answer says something else than `accepted` in its body."""
    try:
        body = answer.json()
    except Unavailable:
        return False
    return isinstance(body, dict) and ("error" in body or body.get("status", "accepted") != "accepted")


def push_waiting(database: Database, store: Any, outbound: Outbound, pace: Pace, settings: Settings) -> int:
    """Try the paid jobs that wait for providers' software. Returns how many were handed over."""
    with database.unit_of_work() as session:
        alive = nodes.providers_with_means(session, settings.node_unhealthy_seconds)
        waiting = pushes.waiting(session, alive)
    return sum(push(database, store, outbound, pace, settings, job_id) for job_id in waiting)


def check_held(database: Database, outbound: Outbound, settings: Settings) -> int:
    """Ask the software of held jobs whether it still renders, and move their leases. Returns how many were asked.

    Rendering renews the lease. Not rendering leaves a moment for the result to arrive. Software that does not say is given the
    longest time that the frames may take; one that can't be reached keeps what is left of its lease.
    """
    with database.unit_of_work() as session:
        jobs = pushes.held(session, pushes.lease_end(LEASE_SECONDS - ASK_AGAIN_SECONDS))
    for job in jobs:
        state = _health(outbound, job)
        with database.unit_of_work() as session:
            if state == "rendering" or state == "unknown" and _has_time(job, settings):
                pushes.set_lease(session, job.job_id, pushes.lease_end(LEASE_SECONDS), is_alive=state == "rendering")
            elif state == "idle":
                until = min(job.lease_until, pushes.lease_end(DELIVERY_SECONDS))
                pushes.set_lease(session, job.job_id, until, is_alive=False)
    return len(jobs)


def _has_time(job: HeldJob, settings: Settings) -> bool:
    return clock.now() < job.since + timedelta(seconds=settings.unit_max_seconds * job.frames)


def _health(outbound: Outbound, job: HeldJob) -> str:
    """rendering, idle, unknown (it answers, but does not say), or away."""
    try:
        body = outbound.get_json(job.endpoint.rstrip("/") + "/health", timeout_seconds=HEALTH_SECONDS)
    except LightyardError as error:
        return "unknown" if error.code == "ENDPOINT_BAD_ANSWER" else "away"
    found = body.get("isRendering") if isinstance(body, dict) else None
    return "unknown" if not isinstance(found, bool) else "rendering" if found else "idle"
