"""Cocoon: workers, what they say, and what they did."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from flask_smorest import Blueprint

from app.adapters.cocoon_worker import check_address
from app.api.cocoon import identifiers
from app.api.cocoon.blueprint import ExactBlueprint
from app.api.cocoon.callers import reach
from app.api.cocoon.document import SIGNED_IN
from app.api.cocoon.schemas import workers as schemas
from app.api.context import hub, read_only, unit_of_work
from app.core import cocoon_workers, worker_history
from app.db import Session
from app.greenlets import in_turns
from app.models.workers import CocoonWorker, WorkerState
from app.values import worker_report
from app.values.worker_health import WORDS

READ, WRITE = "workers:read", "workers:write"
THOUSANDTHS, NANO_DIGITS = 1000, 9
blueprint: Blueprint = ExactBlueprint("cocoon_workers", __name__, url_prefix="/api/v1/workers", description="Workers")


@blueprint.get("")
@blueprint.doc(**SIGNED_IN)
@blueprint.arguments(schemas.WorkersQuerySchema, location="query")
@blueprint.response(200, schemas.WorkerSchema(many=True))
def list_workers(query: dict[str, Any]) -> list[dict[str, Any]]:
    """Workers in the order of their ids, each with what it said last."""
    with read_only() as session:
        rows = cocoon_workers.long_page(session, reach(session, READ).among, **query)
    return [_shown(*row) for row in in_turns(rows)]


@blueprint.post("")
@blueprint.doc(**SIGNED_IN)
@blueprint.arguments(schemas.NewWorkerSchema)
@blueprint.response(201, schemas.WorkerSchema)
@blueprint.alt_response(404, "NOT_FOUND")
def create(body: dict[str, Any]) -> dict[str, Any]:
    """Register a worker; it is polled from now on."""
    body.setdefault("stats_port", schemas.BASE_PORT + schemas.PORT_STEP * body["instance_number"])
    with unit_of_work() as session:
        among = reach(session, WRITE).among
        check_address(body["host"], body["stats_port"], hub().settings.allow_private_endpoints)
        return _shown(*cocoon_workers.get(session, cocoon_workers.create(session, _columns(body), among)))


@blueprint.get("/<worker_id>")
@blueprint.doc(**SIGNED_IN)
@blueprint.response(200, schemas.WorkerSchema)
@blueprint.alt_response(404, "NOT_FOUND")
@blueprint.alt_response(422, "UNPROCESSABLE_ENTITY")
def show(worker_id: str) -> dict[str, Any]:
    """One worker."""
    with read_only() as session:
        return _shown(*_visible(session, worker_id, READ))


@blueprint.patch("/<worker_id>")
@blueprint.doc(**SIGNED_IN)
@blueprint.arguments(schemas.ChangedWorkerSchema)
@blueprint.response(200, schemas.WorkerSchema)
@blueprint.alt_response(404, "NOT_FOUND")
def change(body: dict[str, Any], worker_id: str) -> dict[str, Any]:
    """Change what is sent; a switch or a price is passed on to the worker, again and again until it says so itself."""
    with unit_of_work() as session:
        among = reach(session, WRITE).among
        wanted = identifiers.read(worker_id, "worker_id")
        cocoon_workers.change(session, wanted, _columns(body), among)
        return _shown(*cocoon_workers.get(session, wanted, among))


@blueprint.get("/<worker_id>/metrics")
@blueprint.doc(**SIGNED_IN)
@blueprint.arguments(schemas.MetricsQuerySchema, location="query")
@blueprint.response(200, schemas.WorkerMetricsSchema)
@blueprint.alt_response(404, "NOT_FOUND")
def metrics(query: dict[str, Any], worker_id: str) -> dict[str, Any]:
    """What a worker did in the last hours, the oldest first."""
    with read_only() as session:
        worker, _ = _visible(session, worker_id, READ)
        seconds, rows = worker_history.read(session, worker.id, query["hours"])
    return {
        "worker_id": worker.id,
        "worker_name": worker.worker_name,
        "period_hours": query["hours"],
        "step_seconds": seconds,
        "metrics_count": len(rows),
        "metrics": [_metric(row) for row in in_turns(rows)],
    }


@blueprint.get("/<worker_id>/stats")
@blueprint.doc(**SIGNED_IN)
@blueprint.response(200, schemas.WorkerStatsSchema)
@blueprint.alt_response(404, "NOT_FOUND")
@blueprint.alt_response(422, "UNPROCESSABLE_ENTITY")
def stats(worker_id: str) -> dict[str, Any]:
    """A worker's last 24 hours added up."""
    with read_only() as session:
        worker, _ = _visible(session, worker_id, READ)
        day = worker_history.last_day(session, worker.id)
    if day is None:
        return {"worker_id": worker.id, "message": "No metrics available"}
    return {
        "worker_id": worker.id,
        "worker_name": worker.worker_name,
        "period_hours": 24,
        "total_revenue_ton": _ton(day.revenue_nano),
        "avg_gpu_utilization": _share(day.gpu_utilization, day.gpu_samples),
        "total_inference_requests": int(day.requests),
        "failed_inference_requests": int(day.failed),
        "avg_inference_latency_ms": _share(day.time_seconds * 1000, int(day.success + day.failed)),
        "uptime_percentage": _share(100.0 * int(day.answered), day.samples),
    }


