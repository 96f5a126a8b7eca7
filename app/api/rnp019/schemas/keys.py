"""Bodies of /rnp/v1/keys."""

from marshmallow import Schema, fields, validate

from app.api.rnp019.schemas.loose import Loose
from app.core.api_keys import KINDS, STANDARD
from app.models.accounts import SCOPES

NAME_LIMIT_CHARS = 100


class KeyOrderSchema(Loose):
    name = fields.String(
        load_default="", validate=validate.Length(max=NAME_LIMIT_CHARS), metadata={"description": "to tell it from others"}
    )
    scopes = fields.List(
        fields.String(validate=validate.OneOf(SCOPES)),
        required=True,
        validate=validate.Length(1, len(SCOPES)),
        metadata={"description": "none that whoever makes the key does not hold", "example": ["jobs:read", "jobs:write"]},
    )
    kind = fields.String(
        load_default=STANDARD,
        validate=validate.OneOf(tuple(KINDS)),
        metadata={
            "description": "`robocompute` (its secret begins with `rc_live_`) and `robocompute_provider` (`rc_prov_live_`) are "
            "for RoboCompute's SDK: such a key also needs a Solana wallet's signature on each request, in every API"
        },
    )


class KeySchema(Schema):
    id = fields.UUID(required=True)
    name = fields.String(required=True)
    prefix = fields.String(required=True, metadata={"description": "how the secret begins"})
    scopes = fields.List(fields.String(), required=True)
    needs_wallet_signature = fields.Boolean(required=True)
    created_at = fields.String(required=True, metadata={"format": "date-time"})


class NewKeySchema(KeySchema):
    secret = fields.String(required=True, metadata={"description": "the key; shown this once, kept as a hash"})


class KeysSchema(Schema):
    keys = fields.List(fields.Nested(KeySchema), required=True)
    count = fields.Integer(required=True)
