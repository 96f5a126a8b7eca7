"""What is asked and shown of a task's log and figures."""

from marshmallow import fields, validate

from app.api.robocompute.schemas.loose import Loose

LINES_MOST, SAMPLES_MOST, NUMBER_MOST = 1000, 1000, 2**53


class LogsQuerySchema(Loose):
    """`after` is the `next` of the answer before; without it, the last lines there are. `follow` waits a while for new ones."""

    lines = fields.Integer(load_default=100, strict=False, validate=validate.Range(1, LINES_MOST))
    after = fields.Integer(load_default=None, allow_none=True, validate=validate.Range(0, NUMBER_MOST))
    follow = fields.Boolean(load_default=False)


class LoggedLineSchema(Loose):
    sequence = fields.Integer(required=True)
    timestamp = fields.String(required=True)
    level = fields.String(required=True, validate=validate.OneOf(("DEBUG", "INFO", "WARNING", "ERROR")))
    message = fields.String(required=True)


class LogsSchema(Loose):
    """`next` goes into `after` of the next question; `skipped` lines before the first were deleted, `lost` the host dropped."""

    task_id = fields.String(required=True)
    status = fields.String(required=True)
    logs = fields.List(fields.Nested(LoggedLineSchema), required=True)
    next = fields.Integer(required=True)
    skipped = fields.Integer(required=True)
    lost = fields.Integer(required=True)
    is_over = fields.Boolean(required=True)


class MetricsQuerySchema(Loose):
    samples = fields.Integer(load_default=100, validate=validate.Range(1, SAMPLES_MOST))


class TaskMetricsSchema(Loose):
    """`metrics` are the newest figures, null where nobody said any; `samples` those before them, in their order."""

    task_id = fields.String(required=True)
    status = fields.String(required=True)
    metrics = fields.Dict(required=True)
    peak = fields.Dict(required=True)
    sampled_at = fields.String(required=True, allow_none=True)
    samples = fields.List(fields.Dict(), required=True)