def _visible(session: Session, worker_id: str, scope: str) -> tuple[CocoonWorker, WorkerState]:
    among = reach(session, scope).among
    return cocoon_workers.get(session, identifiers.read(worker_id, "worker_id"), among)


def _columns(body: Mapping[str, Any]) -> dict[str, Any]:
    """The body as columns: a price is kept in thousandths, as the worker does."""
    columns = {name: value for name, value in body.items() if name != "price_coefficient"}
    if "price_coefficient" in body:
        columns["coefficient"] = int(body["price_coefficient"] * THOUSANDTHS)
    return columns


def _ton(nano: int | None) -> Decimal | None:
    return None if nano is None else Decimal(int(nano)).scaleb(-NANO_DIGITS)


def _share(amount: float | None, of: int) -> float | None:
    """A mean, two digits after the point; None of nothing."""
    return None if amount is None or not of else round(float(amount) / int(of), 2)


def _shown(worker: CocoonWorker, state: WorkerState) -> dict[str, Any]:
    price = worker.coefficient if worker.coefficient is not None else state.said_coefficient
    is_priced = worker.coefficient in (None, state.said_coefficient)
    return {
        "id": worker.id,
        "participant_id": worker.participant_id,
        "worker_name": worker.worker_name,
        "instance_number": worker.instance_number,
        "host": worker.host,
        "stats_port": worker.stats_port,
        "cid": worker.cid,
        "is_active": worker.is_active,
        "price_coefficient": Decimal(THOUSANDTHS if price is None else price).scaleb(-3),
        "latest_status": state.status,
        "status_reasons": state.reasons,
        "latest_gpu_utilization": worker_report.mean(state.gpus, "utilization"),
        "latest_revenue_ton": _ton(state.revenue_nano),
        "last_seen": state.seen_at,
        "last_metric_time": state.polled_at,
        "is_change_pending": not (is_priced and state.told_active == worker.is_active),
        "created_at": worker.created_at,
        "updated_at": worker.updated_at,
    }


def _metric(row: Any) -> dict[str, Any]:
    return {
        "timestamp": row.at,
        "status": WORDS[row.level],
        "uptime_percentage": _share(100.0 * row.answered, row.samples),
        "gpu_utilization": _share(row.gpu_utilization, row.gpu_samples),
        "gpu_memory_used_gb": _share(row.gpu_memory_gb, row.gpu_samples),
        "gpu_temperature": row.gpu_celsius,
        "gpu_power_watts": _share(row.gpu_watts, row.gpu_samples),
        "inference_requests": row.requests,
        "inference_requests_failed": row.failed,
        "inference_requests_total": row.total_requests,
        "avg_inference_latency_ms": _share(row.time_seconds * 1000, row.success + row.failed),
        "revenue_earned_ton": _ton(row.revenue_nano),
        "revenue_ton": _ton(row.total_revenue_nano),
    }
