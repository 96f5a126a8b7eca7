"""Bodies of /api/v1/tasks and of what providers do with tasks."""

from datetime import UTC
from typing import Any

from marshmallow import Schema, ValidationError, fields, validate, validates_schema

from app.api.robocompute.schemas.loose import CURRENCIES, Amount, Loose, PageSchema
from app.api.robocompute.schemas.resources import Location
from app.core.task_orders import PRIORITIES
from app.values.json_text import size_bytes
from app.values.task_resources import TYPES
from app.values.task_states import WORDS

TIMEOUT_MOST_SECONDS = 518_400  # six days: the address that its result goes to is good for seven at most
COMMAND_LIMIT_BYTES = ENVIRONMENT_LIMIT_BYTES = 65_536
REPORT_LIMIT_BYTES = 65_536
IMAGE = r"[A-Za-z0-9][A-Za-z0-9._:/@-]{0,499}\Z"
VARIABLE = r"[A-Za-z_][A-Za-z0-9_.-]{0,127}\Z"


class Limited(validate.Validator):
    """So many bytes of JSON at most."""

    def __init__(self, most: int) -> None:
        self.most = most

    def __call__(self, value: Any) -> Any:
        if size_bytes(value) > self.most:
            raise ValidationError(f"may have at most {self.most} bytes of JSON")
        return value


def _is_price(value: Any) -> None:
    if value <= 0:
        raise ValidationError("must be above 0: nobody works for nothing")


def _priority(**options: Any) -> fields.String:
    return fields.String(validate=validate.OneOf(tuple(PRIORITIES)), **options)


def _price(**options: Any) -> Amount:
    return Amount(validate=_is_price, metadata={"description": "the most that an hour may cost"}, **options)


class RequirementsSchema(Loose):
    """For the OpenAPI file alone: `values.task_resources` reads them, with a code of its own for what cannot be."""

    cpu_cores = fields.Float(metadata={"example": 4})
    gpu_count = fields.Integer(metadata={"description": "1 for type gpu where it is left out"})
    gpu_memory_gb = fields.Float(metadata={"description": "of each GPU", "example": 8})
    ram_gb = fields.Float(metadata={"example": 16})
    storage_gb = fields.Float(metadata={"example": 50})


class TaskOrderSchema(Loose):
    name = fields.String(required=True, validate=validate.Length(1, 200), metadata={"example": "Task Name"})
    type = fields.String(required=True, validate=validate.OneOf(TYPES))
    resource_requirements = fields.Dict(
        keys=fields.String(),
        load_default=dict,
        validate=Limited(REPORT_LIMIT_BYTES),
        metadata={"example": {"cpu_cores": 4, "gpu_memory_gb": 8, "ram_gb": 16, "storage_gb": 50}},
    )
    docker_image = fields.String(
        required=True, validate=validate.Regexp(IMAGE, error="must be an image's name, such as debian:12")
    )
    command = fields.List(
        fields.String(), load_default=list, validate=[validate.Length(max=1024), Limited(COMMAND_LIMIT_BYTES)],
        metadata={"description": "none: the image's own", "example": ["python", "script.py"]},
    )  # fmt: skip
    environment = fields.Dict(
        keys=fields.String(validate=validate.Regexp(VARIABLE)),
        values=fields.String(),
        load_default=dict,
        validate=[validate.Length(max=256), Limited(ENVIRONMENT_LIMIT_BYTES)],
    )
    network = fields.Boolean(load_default=False, metadata={"description": "true: the container may reach the internet"})
    max_price_per_hour = _price(required=True)
    currency = fields.String(load_default=CURRENCIES[0], validate=validate.OneOf(CURRENCIES))
    timeout_seconds = fields.Integer(load_default=3600, strict=True, validate=validate.Range(1, TIMEOUT_MOST_SECONDS))
    priority = _priority(load_default="normal")
    location = Location(load_default=None, allow_none=True, metadata={"example": "us-east"})


