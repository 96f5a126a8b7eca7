"""Bodies of /api/v1/payouts/proposals."""

from decimal import Decimal

from marshmallow import Schema, fields, validate

from app.api.cocoon.schemas.loose import Loose, PageSchema
from app.api.cocoon.schemas.numbers import DecimalNumber, TonAmount
from app.api.cocoon.schemas.texts import Moment, asked_id
from app.core.payout_proposals import STATES


class ProposalsQuerySchema(PageSchema):
    participant_id = asked_id()
    state = fields.String(load_default=None, validate=validate.OneOf(STATES))


class RejectionSchema(Loose):
    reason = fields.String(
        required=True, validate=validate.Length(1, 500), metadata={"description": "the participant reads it"}
    )


class ProposedWorkerSchema(Schema):
    worker_id = fields.Integer(required=True)
    worker_name = fields.String(required=True)
    earned_ton = TonAmount(required=True, metadata={"description": "its tokens at the network's price"})
    price_coefficient = DecimalNumber(
        places=3, most=Decimal(10**6), required=True, metadata={"description": "what it worked at, on the mean, as it earned"}
    )
    shares_contract_with = fields.List(
        fields.Integer(),
        required=True,
        metadata={"description": "other workers that name the same contract: look before you approve, it may be paid twice"},
    )


class ProposalSchema(Schema):
    id = fields.Integer(required=True)
    participant_id = fields.Integer(required=True)
    period_start = Moment(required=True)
    period_end = Moment(required=True)
    earned_ton = TonAmount(required=True, metadata={"description": "of all its workers, at the price coefficients of their time"})
    share_percent = DecimalNumber(places=2, most=Decimal(100), required=True)
    amount_ton = TonAmount(required=True, metadata={"description": "the participant's share of it"})
    total_requests = fields.Integer(required=True)
    total_compute_time_seconds = fields.Integer(required=True)
    workers = fields.List(fields.Nested(ProposedWorkerSchema), required=True)
    state = fields.String(required=True, validate=validate.OneOf(STATES))
    payout_id = fields.Integer(required=True, allow_none=True)
    approved_at = Moment(required=True, allow_none=True)
    rejected_at = Moment(required=True, allow_none=True)
    rejected_because = fields.String(required=True, allow_none=True)
    created_at = Moment(required=True)
