"""What all bodies and queries of the dialect share."""

from decimal import Decimal
from typing import Any

from marshmallow import EXCLUDE, Schema, ValidationError, fields, validate

from app.errors import InvalidInput
from app.values.money import Money, parse

CURRENCIES = ("USDC", "USDT")
OFFSET_MOST = 10_000_000
AMOUNT_MOST = Decimal(10**9)


class Loose(Schema):
    """Unknown fields are passed over, as the reference does."""

    class Meta:
        unknown = EXCLUDE


class PageSchema(Loose):
    """Which rows of a list."""

    limit = fields.Integer(load_default=50, validate=validate.Range(1, 1000))
    offset = fields.Integer(load_default=0, validate=validate.Range(0, OFFSET_MOST))


class Amount(fields.Field[Any]):
    """An amount of USDC or USDT, both of which have six decimals: "10.00". Read as a Decimal of zero or more, from a string or a
    JSON number; written from Money, with two decimals at least."""

    def __init__(self, **options: Any) -> None:
        super().__init__(metadata={"type": "string", "example": "10.00", **options.pop("metadata", {})}, **options)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **_: Any) -> Decimal:
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise ValidationError('must be an amount such as "10.00"')
        try:
            amount = parse(str(value).strip(), CURRENCIES[0]).decimal
        except InvalidInput as refusal:
            raise ValidationError(refusal.message) from None
        if not 0 <= amount <= AMOUNT_MOST:
            raise ValidationError(f"must be from 0 to {AMOUNT_MOST:f}")
        return amount

    def _serialize(self, value: Any, attr: str | None, obj: Any, **_: Any) -> str | None:
        return None if value is None else written(value)


def written(amount: Money | Decimal) -> str:
    """As this dialect writes amounts: the asset's decimals (six) without the zeros at their end, but two at least."""
    text = str(amount) if isinstance(amount, Money) else f"{amount:.6f}"
    whole, _, decimals = text.partition(".")
    return f"{whole}.{decimals.rstrip('0').ljust(2, '0')}"
