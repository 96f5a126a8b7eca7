"""Bodies and queries of /providers: the search, a provider as others see it, and as its own software tells and is told."""

import re
from datetime import timedelta
from typing import Any

from marshmallow import ValidationError, fields, validate

from app.api.robocompute.schemas.loose import Amount, Loose, PageSchema
from app.api.robocompute.schemas.resources import CORES_MOST, GPU_GB_MOST, Location, ResourceSchema
from app.api.robocompute.schemas.sizes import Size
from app.core.presence import STATUSES
from app.values.json_text import size_bytes

# What other software calls being there with nothing to do.
SAME_AS_ONLINE = ("active", "available", "idle")
REPORT_LIMIT_BYTES = 4096
PERIOD_MOST = timedelta(days=90)


class ProviderSearchSchema(PageSchema):
    """All that is asked for must be there; a maximum price and a place are a resource's own."""

    gpu_memory_min = Size(GPU_GB_MOST, least=0, metadata={"description": "GB of one GPU"})
    cpu_cores_min = Size(CORES_MOST, least=0)
    max_price = Amount(metadata={"description": "by the hour"})
    location = Location(metadata={"example": "us-east", "description": "what lies within it counts: us-east-1"})


class ReputationSchema(Loose):
    score = fields.Float(
        required=True,
        metadata={"description": "0 to 1: how much of its work is surely good, less for who is new; a newcomer has 0"},
    )
    good = fields.Float(required=True, metadata={"description": "weight of work that went well, old work fading"})
    bad = fields.Float(required=True, metadata={"description": "likewise of failed, late and disputed work"})
    clients = fields.Integer(required=True)
    days = fields.Integer(required=True, metadata={"description": "on which it did good work"})


class ProviderSchema(Loose):
    provider_id = fields.String(required=True)
    name = fields.String(required=True)
    status = fields.String(required=True, validate=validate.OneOf(STATUSES))
    reputation_score = fields.Float(required=True)


class FoundSchema(ProviderSchema):
    """The most that the provider has of what was searched for, within the price and the place."""

    gpu_memory_gb = Size(GPU_GB_MOST, required=True, allow_none=True)
    gpu_count = fields.Integer(required=True)
    cpu_cores = Size(CORES_MOST, required=True, allow_none=True)
    ram_gb = Size(10**6, required=True, allow_none=True)
    price_per_hour = Amount(required=True, allow_none=True, metadata={"description": "its least; null where it has said none"})
    locations = fields.List(fields.String(), required=True)
    resources = fields.Integer(required=True)
    nodes = fields.Integer(required=True, metadata={"description": "GPU nodes of the hub's own protocol, there now"})


class FoundProvidersSchema(Loose):
    providers = fields.List(fields.Nested(FoundSchema), required=True)
    total = fields.Integer(required=True)
    limit = fields.Integer(required=True)
    offset = fields.Integer(required=True)


class ProviderDetailsSchema(ProviderSchema):
    wallet_address = fields.String(required=True)
    registered_at = fields.String(required=True, metadata={"format": "date-time"})
    tasks_completed = fields.Integer(required=True)
    uptime_percentage = fields.Float(required=True, allow_none=True, metadata={"description": "of the last 30 days"})
    reputation = fields.Nested(ReputationSchema, required=True)
    locations = fields.List(fields.String(), required=True)
    resources = fields.List(fields.Nested(ResourceSchema), required=True)


