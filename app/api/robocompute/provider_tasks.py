"""Tasks, for providers' own software: what waits, and everything from taking one to its end."""

import uuid
from typing import Any

from flask_smorest import Blueprint

from app.adapters.storage.port import URL_MOST_SECONDS
from app.api.context import hub, read_only, unit_of_work
from app.api.dialect import BadRequestParser
from app.api.idempotency import PARAMETER, idempotent
from app.api.robocompute import callers, funds
from app.api.robocompute.document import SIGNED_IN
from app.api.robocompute.schemas import tasks as schemas
from app.api.robocompute.task_bodies import offered, percent, requirements, shown
from app.core import presence, task_assignments, task_logs, tasks
from app.core.task_assignments import Terms
from app.core.task_logs import Line
from app.core.tasks import TaskView
from app.errors import Conflict, NotFound
from app.flows import task_results
from app.values import clock, task_figures

blueprint = Blueprint(
    "robocompute_provider_tasks", __name__, url_prefix="/api/v1/providers/<provider_id>/tasks", description="Providers' tasks"
)
blueprint.ARGUMENTS_PARSER = BadRequestParser()


def terms() -> Terms:
    """How this hub lets providers' software hold tasks."""
    settings = hub().settings
    return Terms(settings.task_lease_seconds, (settings.max_failures, settings.max_attempts), hub().stake_rules.minimums)


@blueprint.get("/available")
@blueprint.doc(**SIGNED_IN)
@blueprint.arguments(schemas.AvailableQuerySchema, location="query")
@blueprint.response(200, schemas.AvailableSchema)
@blueprint.alt_response(404, "NOT_FOUND")
def list_available(query: dict[str, Any], provider_id: str) -> dict[str, Any]:
    """Tasks that wait, the most urgent first. Asking is a sign of life: what runs in this provider's software stays there."""
    with unit_of_work() as session:
        provider = callers.provider(session, provider_id, "tasks:read").provider
        task_assignments.keep(session, provider.id, terms())
        settings = hub().settings
        waits = (settings.reputation_head_start_seconds, settings.node_unhealthy_seconds)
        found = tasks.available(session, provider.id, query["limit"], *waits)
        presence.note_alive(session, provider.id)
        return {"tasks": [offered(view) for view in found]}


@blueprint.get("")
@blueprint.doc(**SIGNED_IN)
@blueprint.arguments(schemas.TasksQuerySchema, location="query")
@blueprint.response(200, schemas.TasksSchema)
@blueprint.alt_response(404, "NOT_FOUND")
def list_tasks(query: dict[str, Any], provider_id: str) -> dict[str, Any]:
    """What this provider has, or had last, in its software or on its nodes, the newest first: software that was restarted finds
    what it holds here."""
    with read_only() as session:
        provider = callers.provider(session, provider_id, "tasks:read").provider
        found, total = tasks.page_of_provider(session, provider.id, query["status"], query["limit"], query["offset"])
        return {"tasks": [shown(view) for view in found], "total": total, "limit": query["limit"], "offset": query["offset"]}


@blueprint.post("/accept")
@idempotent
@blueprint.doc(**SIGNED_IN, parameters=[PARAMETER])
@blueprint.arguments(schemas.AcceptSchema)
@blueprint.response(200, schemas.AssignmentSchema)
@blueprint.alt_response(404, "NOT_FOUND")
@blueprint.alt_response(409, "CONFLICT")
def accept(body: dict[str, Any], provider_id: str) -> dict[str, Any]:
    """Take a task: the first who does has it. It costs from its start on."""
    with unit_of_work() as session:
        provider = callers.provider(session, provider_id, "tasks:write").provider
        wanted = tasks.read_id(body["task_id"])
        with funds.told_in(tasks.get(session, wanted).job.asset):
            view = task_assignments.accept(session, provider, wanted, _resource_id(body["resource_id"]), terms())
        presence.note_alive(session, provider.id)
        return _assigned(view)


def _resource_id(text: str | None) -> uuid.UUID | None:
    try:
        return None if text is None else uuid.UUID(text)
    except ValueError:
        details = {"resource_id": text}
        raise NotFound(f"this provider has no resource {text}", code="RESOURCE_NOT_FOUND", details=details) from None


@blueprint.post("/<task_id>/start")
@blueprint.doc(**SIGNED_IN)
@blueprint.arguments(schemas.StartSchema)
@blueprint.response(200, schemas.AssignmentSchema)
@blueprint.alt_response(404, "NOT_FOUND")
@blueprint.alt_response(409, "CONFLICT")
def start(body: dict[str, Any], provider_id: str, task_id: str) -> dict[str, Any]:
    """The container runs."""
    with unit_of_work() as session:
        provider, wanted = callers.provider(session, provider_id, "tasks:write").provider, tasks.read_id(task_id)
        usage = body["resource_usage"]
        return _assigned(task_assignments.start(session, provider, wanted, body["container_id"], usage, terms()))


