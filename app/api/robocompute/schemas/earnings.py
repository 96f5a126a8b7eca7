"""Bodies of /providers/{provider_id}/earnings."""

from typing import Any

from marshmallow import Schema, ValidationError, fields, validate, validates_schema

from app.api.robocompute.schemas.loose import Amount, Loose
from app.core.earnings import INTERVALS


class EarningsQuerySchema(Loose):
    start_date = fields.Date(load_default=None, metadata={"description": "from this day (UTC) on"})
    end_date = fields.Date(load_default=None, metadata={"description": "up to and with this day (UTC)"})
    interval = fields.String(load_default=INTERVALS[1], validate=validate.OneOf(INTERVALS))

    @validates_schema
    def check_order(self, data: dict[str, Any], **_: Any) -> None:
        if data["start_date"] and data["end_date"] and data["start_date"] > data["end_date"]:
            raise ValidationError("must not be before start_date", "end_date")


class OtherAmountSchema(Schema):
    """Of renders that were paid with neither; what was paid with render credits is earned in RENDER."""

    currency = fields.String(required=True, metadata={"example": "RENDER"})
    amount = Amount(required=True)


class SumSchema(Schema):
    usdc = Amount(required=True)
    usdt = Amount(required=True)
    others = fields.List(fields.Nested(OtherAmountSchema), required=True)
    tasks = fields.Integer(required=True)


class PeriodSchema(SumSchema):
    period = fields.String(required=True, metadata={"format": "date", "description": "its first day"})


class ResourceSumSchema(SumSchema):
    resource_id = fields.UUID(required=True, allow_none=True, metadata={"description": "null: none was named"})
    type = fields.String(required=True, metadata={"description": "gpu or cpu, else the kind of a job bought elsewhere"})


class DirectAmountSchema(Schema):
    currency = fields.String(required=True)
    received = Amount(required=True)
    refunded = Amount(required=True, metadata={"description": "given or owed back"})
    jobs = fields.Integer(required=True)


class DirectSchema(Schema):
    """What clients paid the provider's wallet themselves: settled, never payable again."""

    payable = fields.Boolean(required=True)
    jobs = fields.Integer(required=True)
    amounts = fields.List(fields.Nested(DirectAmountSchema), required=True)


class EarningsSchema(Schema):
    provider_id = fields.UUID(required=True)
    start_date = fields.String(required=True, allow_none=True, metadata={"format": "date"})
    end_date = fields.String(required=True, allow_none=True, metadata={"format": "date"})
    total_usdc = Amount(required=True, metadata={"description": "after the platform's fee"})
    total_usdt = Amount(required=True)
    total_others = fields.List(fields.Nested(OtherAmountSchema), required=True)
    total_tasks = fields.Integer(required=True)
    slashed_usdc = Amount(required=True, metadata={"description": "taken again by disputes that were decided in this time"})
    slashed_usdt = Amount(required=True)
    interval = fields.String(required=True)
    by_period = fields.List(fields.Nested(PeriodSchema), required=True)
    by_resource = fields.List(fields.Nested(ResourceSumSchema), required=True)
    direct = fields.Nested(DirectSchema, required=True)
