"""Bodies of /api/v1/billing."""

from typing import Any

from marshmallow import Schema, ValidationError, fields, validate, validates_schema

from app.api.robocompute.movement_words import WORDS
from app.api.robocompute.schemas.loose import CURRENCIES, Amount, Loose

DETAILS_LIMIT_CHARS = 500


class MovementSchema(Schema):
    """One change of a balance. hold and release are what is set aside for a task, and what of it was not used."""

    id = fields.UUID(required=True)
    entry_id = fields.Integer(required=True, allow_none=True, metadata={"description": "the ledger's number, for its proof"})
    type = fields.String(required=True, validate=validate.OneOf(WORDS))
    amount = fields.String(required=True, metadata={"description": "signed: what left is negative", "example": "-1.25"})
    currency = fields.String(required=True)
    balance_after = Amount(required=True)
    task_id = fields.UUID(required=True, allow_none=True)
    job_id = fields.UUID(required=True, allow_none=True)
    name = fields.String(required=True, allow_none=True, metadata={"description": "of the task or job"})
    description = fields.String(required=True, allow_none=True)
    created_at = fields.String(required=True, metadata={"format": "date-time"})


class TotalsSchema(Schema):
    """`opening_balance` and all of `by_type` add up to `closing_balance`."""

    opening_balance = fields.String(required=True)
    closing_balance = fields.String(required=True)
    by_type = fields.Dict(keys=fields.String(), values=fields.String(), required=True)
    spent = Amount(required=True, metadata={"description": "what tasks were charged"})
    tasks_charged = fields.Integer(required=True)


class HistorySchema(Schema):
    transactions = fields.List(fields.Nested(MovementSchema), required=True)
    count = fields.Integer(required=True, metadata={"description": "in this answer"})
    totals = fields.Dict(
        keys=fields.String(), values=fields.Nested(TotalsSchema), required=True, metadata={"description": "by currency"}
    )
    start_date = fields.String(required=True, allow_none=True, metadata={"format": "date-time"})
    end_date = fields.String(
        required=True, allow_none=True, metadata={"format": "date-time", "description": "the moment after the last one"}
    )


class UsageRowSchema(Schema):
    task_id = fields.UUID(required=True)
    name = fields.String(required=True)
    status = fields.String(required=True, validate=validate.OneOf(("running", "waiting", "charged", "released")))
    seconds = fields.Integer(required=True, metadata={"description": "charged; of one that runs, by now"})
    price_per_hour = Amount(required=True)
    amount = Amount(required=True, metadata={"description": "charged; of one that runs, at most by now"})
    held = Amount(required=True)
    currency = fields.String(required=True)
    started_at = fields.String(required=True, metadata={"format": "date-time"})
    charged_at = fields.String(required=True, allow_none=True, metadata={"format": "date-time"})
    invoice_id = fields.UUID(required=True, allow_none=True)


class UsageSchema(Schema):
    usage = fields.List(fields.Nested(UsageRowSchema), required=True)
    count = fields.Integer(required=True)
    total_seconds = fields.Integer(required=True, metadata={"description": "in this answer"})
    total_usdc = Amount(required=True)
    total_usdt = Amount(required=True)


class InvoiceSchema(Schema):
    """What was charged, and paid in advance: nothing of it is due. It never changes; what disputes give back later is `credited`
    by credit notes to it."""

    id = fields.UUID(required=True)
    invoice_id = fields.UUID(required=True)
    number = fields.String(required=True, metadata={"example": "RC-1f0e9a7c-000012"})
    sequence = fields.Integer(required=True, metadata={"description": "counts the account's invoices without a gap"})
    status = fields.String(required=True, validate=validate.OneOf(("paid",)))
    currency = fields.String(required=True)
    amount = Amount(required=True)
    total = Amount(required=True)
    amount_due = Amount(required=True)
    credited = Amount(required=True, metadata={"description": "the sum of its credit notes"})
    net = Amount(required=True, metadata={"description": "total less credited"})
    tasks = fields.Integer(required=True)
    period_start = fields.String(required=True, metadata={"format": "date-time"})
    period_end = fields.String(required=True, metadata={"format": "date-time"})
    issued_at = fields.String(required=True, metadata={"format": "date-time"})
    seller = fields.String(required=True)
    buyer = fields.String(required=True)
    pdf_url = fields.String(required=True, metadata={"description": "its path on this hub"})


class InvoiceLineSchema(Schema):
    position = fields.Integer(required=True)
    task_id = fields.UUID(required=True)
    name = fields.String(required=True)
    seconds = fields.Integer(required=True)
    price_per_hour = Amount(required=True)
    amount = Amount(required=True)
    started_at = fields.String(required=True, allow_none=True, metadata={"format": "date-time"})
    charged_at = fields.String(required=True, metadata={"format": "date-time"})


class CreditNoteSchema(Schema):
    """What the decision of a dispute gave back of one line."""

    number = fields.String(required=True, metadata={"example": "RC-1f0e9a7c-000012-C1"})
    position = fields.Integer(required=True, metadata={"description": "of the invoice's line"})
    task_id = fields.UUID(required=True)
    dispute_id = fields.UUID(required=True)
    amount = Amount(required=True)
    reason = fields.String(required=True)
    issued_at = fields.String(required=True, metadata={"format": "date-time"})


class InvoiceWithLinesSchema(InvoiceSchema):
    lines = fields.List(fields.Nested(InvoiceLineSchema), required=True)
    credit_notes = fields.List(fields.Nested(CreditNoteSchema), required=True)


class InvoicesSchema(Schema):
    invoices = fields.List(fields.Nested(InvoiceSchema), required=True)
    count = fields.Integer(required=True, metadata={"description": "in this answer"})


class PaymentMethodOrderSchema(Loose):
    """With `auto_topup` a deposit of `topup_amount` is asked for as soon as less than `topup_threshold` can be spent."""

    preferred_currency = fields.String(load_default="USDC", validate=validate.OneOf(CURRENCIES))
    auto_topup = fields.Boolean(load_default=False, truthy={True}, falsy={False})
    topup_threshold = Amount(load_default=None, allow_none=True)
    topup_amount = Amount(load_default=None, allow_none=True)
    billing_details = fields.String(
        load_default=None,
        allow_none=True,
        validate=validate.Length(max=DETAILS_LIMIT_CHARS),
        metadata={"description": "your name, address and tax number as they are to stand on invoices"},
    )

    @validates_schema
    def has_what_a_topup_needs(self, data: dict[str, Any], **_: Any) -> None:
        for name in ("topup_threshold", "topup_amount") if data["auto_topup"] else ():
            if not data[name]:
                raise ValidationError("auto_topup needs an amount above 0 here", name)


class PaymentMethodSchema(Schema):
    type = fields.String(required=True, metadata={"description": "always `wallet`: tasks are paid from deposits"})
    preferred_currency = fields.String(required=True)
    auto_topup = fields.Boolean(required=True)
    topup_threshold = Amount(required=True, allow_none=True)
    topup_amount = Amount(required=True, allow_none=True)
    topup_deposit_id = fields.UUID(
        required=True, allow_none=True, metadata={"description": "the deposit that is asked for now; only you can pay it"}
    )
    billing_details = fields.String(required=True, allow_none=True)
