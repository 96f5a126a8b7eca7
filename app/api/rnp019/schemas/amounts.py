"""Amounts as the dialect writes them."""

from decimal import Decimal, InvalidOperation
from typing import Any

from marshmallow import ValidationError, fields

from app.values.money import Money

WHOLE_DIGITS_MOST, DECIMALS_MOST = 18, 12


class Amount(fields.Field[Any]):
    """An amount of some asset: "1.25". Read as a Decimal of more than zero from text or a JSON number; how many decimals its
    asset has is asked once that is known. Written from Money with all the decimals of its asset."""

    def __init__(self, **options: Any) -> None:
        super().__init__(metadata={"type": "string", "example": "1.25", **options.pop("metadata", {})}, **options)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **_: Any) -> Decimal:
        if isinstance(value, bool) or not isinstance(value, str | int | float) or len(str(value)) > 64:
            raise ValidationError('must be an amount such as "1.25"')
        text = str(value).strip()
        try:
            amount = Decimal(text)
        except InvalidOperation:
            raise ValidationError('must be an amount such as "1.25"') from None
        if not text.isascii() or "_" in text or not amount.is_finite():  # Python reads 1_0 as ten, and nobody else
            raise ValidationError('must be an amount such as "1.25"')
        if amount <= 0:
            raise ValidationError("must be more than zero")
        if amount.adjusted() >= WHOLE_DIGITS_MOST or amount.adjusted() < -DECIMALS_MOST:
            raise ValidationError("is more, or less, than anybody can pay")
        return amount

    def _serialize(self, value: Any, attr: str | None, obj: Any, **_: Any) -> str | None:
        return str(value) if isinstance(value, Money | Decimal) else None
