"""Bodies of /api/v1/credits."""

from marshmallow import Schema, fields, validate

from app.api.rendertrust.schemas.amounts import CreditAmount
from app.api.rendertrust.schemas.loose import Loose
from app.api.rendertrust.words import SOURCES

REFERENCE_LIMIT_CHARS, DESCRIPTION_LIMIT_CHARS = 255, 1000


class DeductionSchema(Loose):
    amount = CreditAmount(required=True)
    reference_id = fields.String(
        required=True, validate=validate.Length(1, REFERENCE_LIMIT_CHARS), metadata={"example": "manual-001"}
    )
    description = fields.String(
        load_default=None, allow_none=True, validate=validate.Length(max=DESCRIPTION_LIMIT_CHARS)
    )


class BalanceSchema(Schema):
    balance = CreditAmount(required=True, metadata={"example": "1000.0000"})
    held = CreditAmount(required=True, metadata={"description": "set aside for running jobs, not in the balance"})
    user_id = fields.UUID(required=True)


class EntrySchema(Schema):
    id = fields.UUID(required=True)
    entry_id = fields.Integer(
        required=True, allow_none=True, metadata={"description": "of /api/v1/ledger; null for the moment until it is given"}
    )
    amount = CreditAmount(required=True)
    direction = fields.String(required=True, validate=validate.OneOf(["DEBIT", "CREDIT"]))
    source = fields.String(required=True, validate=validate.OneOf(sorted(SOURCES.values())))
    reference_id = fields.String(required=True)
    balance_after = CreditAmount(required=True)
    description = fields.String(required=True, allow_none=True)
    created_at = fields.String(required=True, metadata={"format": "date-time"})


class HistorySchema(Schema):
    entries = fields.List(fields.Nested(EntrySchema), required=True)
    count = fields.Integer(required=True, metadata={"description": "entries in this page"})