class TaskChangeSchema(Loose):
    name = fields.String(validate=validate.Length(1, 200))
    max_price_per_hour = _price()
    priority = _priority()

    @validates_schema
    def says_something(self, data: dict[str, Any], **_: Any) -> None:
        if not data:
            raise ValidationError("say what to change: max_price_per_hour, priority or name")


class TasksQuerySchema(PageSchema):
    status = fields.String(load_default=None, validate=validate.OneOf(WORDS))


class AvailableQuerySchema(Loose):
    limit = fields.Integer(load_default=50, validate=validate.Range(1, 200))


class TaskErrorSchema(Schema):
    code = fields.String(required=True)
    message = fields.String(required=True)


class OfferedTaskSchema(Schema):
    """A task as a provider sees it before it has it."""

    task_id = fields.UUID(required=True)
    name = fields.String(required=True)
    type = fields.String(required=True, validate=validate.OneOf(TYPES))
    status = fields.String(required=True, validate=validate.OneOf(WORDS))
    resource_requirements = fields.Nested(RequirementsSchema, required=True)
    docker_image = fields.String(required=True)
    command = fields.List(fields.String(), required=True)
    network = fields.Boolean(required=True)
    max_price_per_hour = Amount(required=True)
    currency = fields.String(required=True)
    timeout_seconds = fields.Integer(required=True)
    priority = fields.String(required=True)
    location = fields.String(required=True, allow_none=True)
    estimated_cost = Amount(required=True, metadata={"description": "the most that it can cost: it is set aside"})
    created_at = fields.String(required=True, metadata={"format": "date-time"})


class TaskSchema(OfferedTaskSchema):
    progress = fields.Integer(required=True, metadata={"description": "per cent"})
    price_per_hour = Amount(required=True, allow_none=True, metadata={"description": "that it was taken for"})
    cost = Amount(required=True, allow_none=True, metadata={"description": "what it came to, once it is over"})
    billed_seconds = fields.Integer(required=True, allow_none=True)
    provider_id = fields.UUID(required=True, allow_none=True)
    resource_id = fields.UUID(required=True, allow_none=True)
    container_id = fields.String(required=True, allow_none=True)
    attempts = fields.Integer(required=True, metadata={"description": "how often it was taken"})
    result_hash = fields.String(required=True, allow_none=True, metadata={"description": "SHA-256, hex"})
    exit_code = fields.Integer(
        required=True, allow_none=True, metadata={"description": "of its container, once that has ended by itself"}
    )
    error = fields.Nested(TaskErrorSchema, required=True, allow_none=True)
    accepted_at = fields.String(required=True, allow_none=True, metadata={"format": "date-time"})
    started_at = fields.String(required=True, allow_none=True, metadata={"format": "date-time"})
    completed_at = fields.String(required=True, allow_none=True, metadata={"format": "date-time"})


class NewTaskSchema(TaskSchema):
    warnings = fields.List(fields.String(), required=True, metadata={"description": "why it may wait for long"})


class TasksSchema(Schema):
    tasks = fields.List(fields.Nested(TaskSchema), required=True)
    total = fields.Integer(required=True)
    limit = fields.Integer(required=True)
    offset = fields.Integer(required=True)


class ResultsSchema(Schema):
    task_id = fields.UUID(required=True)
    status = fields.String(required=True)
    result_url = fields.String(required=True, metadata={"description": "a signed address"})
    result_hash = fields.String(required=True)
    size_bytes = fields.Integer(required=True)
    expires_in = fields.Integer(required=True, metadata={"description": "seconds that the address is good"})
    exit_code = fields.Integer(required=True, allow_none=True)


class AvailableSchema(Schema):
    tasks = fields.List(fields.Nested(OfferedTaskSchema), required=True)


class AcceptSchema(Loose):
    task_id = fields.String(required=True, validate=validate.Length(1, 100))
    resource_id = fields.String(load_default=None, allow_none=True, validate=validate.Length(1, 100))


