"""Bodies of /api/v1/webhooks."""

from marshmallow import Schema, fields


class ReceiptSchema(Schema):
    received = fields.Boolean(required=True, metadata={"example": True})
