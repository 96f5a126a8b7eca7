"""Bodies of /api/v1/payouts."""

from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from typing import Any

from marshmallow import Schema, ValidationError, fields, validate, validates_schema

from app.api.cocoon.schemas.loose import Loose, PageSchema
from app.api.cocoon.schemas.numbers import DecimalNumber, TonAmount
from app.api.cocoon.schemas.texts import Moment, Wallet, asked_id, row_id
from app.errors import InvalidInput
from app.values.payouts import CHAINS, read_transaction_hash

COUNT_MOST = 2**53 - 1
USD_MOST = Decimal(10**12)
YEARS = (2019, 2200)
PERIODS_AHEAD = timedelta(days=3660)


class TransactionHash(fields.String):
    """64 hex digits in any case, or 44 characters of base64; one transaction is one text here."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **_: Any) -> str:
        try:
            return read_transaction_hash(value)
        except InvalidInput as error:
            raise ValidationError(error.message) from None


def count() -> fields.Integer:
    return fields.Integer(strict=True, load_default=None, allow_none=True, validate=validate.Range(0, COUNT_MOST))


class NewPayoutSchema(Loose):
    participant_id = row_id(required=True)
    transaction_hash = TransactionHash(required=True, metadata={"description": "64 hex digits, or 44 characters of base64"})
    amount_ton = TonAmount(required=True, metadata={"example": 25.5})
    amount_usd = DecimalNumber(
        places=12,
        most=USD_MOST,
        load_default=None,
        allow_none=True,
        metadata={"example": 89.25, "description": "without it: at the rate of the transaction's time"},
    )
    from_address = Wallet(required=True)
    to_address = Wallet(required=True)
    transaction_time = Moment(required=True)
    period_start = Moment(load_default=None, allow_none=True)
    period_end = Moment(ahead=PERIODS_AHEAD, load_default=None, allow_none=True)
    total_requests = count()
    total_compute_time_seconds = count()

    @validates_schema
    def check_period(self, data: dict[str, Any], **_: Any) -> None:
        start, end = data.get("period_start"), data.get("period_end")
        if start is not None and end is not None and end < start:
            raise ValidationError("must not lie before period_start", "period_end")


class PayoutsQuerySchema(PageSchema):
    participant_id = asked_id()
    confirmed = fields.Boolean(load_default=None)


class PayoutSchema(Schema):
    id = fields.Integer(required=True)
    participant_id = fields.Integer(required=True)
    transaction_hash = fields.String(required=True, allow_none=True, metadata={"description": "64 hex digits; null until sent"})
    amount_ton = TonAmount(required=True)
    amount_usd = DecimalNumber(places=12, most=USD_MOST, required=True, allow_none=True)
    usd_rate = DecimalNumber(places=12, most=USD_MOST, required=True, allow_none=True)
    usd_rate_source = fields.String(required=True, allow_none=True)
    from_address = Wallet(required=True, allow_none=True)
    to_address = Wallet(required=True)
    transaction_time = Moment(required=True, allow_none=True)
    period_start = Moment(required=True, allow_none=True)
    period_end = Moment(required=True, allow_none=True)
    confirmed = fields.Boolean(required=True)
    confirmations = fields.Integer(required=True)
    block_number = fields.Integer(required=True, allow_none=True)
    total_requests = fields.Integer(required=True, allow_none=True)
    total_compute_time_seconds = fields.Integer(required=True, allow_none=True)
    origin = fields.String(required=True, validate=validate.OneOf(["engine", "recorded"]))
    state = fields.String(required=True)
    reason = fields.String(required=True, allow_none=True, metadata={"description": "what an open payout waits for"})
    created_at = Moment(required=True)


class SummarySchema(Schema):
    participant_id = fields.Integer(required=True)
    total_payouts = fields.Integer(required=True)
    confirmed_payouts = fields.Integer(required=True)
    total_amount_ton = TonAmount(required=True)
    total_amount_usd = DecimalNumber(places=12, most=USD_MOST, required=True)
    first_payout = Moment(required=True, allow_none=True)
    last_payout = Moment(required=True, allow_none=True)


class TaxReportQuerySchema(Loose):
    participant_id = asked_id()
    year = fields.Integer(
        load_default=None, strict=False, validate=validate.Range(*YEARS), metadata={"description": "in UTC; without it: all"}
    )


class DayOrMoment(Moment):
    """A moment, or a day: its first moment in UTC."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **options: Any) -> Any:
        if isinstance(value, str) and len(value) == len("2025-01-15"):
            try:
                value = datetime.combine(datetime.fromisoformat(value).date(), time(), UTC).isoformat()
            except ValueError:
                raise ValidationError("must be a day such as 2025-01-15, or a moment") from None
        return super()._deserialize(value, attr, data, **options)


class ExportQuerySchema(Loose):
    chain = fields.String(load_default=None, validate=validate.OneOf(CHAINS))
    since = DayOrMoment(data_key="from", ahead=PERIODS_AHEAD, load_default=None)
    until = DayOrMoment(
        data_key="to", ahead=PERIODS_AHEAD, load_default=None, metadata={"description": "not included"}
    )

    @validates_schema
    def check_period(self, data: dict[str, Any], **_: Any) -> None:
        if data.get("since") and data.get("until") and data["until"] < data["since"]:
            raise ValidationError("must not lie before from", "to")
