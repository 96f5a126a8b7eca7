"""Bodies of /api/v1/participants."""

from decimal import Decimal

from marshmallow import Schema, fields, validate

from app.api.cocoon.schemas.loose import Loose, PageSchema
from app.api.cocoon.schemas.numbers import DecimalNumber, TonAmount
from app.api.cocoon.schemas.texts import Moment, Wallet

NAME_LIMIT_CHARS, EMAIL_LIMIT_CHARS = 255, 254
TELEGRAM_ID_MOST = 2**53 - 1
OPERATORS_OWN = ("is_active", "is_operator", "share_percent")


class PersonSchema(Loose):
    """What anybody may say of himself, and what an operator says of him."""

    telegram_user_id = fields.Integer(strict=True, allow_none=True, validate=validate.Range(1, TELEGRAM_ID_MOST))
    username = fields.String(allow_none=True, validate=validate.Length(1, NAME_LIMIT_CHARS), metadata={"example": "user123"})
    email = fields.Email(allow_none=True, validate=validate.Length(max=EMAIL_LIMIT_CHARS))
    is_active = fields.Boolean(metadata={"description": "an operator's to set"})
    is_operator = fields.Boolean(metadata={"description": "an operator's to set, with the scope admin:write"})
    share_percent = DecimalNumber(
        places=2,
        most=Decimal(100),
        allow_none=True,
        metadata={"description": "an operator's to set: the part of what its workers earn; null: PARTICIPANT_SHARE_PERCENT"},
    )


class NewParticipantSchema(PersonSchema):
    ton_wallet_address = Wallet(required=True)


class ParticipantsQuerySchema(PageSchema):
    is_active = fields.Boolean(load_default=None)
    is_operator = fields.Boolean(load_default=None)


class ParticipantSchema(Schema):
    id = fields.Integer(required=True)
    ton_wallet_address = Wallet(required=True)
    telegram_user_id = fields.Integer(required=True, allow_none=True)
    username = fields.String(required=True, allow_none=True)
    email = fields.String(required=True, allow_none=True)
    is_active = fields.Boolean(required=True)
    is_operator = fields.Boolean(required=True)
    share_percent = DecimalNumber(places=2, most=Decimal(100), required=True, allow_none=True)
    total_workers = fields.Integer(required=True)
    active_workers = fields.Integer(required=True)
    total_revenue_ton = TonAmount(required=True, metadata={"description": "the sum of its payouts"})
    total_payouts = fields.Integer(required=True)
    created_at = Moment(required=True)
    updated_at = Moment(required=True)
