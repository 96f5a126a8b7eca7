"""Bodies of /rnp/v1/wallet."""

import re
from typing import Any

from marshmallow import Schema, ValidationError, fields, validate, validates_schema

from app.api.rnp019.schemas.loose import Loose
from app.core.wallets import CHAINS
from app.values.ton_proof import DOMAIN_LIMIT_CHARS
from app.values.ton_wallets import STATE_INIT_LIMIT_CHARS

ADDRESS_LIMIT_CHARS, PAYLOAD_LIMIT_CHARS, SIGNATURE_LIMIT_CHARS = 80, 128, 100
# Seconds since 1970 in so many digits: up to the year 33658.
_SECONDS = re.compile(r"[0-9]{1,12}", re.ASCII)
SECONDS_MOST = 10**12 - 1


class Seconds(fields.Field[int]):
    """A moment in whole seconds since 1970. Wallets write it as a number, and some as text."""

    def __init__(self, **options: Any) -> None:
        metadata = {"type": ["integer", "string"], "example": 1790000000, "description": "seconds since 1970, number or text"}
        super().__init__(metadata={**metadata, **options.pop("metadata", {})}, **options)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **_: Any) -> int:
        if isinstance(value, str) and _SECONDS.fullmatch(value):
            return int(value)
        if type(value) is int and 0 <= value <= SECONDS_MOST:
            return value
        raise ValidationError("must be whole seconds since 1970, as a number or as text")


class ChallengeOrderSchema(Loose):
    chain = fields.String(required=True, validate=validate.OneOf(CHAINS))
    address = fields.String(
        required=True,
        validate=validate.Length(1, ADDRESS_LIMIT_CHARS),
        metadata={"description": "Solana: base58. TON: raw, or as wallets show it"},
    )


class ChallengeSchema(Schema):
    payload = fields.String(required=True, metadata={"description": "for TON Connect's ton_proof"})
    message = fields.String(required=True, metadata={"description": "what a Solana wallet signs, as UTF-8, to the letter"})
    domain = fields.String(required=True, metadata={"description": "what a ton_proof must be for"})
    expires_at = fields.String(required=True, metadata={"format": "date-time"})


class DomainSchema(Loose):
    lengthBytes = fields.Integer(required=True, strict=True, validate=validate.Range(0, 2**32 - 1))
    value = fields.String(required=True, validate=validate.Length(max=DOMAIN_LIMIT_CHARS))


class ProofSchema(Loose):
    """TON Connect's `ton_proof`, and the wallet's initial state beside it."""

    timestamp = Seconds(required=True)
    domain = fields.Nested(DomainSchema, required=True)
    signature = fields.String(
        required=True, validate=validate.Length(1, SIGNATURE_LIMIT_CHARS), metadata={"description": "64 bytes in base64"}
    )
    payload = fields.String(required=True, validate=validate.Length(1, PAYLOAD_LIMIT_CHARS))
    state_init = fields.String(
        load_default=None,
        allow_none=True,
        validate=validate.Length(max=STATE_INIT_LIMIT_CHARS),
        metadata={"description": "the wallet's walletStateInit: a bag of cells in base64"},
    )


class WalletSignatureSchema(Loose):
    """With `chain: solana` a `signature` over the challenge's message; with `chain: ton` a `proof`."""

    chain = fields.String(required=True, validate=validate.OneOf(CHAINS))
    address = fields.String(required=True, validate=validate.Length(1, ADDRESS_LIMIT_CHARS))
    signature = fields.String(
        validate=validate.Length(1, SIGNATURE_LIMIT_CHARS),
        metadata={"description": "Solana: over `message`, base58 or base64"},
    )
    payload = fields.String(
        load_default=None,
        allow_none=True,
        validate=validate.Length(max=PAYLOAD_LIMIT_CHARS),
        metadata={"description": "Solana: the challenge's; without it, all that the wallet has are tried"},
    )
    public_key = fields.String(
        load_default=None,
        allow_none=True,
        validate=validate.Regexp(r"[0-9a-fA-F]{64}\Z", error="must be 64 hex digits"),
        metadata={"description": "TON: the wallet's key, 64 hex digits"},
    )
    proof = fields.Nested(ProofSchema, metadata={"description": "TON: what the wallet answers to ton_proof"})

    @validates_schema
    def has_what_its_chain_signs(self, data: dict[str, Any], **_: Any) -> None:
        needed = "signature" if data["chain"] == "solana" else "proof"
        if data.get(needed) is None:
            raise ValidationError(f"Missing data for required field: a {data['chain']} wallet gives it.", needed)


class OwnWalletSchema(Schema):
    chain = fields.String(required=True, validate=validate.OneOf(CHAINS))
    address = fields.String(required=True, metadata={"description": "Solana: base58. TON: raw, lower case"})


class AccountSchema(Schema):
    id = fields.UUID(required=True)
    name = fields.String(required=True)
    roles = fields.List(fields.String(), required=True)
    wallets = fields.List(fields.Nested(OwnWalletSchema), required=True)


class SignedInSchema(Schema):
    access_token = fields.String(required=True, metadata={"description": "good for 30 minutes, in every API of this hub"})
    refresh_token = fields.String(required=True, metadata={"description": "good once, for 7 days"})
    token_type = fields.String(required=True, metadata={"example": "bearer"})
    account = fields.Nested(AccountSchema, required=True)


class LinkedSchema(Schema):
    account = fields.Nested(AccountSchema, required=True)
