"""Bodies of /api/v1/jobs."""

from marshmallow import Schema, fields, validate

from app.api.rendertrust.job_states import WORDS
from app.api.rendertrust.schemas.loose import Loose, PageSchema
from app.core.uploads import REFERENCE_LIMIT_CHARS

TYPE_LIMIT_CHARS = 100


class DispatchSchema(Loose):
    job_type = fields.String(
        required=True,
        validate=validate.Length(1, TYPE_LIMIT_CHARS),
        metadata={"example": "render", "description": "render, inference, cpu_benchmark, echo, or what some node registered"},
    )
    payload_ref = fields.String(
        required=True,
        validate=validate.Length(1, REFERENCE_LIMIT_CHARS),
        metadata={"example": "s3://bucket/input/scene.blend", "description": "upload:<id> of POST /api/v1/uploads, or s3://"},
    )


class DispatchedSchema(Schema):
    job_id = fields.UUID(required=True)
    node_id = fields.UUID(required=True)
    status = fields.String(required=True, validate=validate.OneOf(WORDS))


class JobsQuerySchema(PageSchema):
    status = fields.String(load_default=None, validate=validate.OneOf(WORDS))


class JobSchema(Schema):
    id = fields.UUID(required=True)
    node_id = fields.UUID(required=True, allow_none=True)
    job_type = fields.String(required=True)
    payload_ref = fields.String(required=True, allow_none=True)
    status = fields.String(required=True, validate=validate.OneOf(WORDS))
    result_ref = fields.String(required=True, allow_none=True)
    error_message = fields.String(required=True, allow_none=True)
    retry_count = fields.Integer(required=True)
    queued_at = fields.String(required=True, metadata={"format": "date-time"})
    dispatched_at = fields.String(required=True, allow_none=True, metadata={"format": "date-time"})
    completed_at = fields.String(required=True, allow_none=True, metadata={"format": "date-time"})
    created_at = fields.String(required=True, metadata={"format": "date-time"})
    updated_at = fields.String(required=True, metadata={"format": "date-time"})


class JobsSchema(Schema):
    jobs = fields.List(fields.Nested(JobSchema), required=True)
    count = fields.Integer(required=True, metadata={"description": "rows in this page"})


class ResultSchema(Schema):
    job_id = fields.UUID(required=True)
    download_url = fields.String(required=True)
    expires_in = fields.Integer(required=True, metadata={"description": "seconds"})


class DeadLettersQuerySchema(PageSchema):
    replayed = fields.Boolean(load_default=None, allow_none=True, metadata={"description": "absent: both"})


class DeadLetterSchema(Schema):
    id = fields.UUID(required=True)
    job_id = fields.UUID(required=True)
    job_type = fields.String(required=True)
    payload_ref = fields.String(required=True, allow_none=True)
    account_id = fields.UUID(required=True)
    reason_code = fields.String(required=True)
    error_message = fields.String(required=True)
    attempts = fields.Integer(required=True)
    created_at = fields.String(required=True, metadata={"format": "date-time"})
    replayed_at = fields.String(required=True, allow_none=True, metadata={"format": "date-time"})


class DeadLettersSchema(Schema):
    dead_letters = fields.List(fields.Nested(DeadLetterSchema), required=True)
    count = fields.Integer(required=True)
