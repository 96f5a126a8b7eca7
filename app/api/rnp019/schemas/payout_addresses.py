"""Bodies of /rnp/v1/wallet/payout-addresses."""

from marshmallow import Schema, fields, validate

from app.api.rnp019.schemas.loose import Loose
from app.api.rnp019.schemas.wallets import ADDRESS_LIMIT_CHARS, CHAINS


class PayoutAddressOrderSchema(Loose):
    chain = fields.String(required=True, validate=validate.OneOf(CHAINS))
    address = fields.String(
        required=True,
        validate=validate.Length(1, ADDRESS_LIMIT_CHARS),
        metadata={"description": "a wallet that has signed in to this account, or was linked to it"},
    )
    automatic = fields.Boolean(load_default=True, metadata={"description": "what is due goes there without being asked for"})


class PayoutAddressSchema(Schema):
    id = fields.UUID(required=True)
    chain = fields.String(required=True, validate=validate.OneOf(CHAINS))
    address = fields.String(required=True, metadata={"description": "Solana: base58. TON: raw, lower case"})
    automatic = fields.Boolean(required=True)
    usable_at = fields.String(required=True, metadata={"format": "date-time", "description": "when its cool-off is over"})
    created_at = fields.String(required=True, metadata={"format": "date-time"})


class PayoutAddressesSchema(Schema):
    payout_addresses = fields.List(fields.Nested(PayoutAddressSchema), required=True)
    count = fields.Integer(required=True)
