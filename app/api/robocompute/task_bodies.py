"""Tasks as the dialect shows them, to their owners and to providers."""

from datetime import datetime
from typing import Any

from app.api import moments
from app.core.tasks import TaskView
from app.models.tasks import Task
from app.values import task_states
from app.values.money import Money
from app.values.states import JobState


def shown(view: TaskView) -> dict[str, Any]:
    """As its owner sees it."""
    job, task, attempt = view.job, view.task, view.attempt
    is_taken = view.status != task_states.PENDING and attempt is not None
    return offered(view) | {
        "progress": percent(view),
        "price_per_hour": view.money(task.price_minor) if is_taken else None,
        "cost": view.money(task.billed_minor or 0) if view.is_over else None,
        "billed_seconds": (task.billed_seconds or 0) if view.is_over else None,
        "provider_id": task.provider_id if is_taken else None,
        "resource_id": task.resource_id if is_taken else None,
        "container_id": task.container_id,
        "attempts": view.unit.fence,
        "result_hash": view.unit.result_sha256,
        "exit_code": task.exit_code,
        "error": {"code": job.reason_code, "message": job.error_message or ""} if job.reason_code else None,
        "accepted_at": _written(attempt.started_at if attempt is not None and is_taken else None),
        "started_at": _written(task.running_at),
        "completed_at": _written(job.ended_at),
    }


def offered(view: TaskView) -> dict[str, Any]:
    """As any provider may see it: without its environment, where its owner may have put secrets."""
    job, task = view.job, view.task
    return {
        "task_id": job.id,
        "name": job.name,
        "type": task.type,
        "status": view.status,
        "resource_requirements": requirements(task),
        "docker_image": task.docker_image,
        "command": task.command,
        "network": task.has_network,
        "max_price_per_hour": view.money(task.max_price_minor),
        "currency": job.asset,
        "timeout_seconds": task.timeout_seconds,
        "priority": task.priority,
        "location": task.location,
        "estimated_cost": Money(job.price_minor, job.asset),
        "created_at": moments.written(job.created_at),
    }


def requirements(task: Task) -> dict[str, Any]:
    """As numbers."""
    found: dict[str, Any] = {name: float(getattr(task, name)) for name in ("cpu_cores", "gpu_memory_gb", "ram_gb", "storage_gb")}
    return found | {"gpu_count": task.gpu_count}


def percent(view: TaskView) -> int:
    """How far it is."""
    return task_states.percent(JobState(view.job.state), view.unit.progress)


def _written(moment: datetime | None) -> str | None:
    return None if moment is None else moments.written(moment)