@blueprint.patch("/<task_id>/progress")
@idempotent
@blueprint.doc(**SIGNED_IN, parameters=[PARAMETER])
@blueprint.arguments(schemas.ProgressSchema)
@blueprint.response(200, schemas.ProgressedSchema)
@blueprint.alt_response(404, "NOT_FOUND")
@blueprint.alt_response(409, "CONFLICT")
def report(body: dict[str, Any], provider_id: str, task_id: str) -> dict[str, Any]:
    """How far it is, which also keeps it; what its container uses and writes goes to the task's metrics and log."""
    figures = task_figures.read(body["metrics"])
    lines = [Line(item["message"], item["level"], item["timestamp"], item["number"]) for item in body["logs"]]
    with unit_of_work() as session:
        provider = callers.provider(session, provider_id, "tasks:write").provider
        view = task_assignments.report(session, provider, tasks.read_id(task_id), body["progress"] / 100, terms())
        presence.note_alive(session, provider.id)
        if view.attempt is not None and lines:
            task_logs.append(session, view.job.id, view.attempt.id, lines, hub().log_limits)
        if figures:
            task_logs.note_metrics(session, view.job.id, figures)
        return {"task_id": view.job.id, "status": view.status, "progress": percent(view)}


@blueprint.post("/<task_id>/complete")
@idempotent
@blueprint.doc(**SIGNED_IN, parameters=[PARAMETER])
@blueprint.arguments(schemas.CompleteSchema)
@blueprint.response(200, schemas.CompletedSchema)
@blueprint.alt_response(400, "BAD_REQUEST")
@blueprint.alt_response(404, "NOT_FOUND")
@blueprint.alt_response(409, "CONFLICT")
def complete(body: dict[str, Any], provider_id: str, task_id: str) -> dict[str, Any]:
    """The result is uploaded: it is held against its hash, then the task is paid. A wrong hash loses nothing: upload again."""
    with read_only() as session:
        provider = callers.provider(session, provider_id, "tasks:write").provider
    said = task_results.Delivery(body["result_hash"], body["result_storage_url"], body["execution_time_seconds"])
    view = task_results.deliver(hub().database, hub().store, provider.id, tasks.read_id(task_id), said, hub().result_rules)
    hold = view.hold
    return {
        "task_id": view.job.id,
        "status": view.status,
        "earnings": view.money(hold.earned_minor if hold else 0),
        "platform_fee": view.money(hold.fee_minor if hold else 0),
        "currency": view.job.asset,
        "billed_seconds": view.task.billed_seconds,
        "result_hash": view.unit.result_sha256,
    }


@blueprint.post("/<task_id>/fail")
@idempotent
@blueprint.doc(**SIGNED_IN, parameters=[PARAMETER])
@blueprint.arguments(schemas.FailSchema)
@blueprint.response(200, schemas.FailedSchema)
@blueprint.alt_response(404, "NOT_FOUND")
@blueprint.alt_response(409, "CONFLICT")
def fail(body: dict[str, Any], provider_id: str, task_id: str) -> dict[str, Any]:
    """It can't be done here: it waits for others again, a few times at most. With `exit_code` its container has ended by itself,
    or at its own limit of memory or disk: the task is over, `failed`, and its seconds since `start` are paid."""
    with unit_of_work() as session:
        provider = callers.provider(session, provider_id, "tasks:write").provider
        code, message = body["error_code"], body["error_message"]
        view = task_assignments.fail(
            session, provider, tasks.read_id(task_id), code, message, terms(), body["exit_code"]
        )
        last = [Line(line, "ERROR") for line in body["logs"].splitlines()]
        if view.attempt is not None and last:
            task_logs.append(session, view.job.id, view.attempt.id, last, hub().log_limits)
        return {"task_id": view.job.id, "status": view.status}


def _assigned(view: TaskView) -> dict[str, Any]:
    """All that a provider's software needs, for a task that it has."""
    task, attempt = view.task, view.attempt
    if attempt is None:
        raise Conflict("this task was given back", code="TASK_NOT_HELD", details={"task_id": str(view.job.id)})
    settings = hub().settings
    seconds = min(task.timeout_seconds + settings.file_url_seconds, URL_MOST_SECONDS)
    most = settings.max_task_result_bytes
    url = hub().store.signed_url("PUT", attempt.upload_key, seconds, now=clock.now(), max_bytes=most)
    return {
        "task_id": view.job.id,
        "status": view.status,
        "upload_url": url,
        "result_storage_url": task_results.plain(url),
        "price_per_hour": view.money(task.price_minor),
        "currency": view.job.asset,
        "lease_seconds": settings.task_lease_seconds,
        "resource_id": task.resource_id,
        "docker_image": task.docker_image,
        "command": task.command,
        "environment": task.environment,
        "network": task.has_network,
        "resource_requirements": requirements(task),
        "timeout_seconds": task.timeout_seconds,
    }
