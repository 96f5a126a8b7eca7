"""Bodies of /api/v1/nodes."""

from typing import Any

from marshmallow import Schema, ValidationError, fields, validate

from app.api.rendertrust.schemas.loose import Loose
from app.core.nodes import METADATA_LIMIT_BYTES
from app.values import json_text
from app.values.node_keys import SIGNATURE_LIMIT_CHARS

KEY_LIMIT_CHARS = 4000
STATUSES = ("REGISTERED", "HEALTHY", "UNHEALTHY")


class Metadata(fields.Dict):
    """Anything a node says of itself, of a sane size."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **options: Any) -> dict[Any, Any]:
        found = super()._deserialize(value, attr, data, **options)
        if json_text.size_bytes(found) > METADATA_LIMIT_BYTES:
            raise ValidationError(f"may have at most {METADATA_LIMIT_BYTES} bytes of JSON")
        return dict(found)


class NodeRegistrationSchema(Loose):
    name = fields.String(required=True, validate=validate.Length(1, 100), metadata={"example": "gpu-node-east-1"})
    public_key = fields.String(
        required=True,
        validate=validate.Length(1, KEY_LIMIT_CHARS),
        metadata={"description": "PEM of an ed25519 key, or of RSA with 2048 to 8192 bits"},
    )
    capabilities = fields.List(
        fields.String(validate=validate.Regexp(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,99}\Z")),
        required=True,
        validate=validate.Length(1, 16),
        metadata={"example": ["render", "inference"]},
    )
    metadata = Metadata(load_default=dict)
    provider_id = fields.UUID(load_default=None, allow_none=True, metadata={"description": "with an API key: for whom it works"})


class BrokerSchema(Schema):
    url = fields.String(required=True, metadata={"description": "amqps://user:password@host/vhost: a secret of the provider's"})


class RegisteredNodeSchema(Schema):
    node_id = fields.UUID(required=True)
    challenge = fields.String(required=True, metadata={"description": "64 hex digits, to be signed for a heartbeat"})
    token = fields.String(required=True, metadata={"description": "good for 24 hours"})
    status = fields.String(required=True, validate=validate.OneOf(STATUSES))
    queues = fields.Dict(
        keys=fields.String(), values=fields.String(), metadata={"description": "by capability: the broker's queue to listen to"}
    )
    broker = fields.Nested(
        BrokerSchema, allow_none=True, metadata={"description": "where an API key enrols the node, if the hub has one to give"}
    )
    broker_retry_seconds = fields.Integer(
        allow_none=True, metadata={"description": "the broker is away: register again after so long, and poll meanwhile"}
    )


class NodeHeartbeatSchema(Loose):
    current_load = fields.Float(load_default=0.0, allow_nan=True, metadata={"description": "cut to 0..1"})
    metadata = Metadata(load_default=None, allow_none=True)
    challenge_signature = fields.String(
        load_default=None,
        allow_none=True,
        validate=validate.Length(1, SIGNATURE_LIMIT_CHARS),
        metadata={"description": "base64: ed25519, or RSA with SHA-256 (PKCS #1 v1.5 or PSS), over the challenge's text"},
    )


class BeatenSchema(Schema):
    node_id = fields.UUID(required=True)
    status = fields.String(required=True, validate=validate.OneOf(STATUSES))
    acknowledged = fields.Boolean(required=True)