class Report(fields.Raw):
    """A member of a heartbeat in the software's own words."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **_: Any) -> Any:
        if size_bytes(value) > REPORT_LIMIT_BYTES:
            raise ValidationError(f"must be at most {REPORT_LIMIT_BYTES} bytes of JSON")
        return value


class HeartbeatSchema(Loose):
    status = fields.String(load_default="online", validate=validate.OneOf((*STATUSES, *SAME_AS_ONLINE)))
    active_tasks = Report(load_default=None, allow_none=True, metadata={"description": "how many, or their ids"})
    resources_available = Report(load_default=None, allow_none=True, metadata={"description": "in its own words"})


class HeardSchema(Loose):
    provider_id = fields.String(required=True)
    status = fields.String(required=True, validate=validate.OneOf(STATUSES))
    active_tasks = fields.Integer(required=True, metadata={"description": "as the hub has them"})
    next_heartbeat_seconds = fields.Integer(required=True)


class ResourceCountsSchema(Loose):
    available = fields.Integer(required=True)
    busy = fields.Integer(required=True)
    maintenance = fields.Integer(required=True)
    offline = fields.Integer(required=True)


class ReportedSchema(Loose):
    active_tasks = fields.Raw(required=True, allow_none=True)
    resources_available = fields.Raw(required=True, allow_none=True)


class ProviderStatusSchema(Loose):
    provider_id = fields.String(required=True)
    status = fields.String(required=True, validate=validate.OneOf(STATUSES))
    last_heartbeat = fields.String(required=True, allow_none=True, metadata={"format": "date-time"})
    nodes = fields.Integer(required=True)
    active_tasks = fields.Integer(required=True, metadata={"description": "as the hub has them"})
    resources = fields.Nested(ResourceCountsSchema, required=True)
    reported = fields.Nested(ReportedSchema, required=True, metadata={"description": "what the last heartbeat said"})
    reputation = fields.Nested(ReputationSchema, required=True)


class Period(fields.Field[timedelta]):
    """`24h` or `7d`, up to 90 days; read as a timedelta."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **_: Any) -> timedelta:
        found = re.fullmatch(r"([1-9][0-9]{0,3})([hd])", value) if isinstance(value, str) else None
        span = timedelta(hours=int(found[1]) * (24 if found[2] == "d" else 1)) if found else None
        if span is None or span > PERIOD_MOST:
            raise ValidationError('must be a number of hours or days up to 90 days, such as "24h" or "7d"')
        return span


class MetricsQuerySchema(Loose):
    period = Period(load_default=timedelta(days=7), metadata={"type": "string", "default": "7d"})


class EndsSchema(Loose):
    completed = fields.Integer(required=True)
    failed = fields.Integer(required=True)
    timeout = fields.Integer(required=True)
    late = fields.Integer(required=True, metadata={"description": "accepted, and not begun in time"})
    lost = fields.Integer(required=True, metadata={"description": "given back by silence"})
    cancelled = fields.Integer(required=True)
    exited = fields.Integer(required=True, metadata={"description": "a container's own end, with another status than 0"})
    disputed = fields.Integer(required=True)


class DaySchema(Loose):
    date = fields.String(required=True, metadata={"format": "date"})
    completed = fields.Integer(required=True)
    failed = fields.Integer(required=True, metadata={"description": "all that did not end well, but for cancelled and exited"})
    compute_seconds = fields.Integer(required=True)


class ProviderMetricsSchema(Loose):
    provider_id = fields.String(required=True)
    period = fields.String(required=True)
    since = fields.String(required=True, metadata={"format": "date-time"})
    active_tasks = fields.Integer(required=True)
    tasks = fields.Nested(EndsSchema, required=True)
    success_rate = fields.Float(required=True, allow_none=True, metadata={"description": "%; null where nothing ended"})
    compute_seconds = fields.Integer(required=True)
    earned_usdc = Amount(required=True)
    earned_usdt = Amount(required=True)
    uptime_percentage = fields.Float(required=True, allow_none=True, metadata={"description": "as the hub heard it"})
    reputation_score = fields.Float(required=True)
    days = fields.List(fields.Nested(DaySchema), required=True)


def written_period(span: timedelta) -> str:
    """Days where they are whole, else hours."""
    hours = int(span.total_seconds() // 3600)
    return f"{hours // 24}d" if hours % 24 == 0 else f"{hours}h"
