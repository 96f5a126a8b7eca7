"""Bodies of /api/v1/workers."""

from decimal import Decimal
from typing import Any

from marshmallow import Schema, fields, validate

from app import greenlets
from app.api.cocoon.schemas.loose import Loose, PageSchema
from app.api.cocoon.schemas.numbers import DecimalNumber, Number
from app.api.cocoon.schemas.texts import Moment, row_id
from app.core.worker_history import STEPS_UP_TO_HOURS
from app.values.worker_health import LEVELS

NAME_LIMIT_CHARS, INSTANCE_MOST, HOURS_MOST = 200, 100_000, 8784
BASE_PORT, PORT_STEP = 12_000, 10


def _coefficient() -> DecimalNumber:
    """A price of a thousandth at least, as the worker itself keeps it."""
    metadata = {"example": 1.2, "description": "1.0 is 1000 in the worker"}
    return DecimalNumber(places=3, least=Decimal("0.001"), most=Decimal(1000), metadata=metadata)


def _name(required: bool = False) -> fields.String:
    return fields.String(
        required=required, validate=validate.Length(1, NAME_LIMIT_CHARS), metadata={"example": "Worker-0"}
    )


def _status(text: str) -> fields.String:
    one_of = validate.OneOf(tuple(LEVELS))
    return fields.String(required=True, allow_none=True, validate=one_of, metadata={"description": text})


class NewWorkerSchema(Loose):
    participant_id = row_id(required=True)
    worker_name = _name(required=True)
    instance_number = fields.Integer(strict=True, load_default=0, validate=validate.Range(0, INSTANCE_MOST))
    host = fields.String(load_default="localhost", validate=validate.Length(1, 253), metadata={"example": "worker.example.org"})
    stats_port = fields.Integer(
        strict=True,
        validate=validate.Range(1, 65_535),
        metadata={"example": BASE_PORT, "description": f"{BASE_PORT} + {PORT_STEP} × instance_number where it is not said"},
    )
    cid = fields.String(load_default=None, allow_none=True, validate=validate.Length(1, NAME_LIMIT_CHARS))
    is_active = fields.Boolean(load_default=True)
    price_coefficient = _coefficient()


class ChangedWorkerSchema(Loose):
    worker_name = _name()
    is_active = fields.Boolean(metadata={"description": "passed on to the worker, until it says so itself"})
    price_coefficient = _coefficient()


class WorkersQuerySchema(PageSchema):
    limit = fields.Integer(load_default=1000, validate=validate.Range(1, 10_000))
    participant_id = fields.Integer(load_default=None, validate=validate.Range(1, 2**31 - 1))
    is_active = fields.Boolean(load_default=None)


class WorkerSchema(Schema):
    id = fields.Integer(required=True)
    participant_id = fields.Integer(required=True)
    worker_name = fields.String(required=True)
    instance_number = fields.Integer(required=True)
    host = fields.String(required=True)
    stats_port = fields.Integer(required=True)
    cid = fields.String(required=True, allow_none=True)
    is_active = fields.Boolean(required=True)
    price_coefficient = Number(required=True)
    latest_status = _status("by its last answer")
    status_reasons = fields.List(fields.String(), required=True)
    latest_gpu_utilization = Number(required=True, allow_none=True)
    latest_revenue_ton = Number(required=True, allow_none=True)
    last_seen = Moment(required=True, allow_none=True, metadata={"description": "its last answer"})
    last_metric_time = Moment(required=True, allow_none=True, metadata={"description": "when it was asked last"})
    is_change_pending = fields.Boolean(required=True, metadata={"description": "the worker does not say so itself yet"})
    created_at = Moment(required=True)
    updated_at = Moment(required=True)


class MetricsQuerySchema(Loose):
    hours = fields.Integer(
        load_default=24,
        validate=validate.Range(1, HOURS_MOST),
        metadata={"description": f"one hour as it was polled, up to {STEPS_UP_TO_HOURS} by five minutes, more by the hour"},
    )


class MetricSchema(Schema):
    """A poll, or a stretch of time from `timestamp` on; what nobody knows is null."""

    timestamp = Moment(required=True)
    status = _status("the worst in it")
    uptime_percentage = Number(required=True)
    gpu_utilization = Number(required=True, allow_none=True)
    gpu_memory_used_gb = Number(required=True, allow_none=True)
    gpu_temperature = Number(required=True, allow_none=True, metadata={"description": "the highest in it"})
    gpu_power_watts = Number(required=True, allow_none=True)
    inference_requests = fields.Integer(required=True, metadata={"description": "in it"})
    inference_requests_failed = fields.Integer(required=True, metadata={"description": "in it"})
    inference_requests_total = fields.Integer(required=True, allow_none=True, metadata={"description": "at its end; never falls"})
    avg_inference_latency_ms = Number(required=True, allow_none=True)
    revenue_earned_ton = Number(required=True, metadata={"description": "in it"})
    revenue_ton = Number(required=True, allow_none=True, metadata={"description": "at its end; never falls"})


class Rows(fields.List):
    """A list that may be long: others have their turn while it is written."""

    def _serialize(self, value: Any, attr: str | None, obj: Any, **options: Any) -> list[Any] | None:
        return super()._serialize(None if value is None else greenlets.in_turns(value), attr, obj, **options)


class WorkerMetricsSchema(Schema):
    worker_id = fields.Integer(required=True)
    worker_name = fields.String(required=True)
    period_hours = fields.Integer(required=True)
    step_seconds = fields.Integer(required=True, metadata={"description": "what each stands for; 0: one poll"})
    metrics_count = fields.Integer(required=True)
    metrics = Rows(fields.Nested(MetricSchema), required=True)


class WorkerStatsSchema(Schema):
    """The last 24 hours, or a message that there is nothing of them."""

    worker_id = fields.Integer(required=True)
    worker_name = fields.String()
    period_hours = fields.Integer()
    total_revenue_ton = Number()
    avg_gpu_utilization = Number(allow_none=True)
    total_inference_requests = fields.Integer()
    failed_inference_requests = fields.Integer()
    avg_inference_latency_ms = Number(allow_none=True)
    uptime_percentage = Number(metadata={"description": "the share of polls that it answered"})
    message = fields.String()
