"""Push a paid job to its provider's own software: POST {endpoint}/render (source: Rayment's SDK)."""

import json
import uuid
from typing import Any, Protocol

import structlog

from app.config import Settings
from app.core import nodes, pushes
from app.db import Database
from app.errors import LightyardError

log = structlog.get_logger()


class Outbound(Protocol):
    def post_multipart(self, url: str, files: Any, fields: Any) -> Any: ...


def push(database: Database, store: Any, outbound: Outbound, settings: Settings, job_id: uuid.UUID) -> bool:
    """Hand the job over once; False if there is nothing to push or the provider did not take it now."""
    with database.unit_of_work() as session:
        alive = nodes.providers_with_means(session, settings.node_unhealthy_seconds)
        order = pushes.describe(session, job_id, alive)
    if order is None:
        return False
    fields = {"jobId": str(job_id), "settings": json.dumps(order.settings)}
    try:
        with store.open(order.storage_key) as file:
            answer = outbound.post_multipart(
                order.endpoint.rstrip("/") + "/render", {"file": (order.file_name, file, "application/octet-stream")}, fields
            )
    except LightyardError as error:
        log.info("push.refused", job_id=str(job_id), error=error.message)
        return False
    if answer.status >= 300:
        log.info("push.busy", job_id=str(job_id), status=answer.status)
        return False
    with database.unit_of_work() as session:
        pushes.note_pushed(session, job_id)
    return True


def push_waiting(database: Database, store: Any, outbound: Outbound, settings: Settings) -> int:
    """Try every paid job again that no node and no software has taken. Returns how many were handed over."""
    with database.unit_of_work() as session:
        waiting = pushes.waiting(session)
    return sum(push(database, store, outbound, settings, job_id) for job_id in waiting)
