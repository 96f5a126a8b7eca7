"""Bodies of /providers/{provider_id}/payouts."""

from marshmallow import Schema, fields, validate

from app.api.robocompute.payout_states import STATUSES
from app.api.robocompute.schemas.loose import CURRENCIES, Amount, Loose, PageSchema

ADDRESS_LIMIT_CHARS, SIGNATURE_LIMIT_CHARS = 80, 100
MILLISECONDS_MOST = 10**15 - 1


class PayoutOrderSchema(Loose):
    amount = Amount(required=True)
    currency = fields.String(load_default="USDC", validate=validate.OneOf(CURRENCIES))
    wallet_address = fields.String(
        load_default=None,
        allow_none=True,
        validate=validate.Length(1, ADDRESS_LIMIT_CHARS),
        metadata={"description": "one that has signed for this account; else the payout address, or the provider's wallet"},
    )


class PayoutSchema(Schema):
    payout_id = fields.UUID(required=True)
    status = fields.String(required=True, validate=validate.OneOf(STATUSES))
    amount = Amount(required=True)
    currency = fields.String(required=True)
    wallet_address = fields.String(required=True)
    chain = fields.String(required=True)
    reason = fields.String(required=True, allow_none=True, metadata={"description": "what an open payout waits for"})
    tx_hash = fields.String(required=True, allow_none=True)
    created_at = fields.String(required=True, metadata={"format": "date-time"})
    confirmed_at = fields.String(required=True, allow_none=True, metadata={"format": "date-time"})


class PayoutsQuerySchema(PageSchema):
    pass


class PayoutsSchema(Schema):
    payouts = fields.List(fields.Nested(PayoutSchema), required=True)
    count = fields.Integer(required=True, metadata={"description": "in this page"})


class PendingPayoutsSchema(PayoutsSchema):
    """What is on its way, and what could be asked for now."""

    pending_usdc = Amount(required=True)
    pending_usdt = Amount(required=True)
    available_usdc = Amount(required=True)
    available_usdt = Amount(required=True)
    minimum_payout = Amount(required=True, metadata={"description": "in USDC"})


class AddressOrderSchema(Loose):
    wallet_address = fields.String(required=True, validate=validate.Length(1, ADDRESS_LIMIT_CHARS))
    timestamp = fields.Integer(
        required=True,
        strict=True,
        validate=validate.Range(0, MILLISECONDS_MOST),
        metadata={"description": "milliseconds since 1970, as in the message that was signed"},
    )
    signature = fields.String(
        required=True,
        validate=validate.Length(1, SIGNATURE_LIMIT_CHARS),
        metadata={"description": "base58 or base64, of that wallet over the message"},
    )
    automatic = fields.Boolean(load_default=False, metadata={"description": "what is due goes there without being asked for"})


class AddressSchema(Schema):
    address_id = fields.UUID(required=True)
    wallet_address = fields.String(required=True)
    chain = fields.String(required=True)
    automatic = fields.Boolean(required=True)
    usable_at = fields.String(required=True, metadata={"format": "date-time", "description": "when its cool-off is over"})
    created_at = fields.String(required=True, metadata={"format": "date-time"})


class AddressesSchema(Schema):
    addresses = fields.List(fields.Nested(AddressSchema), required=True)
    count = fields.Integer(required=True)
    message = fields.String(
        required=True, metadata={"description": "what a wallet signs to be added, with its address and the time in it"}
    )
