"""Bodies of /version and /api/v1/health."""

from marshmallow import Schema, fields, validate

CONNECTED, UNAVAILABLE = "connected", "unavailable"


class HealthSchema(Schema):
    status = fields.String(required=True, metadata={"example": "healthy"})


class ChecksSchema(Schema):
    database = fields.String(required=True, validate=validate.OneOf([CONNECTED, UNAVAILABLE]))
    redis = fields.String(required=True, validate=validate.OneOf([CONNECTED, UNAVAILABLE]))


class ReadinessSchema(Schema):
    status = fields.String(required=True, validate=validate.OneOf(["ready", "degraded"]))
    checks = fields.Nested(ChecksSchema, required=True)


class VersionSchema(Schema):
    name = fields.String(required=True, metadata={"example": "lightyard"})
    version = fields.String(required=True)
    environment = fields.String(required=True, metadata={"example": "development"})
