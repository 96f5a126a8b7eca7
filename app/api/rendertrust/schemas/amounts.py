"""Amounts of credits in bodies: exact decimals, as text."""

import re
from typing import Any

from marshmallow import ValidationError, fields

from app.values.money import DECIMALS, Money, parse

ASSET = "CREDIT"
_AMOUNT = re.compile(r"[0-9]{1,8}(?:\.[0-9]{1,4})?", re.ASCII)


class CreditAmount(fields.Field[Money]):
    """More than zero, at most 99999999.9999. Read from text such as "10.0000" (a plain number is taken, too), written as text."""

    def __init__(self, **options: Any) -> None:
        metadata = {"type": "string", "pattern": f"^{_AMOUNT.pattern}$", "example": "10.0000", **options.pop("metadata", {})}
        super().__init__(metadata=metadata, **options)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **_: Any) -> Money:
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        text = str(value) if is_number else value
        if not isinstance(text, str) or not _AMOUNT.fullmatch(text):
            places = DECIMALS[ASSET]
            raise ValidationError(f'must be a decimal such as "10.0000": at most 99999999.9999, {places} decimals, no exponent')
        amount = parse(text, ASSET)
        if amount.minor == 0:
            raise ValidationError("must be more than zero")
        return amount

    def _serialize(self, value: Money | None, attr: str | None, obj: Any, **_: Any) -> str | None:
        return None if value is None else str(value)
