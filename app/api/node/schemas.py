"""Bodies of the node protocol (gpu_node/PROTOCOL.md)."""

from datetime import UTC
from typing import Any

from marshmallow import EXCLUDE, Schema, ValidationError, fields, validate, validates_schema

from app.core.nodes import MACHINE_LIMIT_BYTES
from app.errors import InvalidInput
from app.values import attempt_steps, json_text, task_figures
from app.values.node_keys import SIGNATURE_LIMIT_CHARS


class Loose(Schema):
    """Unknown fields are passed over, so that newer nodes can talk to older hubs."""

    class Meta:
        unknown = EXCLUDE


class Capabilities(fields.List):
    """What a node can do: render, inference, compute, or the name of another kind of work."""

    def __init__(self, **kwargs: Any) -> None:
        one = fields.String(validate=validate.Regexp(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,99}\Z"))
        super().__init__(one, required=True, validate=validate.Length(1, 16), **kwargs)


class Steps(fields.Raw):
    """How long each step took, for traces alone: what is none is passed over."""

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> Any:
        return attempt_steps.read(value)


def _is_small(machine: Any) -> None:
    if json_text.size_bytes(machine) > MACHINE_LIMIT_BYTES:
        raise ValidationError(f"may have at most {MACHINE_LIMIT_BYTES} bytes of JSON")


class EnrolmentSchema(Loose):
    provider_id = fields.UUID(required=True)
    timestamp = fields.Integer(required=True, strict=True)
    signature = fields.String(required=True, validate=validate.Length(max=256))


class RegistrationSchema(Loose):
    name = fields.String(required=True, validate=validate.Length(1, 100))
    public_key = fields.String(required=True, validate=validate.Length(max=4000))
    capabilities = Capabilities()
    machine = fields.Dict(load_default=dict, validate=_is_small)
    agent = fields.String(load_default="", validate=validate.Length(max=100))
    enrolment = fields.Nested(EnrolmentSchema, load_default=None, allow_none=True)
    provider_id = fields.UUID(load_default=None, allow_none=True)


class ProofSchema(Loose):
    signature = fields.String(required=True, validate=validate.Length(1, SIGNATURE_LIMIT_CHARS))
    wants_broker = fields.Boolean(load_default=False)


class HeartbeatSchema(Loose):
    current_load = fields.Float(load_default=0.0)
    draining = fields.Boolean(load_default=False)
    machine = fields.Dict(load_default=None, allow_none=True, validate=_is_small)
    attempts = fields.List(fields.UUID(), load_default=list, validate=validate.Length(max=256))


class ClaimSchema(Loose):
    capabilities = Capabilities()
    limit = fields.Integer(load_default=1, strict=True, validate=validate.Range(1, 64))
    hint = fields.UUID(load_default=None, allow_none=True)
    job_id = fields.UUID(load_default=None, allow_none=True)
    free = fields.Dict(load_default=dict, allow_none=True)


class LiveSchema(Loose):
    attempt_id = fields.UUID(required=True)
    fence = fields.Integer(required=True, strict=True, validate=validate.Range(0, 2**31 - 1))


class ReportSchema(LiveSchema):
    progress = fields.Float(load_default=0.0, validate=validate.Range(0, 1))
    seconds = fields.Float(load_default=0.0)
    message = fields.String(load_default=None, allow_none=True)


class ResultSchema(LiveSchema):
    """An uploaded picture by its hash and size, or an inspection's report."""

    sha256 = fields.String(validate=validate.Regexp("^[0-9a-fA-F]{64}$"))
    size_bytes = fields.Integer(strict=True, validate=validate.Range(1, 2**40))
    seconds = fields.Float(load_default=0.0, validate=validate.Range(0, 10**6))
    report = fields.Dict()
    content_type = fields.String(load_default="", validate=validate.Length(max=100))
    steps = Steps(load_default=())

    @validates_schema
    def is_one_of_both(self, data: dict[str, Any], **_: Any) -> None:
        if ("report" in data) == ("sha256" in data and "size_bytes" in data):
            raise ValidationError("give sha256 and size_bytes of an upload, or a report of an inspection")


class FailureSchema(LiveSchema):
    code = fields.String(required=True, validate=validate.Length(1, 64))
    message = fields.String(load_default="", validate=validate.Length(max=4000))
    log_tail = fields.String(load_default="")
    exit_code = fields.Integer(load_default=None, allow_none=True, strict=True, validate=validate.Range(-(2**31), 2**31 - 1))
    seconds = fields.Float(load_default=0.0)


class ReportsSchema(Loose):
    reports = fields.List(fields.Nested(ReportSchema), required=True, validate=validate.Length(1, 256))


class ResultsSchema(Loose):
    results = fields.List(fields.Nested(ResultSchema), required=True, validate=validate.Length(1, 64))


class FailuresSchema(Loose):
    failures = fields.List(fields.Nested(FailureSchema), required=True, validate=validate.Length(1, 64))


class ReleasesSchema(Loose):
    attempts = fields.List(fields.Nested(LiveSchema), required=True, validate=validate.Length(1, 256))
    reason = fields.String(load_default="")


class LogLineSchema(Loose):
    number = fields.Integer(required=True, strict=True, validate=validate.Range(1, 2**53))
    timestamp = fields.AwareDateTime(load_default=None, allow_none=True, default_timezone=UTC)
    level = fields.String(load_default="INFO", validate=validate.Length(max=16))
    message = fields.String(required=True)


class Figures(fields.Raw):
    """What a container uses at one moment, by name."""

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> Any:
        try:
            return task_figures.read(value)
        except InvalidInput as refusal:
            raise ValidationError(refusal.message) from None


class LogsSchema(LiveSchema):
    lines = fields.List(fields.Nested(LogLineSchema), load_default=list, validate=validate.Length(max=500))
    metrics = Figures(load_default=None, allow_none=True)
    sampled_at = fields.AwareDateTime(load_default=None, allow_none=True, default_timezone=UTC)
