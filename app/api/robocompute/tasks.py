"""Tasks, for those who order them."""

from typing import Any

from flask_smorest import Blueprint

from app.api import security
from app.api.context import hub, read_only, unit_of_work
from app.api.dialect import BadRequestParser
from app.api.idempotency import PARAMETER, idempotent, order_id
from app.api.robocompute import funds
from app.api.robocompute.document import SIGNED_IN
from app.api.robocompute.schemas import tasks as schemas
from app.api.robocompute.task_bodies import shown
from app.core import task_orders, tasks
from app.core.task_orders import TaskChange, TaskOrder
from app.core.tasks import TaskView
from app.errors import Conflict
from app.values import clock, task_resources, task_states
from app.values.money import UP, from_decimal

blueprint = Blueprint("robocompute_tasks", __name__, url_prefix="/api/v1/tasks", description="Tasks")
blueprint.ARGUMENTS_PARSER = BadRequestParser()


@blueprint.post("")
@idempotent
@blueprint.doc(**SIGNED_IN, parameters=[PARAMETER])
@blueprint.arguments(schemas.TaskOrderSchema)
@blueprint.response(201, schemas.NewTaskSchema)
@blueprint.alt_response(402, "PAYMENT_REQUIRED")
def create(body: dict[str, Any]) -> dict[str, Any]:
    """Order a task: the most that it can cost is set aside, `max_price_per_hour` for `timeout_seconds`."""
    resources = task_resources.read(body["type"], body["resource_requirements"])
    with unit_of_work() as session:
        caller = security.caller(session, "tasks:write")
        order = TaskOrder(
            account_id=caller.account_id,
            name=body["name"],
            type=body["type"],
            docker_image=body["docker_image"],
            command=body["command"],
            resources=resources,
            max_price=from_decimal(body["max_price_per_hour"], body["currency"], UP),
            timeout_seconds=body["timeout_seconds"],
            priority=body["priority"],
            location=body["location"],
            environment=body["environment"],
            has_network=body["network"],
            order_id=order_id(),
        )
        with funds.told_in(body["currency"]):
            view = task_orders.create(session, order)
        return shown(view) | {"warnings": task_orders.warnings_of(session, view)}


@blueprint.get("")
@blueprint.doc(**SIGNED_IN)
@blueprint.arguments(schemas.TasksQuerySchema, location="query")
@blueprint.response(200, schemas.TasksSchema)
def list_tasks(query: dict[str, Any]) -> dict[str, Any]:
    """One's own tasks, the newest first."""
    with read_only() as session:
        caller = security.caller(session, "tasks:read")
        found, total = tasks.page(session, caller.account_id, query["status"], query["limit"], query["offset"])
        return {"tasks": [shown(view) for view in found], "total": total, "limit": query["limit"], "offset": query["offset"]}


@blueprint.get("/<task_id>")
@blueprint.doc(**SIGNED_IN)
@blueprint.response(200, schemas.TaskSchema)
@blueprint.alt_response(404, "NOT_FOUND")
def show(task_id: str) -> dict[str, Any]:
    """One task."""
    with read_only() as session:
        caller = security.caller(session, "tasks:read")
        return shown(tasks.get_own(session, caller.account_id, tasks.read_id(task_id)))


@blueprint.patch("/<task_id>")
@blueprint.doc(**SIGNED_IN)
@blueprint.arguments(schemas.TaskChangeSchema)
@blueprint.response(200, schemas.TaskSchema)
@blueprint.alt_response(402, "PAYMENT_REQUIRED")
@blueprint.alt_response(404, "NOT_FOUND")
@blueprint.alt_response(409, "CONFLICT")
def change(body: dict[str, Any], task_id: str) -> dict[str, Any]:
    """Offer another price, or move it in the queue. What somebody has taken may only be offered more, for whoever has it next."""
    with unit_of_work() as session:
        caller = security.caller(session, "tasks:write")
        view = tasks.get_own(session, caller.account_id, tasks.read_id(task_id))
        price = body.get("max_price_per_hour")
        minor = None if price is None else from_decimal(price, view.job.asset, UP).minor
        wanted = TaskChange(body.get("name"), minor, body.get("priority"))
        with funds.told_in(view.job.asset):
            return shown(task_orders.change(session, caller.account_id, view.job.id, wanted))


@blueprint.delete("/<task_id>")
@blueprint.doc(**SIGNED_IN)
@blueprint.response(200, schemas.TaskSchema)
@blueprint.alt_response(404, "NOT_FOUND")
@blueprint.alt_response(409, "CONFLICT")
def cancel(task_id: str) -> dict[str, Any]:
    """Call a task off, at any time: the seconds that it ran are paid for, the rest comes back."""
    with unit_of_work() as session:
        caller = security.caller(session, "tasks:write")
        return shown(task_orders.cancel(session, caller.account_id, tasks.read_id(task_id)))


@blueprint.get("/<task_id>/results")
@blueprint.doc(**SIGNED_IN)
@blueprint.response(200, schemas.ResultsSchema)
@blueprint.alt_response(404, "NOT_FOUND")
@blueprint.alt_response(409, "CONFLICT")
def results(task_id: str) -> dict[str, Any]:
    """Where to download what a completed task has made, and the hash of it."""
    with read_only() as session:
        caller = security.caller(session, "tasks:read")
        view = tasks.get_own(session, caller.account_id, tasks.read_id(task_id))
    seconds, unit = hub().settings.file_url_seconds, view.unit
    url = hub().store.signed_url("GET", _result_key(view), seconds, now=clock.now())
    return {
        "task_id": view.job.id,
        "status": view.status,
        "result_url": url,
        "result_hash": unit.result_sha256,
        "size_bytes": unit.result_bytes,
        "expires_in": seconds,
        "exit_code": view.task.exit_code,
    }


def _result_key(view: TaskView) -> str:
    if view.status != task_states.COMPLETED or view.unit.result_key is None:
        details = {"task_id": str(view.job.id), "status": view.status}
        raise Conflict(f"this task has no results: it is {view.status}", code="TASK_NOT_COMPLETED", details=details)
    return view.unit.result_key
