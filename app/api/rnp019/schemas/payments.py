"""Bodies of payments: /rnp/v1/jobs/{id}/pay, /rnp/v1/credits."""

from typing import Any

from marshmallow import Schema, ValidationError, fields, validate, validates_schema

from app.api.rnp019.payment_words import TRANSACTION_WORDS, WORDS
from app.api.rnp019.schemas.amounts import Amount
from app.api.rnp019.schemas.loose import Loose
from app.values.signatures import is_transaction_signature

TAKEN = ("RENDER", "USDC", "USDT", "SOL")
ASSETS = ("RCREDIT", *TAKEN)
SIGNATURE_LIMIT_CHARS = 100
BALANCE = "balance"


def _assert_signature(text: str) -> None:
    if len(text) > SIGNATURE_LIMIT_CHARS or not is_transaction_signature(text):
        raise ValidationError("must be a Solana transaction's signature: the base58 text of 64 bytes")


def _signature() -> fields.String:
    said = "of the transaction on Solana that pays, base58: it is found without, and a little later"
    return fields.String(validate=_assert_signature, metadata={"description": said})


class TransactionOfPaymentSchema(Loose):
    tx_signature = _signature()


class JobPaymentSchema(Loose):
    """Nothing at all asks what there is to pay: the answer is 402, with the quote."""

    tx_signature = _signature()
    source = fields.String(
        data_key="from",
        validate=validate.OneOf((BALANCE,)),
        metadata={"description": "`balance`: pay from what is on this hub in the job's asset"},
    )

    @validates_schema
    def pays_one_way(self, data: dict[str, Any], **_: Any) -> None:
        if len(data) > 1:
            raise ValidationError("give either tx_signature or from", "from")


class PaidTransactionSchema(Schema):
    tx_signature = fields.String(required=True)
    status = fields.String(required=True, validate=validate.OneOf(tuple(TRANSACTION_WORDS.values())))
    code = fields.String(required=True, allow_none=True)
    message = fields.String(required=True, allow_none=True)
    amount = Amount(required=True, metadata={"description": "what of it has come onto the balance"})
    payer = fields.String(required=True, allow_none=True)
    seen_at = fields.String(required=True, metadata={"format": "date-time"})


class PaymentSchema(Schema):
    """Where to pay, and what came of it. Send `amount` to `pay_to` in one transfer, of the token that `mint` names or, where that
    is null, of SOL, with exactly `memo` in the transaction; it is found by itself."""

    id = fields.UUID(required=True)
    job_id = fields.UUID(required=True, allow_none=True, metadata={"description": "null: a top-up"})
    status = fields.String(required=True, validate=validate.OneOf(WORDS))
    asset = fields.String(required=True)
    amount = Amount(required=True)
    received = Amount(required=True, metadata={"description": "what has come onto the balance for it"})
    chain = fields.String(required=True, metadata={"description": "`solana`; `ledger`: paid from the balance"})
    pay_to = fields.String(required=True)
    mint = fields.String(required=True, allow_none=True)
    memo = fields.String(required=True)
    created_at = fields.String(required=True, metadata={"format": "date-time"})
    expires_at = fields.String(required=True, metadata={"format": "date-time"})
    confirmed_at = fields.String(required=True, allow_none=True, metadata={"format": "date-time"})
    tx_signature = fields.String(required=True, allow_none=True)
    transactions = fields.List(fields.Nested(PaidTransactionSchema), required=True)


class QuoteErrorSchema(Schema):
    code = fields.String(required=True, metadata={"example": "PAYMENT_REQUIRED"})
    message = fields.String(required=True)
    details = fields.Dict(required=True, metadata={"description": "of a quote: `payment`"})


class QuoteSchema(Schema):
    """What there is to pay. The header PAYMENT-REQUIRED says the same to clients of x402, where it can be paid so: in tokens,
    while the hub pays fees."""

    error = fields.Nested(QuoteErrorSchema, required=True)
    payment = fields.Nested(PaymentSchema)


class TopUpSchema(Loose):
    asset = fields.String(load_default="RENDER", validate=validate.OneOf(TAKEN))
    amount = Amount(required=True)


class RedemptionOrderSchema(Loose):
    amount = Amount(required=True, metadata={"description": "of the RENDER on the balance"})


class RedemptionSchema(Schema):
    redeemed = Amount(required=True, metadata={"description": "RENDER that became render credits, one for one"})
    credits = Amount(required=True, metadata={"description": "render credits on the balance now"})
    render = Amount(required=True, metadata={"description": "RENDER on the balance now"})


class HoldingsSchema(Schema):
    """By asset."""

    RCREDIT = Amount(required=True)
    RENDER = Amount(required=True)
    USDC = Amount(required=True)
    USDT = Amount(required=True)
    SOL = Amount(required=True)


class CreditsSchema(Schema):
    credits = Amount(required=True, metadata={"description": "render credits to spend; 1 buys what 1 RENDER buys"})
    balances = fields.Nested(HoldingsSchema, required=True, metadata={"description": "what can be spent, each in its own asset"})
    held = fields.Nested(HoldingsSchema, required=True, metadata={"description": "set aside for work that is not over"})
    wallet = fields.String(required=True, allow_none=True, metadata={"description": "the account's first Solana wallet"})