class StartSchema(Loose):
    container_id = fields.String(load_default=None, allow_none=True, validate=validate.Length(max=200))
    resource_usage = fields.Dict(load_default=None, allow_none=True, validate=Limited(REPORT_LIMIT_BYTES))


class ToldLineSchema(Loose):
    """`number` counts this attempt's lines from 1 on: with it, a line that is told twice is kept once."""

    number = fields.Integer(load_default=None, allow_none=True, strict=True, validate=validate.Range(1, 2**53))
    timestamp = fields.AwareDateTime(load_default=None, allow_none=True, default_timezone=UTC)
    level = fields.String(load_default="INFO", validate=validate.Length(max=16))
    message = fields.String(required=True)


class ProgressSchema(Loose):
    progress = fields.Float(required=True, validate=validate.Range(0, 100), metadata={"description": "per cent"})
    metrics = fields.Dict(load_default=dict, validate=Limited(REPORT_LIMIT_BYTES), metadata={"example": {"cpu_usage": 85.5}})
    logs = fields.List(fields.Nested(ToldLineSchema), load_default=list, validate=validate.Length(max=500))


class CompleteSchema(Loose):
    result_hash = fields.String(required=True, validate=validate.Length(1, 200), metadata={"description": "SHA-256, hex"})
    result_storage_url = fields.String(
        load_default=None, allow_none=True, validate=validate.Length(max=2000), metadata={"description": "as accept answered it"}
    )
    execution_time_seconds = fields.Float(load_default=None, allow_none=True, validate=validate.Range(0, 10**7))


class FailSchema(Loose):
    error_code = fields.String(required=True, validate=validate.Length(1, 64), metadata={"example": "EXECUTION_ERROR"})
    error_message = fields.String(load_default="", validate=validate.Length(max=4000))
    logs = fields.String(
        load_default="", validate=validate.Length(max=65_536), metadata={"description": "its last lines, for the task's log"}
    )
    exit_code = fields.Integer(
        load_default=None,
        allow_none=True,
        strict=True,
        validate=[validate.Range(-(2**31), 2**31 - 1), validate.NoneOf([0], error="a container that ended with 0 did not fail")],
        metadata={"description": "of a container that ended by itself: the task is over, and paid for. Else others try"},
    )


class AssignmentSchema(Schema):
    """A task that a provider has: all that it needs to run it, and where its result goes."""

    task_id = fields.UUID(required=True)
    status = fields.String(required=True)
    upload_url = fields.String(required=True, metadata={"description": "PUT the result there"})
    result_storage_url = fields.String(required=True, metadata={"description": "give this back when it is complete"})
    price_per_hour = Amount(required=True)
    currency = fields.String(required=True)
    lease_seconds = fields.Integer(required=True, metadata={"description": "without a sign of life for so long, others get it"})
    resource_id = fields.UUID(required=True, allow_none=True)
    docker_image = fields.String(required=True)
    command = fields.List(fields.String(), required=True)
    environment = fields.Dict(keys=fields.String(), values=fields.String(), required=True)
    network = fields.Boolean(required=True)
    resource_requirements = fields.Nested(RequirementsSchema, required=True)
    timeout_seconds = fields.Integer(required=True)


class ProgressedSchema(Schema):
    task_id = fields.UUID(required=True)
    status = fields.String(required=True)
    progress = fields.Integer(required=True)


class CompletedSchema(Schema):
    task_id = fields.UUID(required=True)
    status = fields.String(required=True)
    earnings = Amount(required=True, metadata={"description": "what the provider has earned, the platform's fee taken off"})
    platform_fee = Amount(required=True)
    currency = fields.String(required=True)
    billed_seconds = fields.Integer(required=True)
    result_hash = fields.String(required=True)


class FailedSchema(Schema):
    task_id = fields.UUID(required=True)
    status = fields.String(required=True, metadata={"description": "pending: others may have it; failed: it is over"})
