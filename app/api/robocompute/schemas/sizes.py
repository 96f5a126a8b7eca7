"""Cores and gigabytes in bodies and queries."""

from decimal import Decimal, InvalidOperation
from typing import Any

from marshmallow import ValidationError, fields

_STEP = Decimal("0.001")


class Size(fields.Field[Any]):
    """So many cores, GPUs or GB: a number from `least` up to `most`, to the thousandth. Read as a Decimal from a JSON number or
    its text, written as a number."""

    def __init__(self, most: int, *, least: Decimal | int = _STEP, is_whole: bool = False, **options: Any) -> None:
        self.least, self.most, self.is_whole = least, most, is_whole
        kind = "integer" if is_whole else "number"
        metadata = {"type": kind, "minimum": float(least), "maximum": most, **options.pop("metadata", {})}
        super().__init__(metadata=metadata, **options)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **_: Any) -> Decimal:
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise ValidationError("must be a number")
        try:
            number = Decimal(str(value).strip())
        except InvalidOperation:
            raise ValidationError("must be a number") from None
        if not number.is_finite() or not self.least <= number <= self.most:
            raise ValidationError(f"must be from {self.least} to {self.most}")
        if self.is_whole and number != int(number):
            raise ValidationError("must be a whole number")
        return number.quantize(_STEP)

    def _serialize(self, value: Any, attr: str | None, obj: Any, **_: Any) -> int | float | None:
        if value is None:
            return None
        return int(value) if value == int(value) else float(value)
