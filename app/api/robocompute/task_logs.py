"""RoboCompute: what a task's container writes, and what it uses."""

import uuid
from collections.abc import Sequence
from typing import Any

from flask_smorest import Blueprint

from app.api import security
from app.api.context import hub, read_only
from app.api.dialect import BadRequestParser
from app.api.moments import written
from app.api.robocompute.document import SIGNED_IN
from app.api.robocompute.schemas import task_logs as schemas
from app.api.robocompute.streaming import SCOPE, Words
from app.core import task_logs, tasks
from app.core.task_logs import Page
from app.core.tasks import TaskView
from app.models.task_logs import TaskSample
from app.values import task_figures

blueprint: Blueprint = Blueprint("robocompute_task_logs", __name__, url_prefix="/api/v1/tasks", description="Logs of tasks")
blueprint.ARGUMENTS_PARSER = BadRequestParser()


@blueprint.get("/<task_id>/logs")
@blueprint.doc(**SIGNED_IN)
@blueprint.arguments(schemas.LogsQuerySchema, location="query")
@blueprint.response(200, schemas.LogsSchema)
@blueprint.alt_response(404, "NOT_FOUND")
def logs(query: dict[str, Any], task_id: str) -> dict[str, Any]:
    """Lines of a task's log, in their order.

    With `follow=true` the answer waits up to 20 s for a line after `after`; ask again with `after` = `next` until `is_over` and
    no line came. Of a task that was cancelled or timed out, its host may tell last lines for two minutes more. The stream
    (`/tasks/{task_id}/stream`, `"logs": true`) tells each line as it comes.
    """
    job_id = _own(task_id)
    view, page = _read(job_id, query["after"], query["lines"])
    if query["follow"] and not page.lines and not view.is_over:
        hub().task_news.wait(job_id, lambda: _has_news(job_id, page.last), hub().settings.task_follow_seconds)
        view, page = _read(job_id, page.last, query["lines"])
    return {
        "task_id": str(job_id),
        "status": view.status,
        "logs": [Words.line(line) for line in page.lines],
        "next": page.last,
        "skipped": page.skipped,
        "lost": page.lost,
        "is_over": view.is_over,
    }


def _own(task_id: str) -> uuid.UUID:
    """The caller's own task. Asked once, however long the answer waits: a signature is good once."""
    with read_only() as session:
        found = security.caller(session, SCOPE)
        return tasks.get_own(session, found.account_id, tasks.read_id(task_id)).job.id


def _read(job_id: uuid.UUID, after: int | None, most: int) -> tuple[TaskView, Page]:
    """The task before its lines: where it is over, they are all there, but for what comes after an end by the hub."""
    with read_only() as session:
        return tasks.get(session, job_id), task_logs.read(session, job_id, after, most)


def _has_news(job_id: uuid.UUID, after: int) -> bool:
    view, page = _read(job_id, after, 1)
    return bool(page.lines) or view.is_over


@blueprint.get("/<task_id>/metrics")
@blueprint.doc(**SIGNED_IN)
@blueprint.arguments(schemas.MetricsQuerySchema, location="query")
@blueprint.response(200, schemas.TaskMetricsSchema)
@blueprint.alt_response(404, "NOT_FOUND")
def metrics(query: dict[str, Any], task_id: str) -> dict[str, Any]:
    """What a task's container uses: the newest figures, the highest ones, and the samples that they are of."""
    job_id = _own(task_id)
    with read_only() as session:
        view = tasks.get(session, job_id)
        samples = task_logs.samples(session, job_id, query["samples"])
    return {
        "task_id": str(view.job.id),
        "status": view.status,
        "metrics": _figures(samples[-1:]),
        "peak": _figures(samples),
        "sampled_at": written(samples[-1].sampled_at) if samples else None,
        "samples": [{"timestamp": written(sample.sampled_at), **sample.figures} for sample in samples],
    }


def _figures(samples: Sequence[TaskSample]) -> dict[str, float | None]:
    """The highest of each figure, all that are known by name among them."""
    found: dict[str, float | None] = dict.fromkeys(task_figures.KNOWN)
    for sample in samples:
        for name, value in sample.figures.items():
            before = found.get(name)
            found[name] = value if before is None else max(before, value)
    return found
