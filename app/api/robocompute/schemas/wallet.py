"""Bodies of /api/v1/wallet."""

from marshmallow import Schema, ValidationError, fields, validate

from app.api.robocompute.deposit_states import STATUSES
from app.api.robocompute.schemas.loose import CURRENCIES, Amount, Loose
from app.values.signatures import is_transaction_signature

NOTE_LIMIT_CHARS, SIGNATURE_LIMIT_CHARS = 200, 100


class BalanceSchema(Schema):
    """What the account has with this hub; a balance is what can be spent."""

    usdc_balance = Amount(required=True)
    usdt_balance = Amount(required=True)
    sol_balance = Amount(required=True, metadata={"description": "SOL on this hub's ledger, nine decimals at most"})
    usdc_held = Amount(required=True, metadata={"description": "set aside for tasks that are not over"})
    usdt_held = Amount(required=True)
    usdc_staked = Amount(required=True)
    usdt_staked = Amount(required=True)
    usdc_unstaking = Amount(required=True, metadata={"description": "unstaked, and back on the balance after its delay"})
    usdt_unstaking = Amount(required=True)
    usdc_paying_out = Amount(required=True, metadata={"description": "on its way to a wallet"})
    usdt_paying_out = Amount(required=True)
    wallet_address = fields.String(required=True, allow_none=True, metadata={"description": "the account's first Solana wallet"})
    topup_deposit_id = fields.UUID(
        required=True, allow_none=True, metadata={"description": "the deposit that auto_topup asks for now"}
    )


class DepositOrderSchema(Loose):
    amount = Amount(required=True)
    currency = fields.String(
        validate=validate.OneOf(CURRENCIES),
        metadata={"description": "by default the payment method's, which is USDC unless it was set"},
    )
    memo = fields.String(
        load_default=None,
        allow_none=True,
        validate=validate.Length(max=NOTE_LIMIT_CHARS),
        metadata={"description": "your own word for it; it comes back as `note`, and is not the memo that the transfer carries"},
    )


def _assert_signature(text: str) -> None:
    if len(text) > SIGNATURE_LIMIT_CHARS or not is_transaction_signature(text):
        raise ValidationError("must be a Solana transaction's signature: the base58 text of 64 bytes")


class PaymentSchema(Loose):
    tx_signature = fields.String(
        required=True, validate=_assert_signature, metadata={"description": "of the transaction on Solana, base58"}
    )


class DepositTransactionSchema(Schema):
    tx_signature = fields.String(required=True)
    status = fields.String(required=True, validate=validate.OneOf(("pending", "accepted", "credited", "refused")))
    code = fields.String(required=True, allow_none=True)
    message = fields.String(required=True, allow_none=True)
    amount = Amount(required=True, metadata={"description": "what of it is on the balance"})
    payer = fields.String(required=True, allow_none=True)
    seen_at = fields.String(required=True, metadata={"format": "date-time"})


class DepositSchema(Schema):
    """Where to pay, and what came of it. Send `amount` to `pay_to` in one transfer of the token that `mint` names, with exactly
    `memo` in the transaction; it is found by itself."""

    id = fields.UUID(required=True)
    deposit_id = fields.UUID(required=True)
    status = fields.String(required=True, validate=validate.OneOf(STATUSES))
    asset = fields.String(required=True)
    currency = fields.String(required=True)
    amount = Amount(required=True)
    received = Amount(required=True, metadata={"description": "what has come onto the balance for it"})
    chain = fields.String(required=True)
    pay_to = fields.String(required=True)
    mint = fields.String(required=True, allow_none=True)
    memo = fields.String(required=True)
    note = fields.String(required=True, allow_none=True)
    created_at = fields.String(required=True, metadata={"format": "date-time"})
    expires_at = fields.String(required=True, metadata={"format": "date-time"})
    confirmed_at = fields.String(required=True, allow_none=True, metadata={"format": "date-time"})
    tx_signature = fields.String(required=True, allow_none=True)


class DepositWithTransactionsSchema(DepositSchema):
    transactions = fields.List(fields.Nested(DepositTransactionSchema), required=True)


class DepositsSchema(Schema):
    deposits = fields.List(fields.Nested(DepositSchema), required=True)
    count = fields.Integer(required=True, metadata={"description": "in this answer"})
