"""Numbers in bodies: exact, finite, and never written as 1e-05."""

import re
from decimal import Decimal
from typing import Any

from marshmallow import ValidationError, fields

from app.values.money import DECIMALS, Money
from app.values.plain_numbers import Plain, number

ASSET = "TON"
_PLAIN = re.compile(r"[0-9]{1,13}(?:\.[0-9]{1,12})?", re.ASCII)


def read_decimal(value: Any, places: int) -> Decimal:
    """A JSON number, or text such as 25.5, not negative, of at most `places` decimals; ValidationError says what it must be."""
    is_number = isinstance(value, int | Decimal) and not isinstance(value, bool)
    if is_number and abs(value) >= 10**13:
        raise ValidationError("is too large")
    text = str(Plain(value)) if is_number else value
    if isinstance(value, Decimal) and Decimal(text) != value:  # its digits were too many even for a Decimal to show
        text = ""
    if not isinstance(text, str) or not _PLAIN.fullmatch(text) or len(text.partition(".")[2].rstrip("0")) > places:
        raise ValidationError(f"must be a number such as 25.5: not negative, at most {places} decimals, no exponent")
    return Decimal(text)


class Number(fields.Field[Any]):
    """A number of an answer, exact: an integer, a Decimal, or a float as it reads; null where nothing is known."""

    def __init__(self, **options: Any) -> None:
        super().__init__(metadata={"type": "number", **options.pop("metadata", {})}, **options)

    def _serialize(self, value: Any, attr: str | None, obj: Any, **_: Any) -> Plain | int | None:
        if value is None or isinstance(value, int):
            return value
        return number(repr(value) if isinstance(value, float) else value)


class TonAmount(Number):
    """TON, nine decimals. Read as Money of more than zero, written as an exact number."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **_: Any) -> Money:
        minor = int(read_decimal(value, DECIMALS[ASSET]).scaleb(DECIMALS[ASSET]))
        if not 0 < minor <= 2**62:
            raise ValidationError("must be more than zero, and no more than there is")
        return Money(minor, ASSET)

    def _serialize(self, value: Any, attr: str | None, obj: Any, **_: Any) -> Plain | int | None:
        return super()._serialize(value.decimal if isinstance(value, Money) else value, attr, obj)


class DecimalNumber(Number):
    """A decimal of up to `places` decimals, `least` to `most`, read and written exactly."""

    def __init__(self, *, places: int, least: Decimal = Decimal(0), most: Decimal, **options: Any) -> None:
        self.places, self.least, self.most = places, least, most
        super().__init__(**options)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **_: Any) -> Decimal:
        found = read_decimal(value, self.places)
        if not self.least <= found <= self.most:
            raise ValidationError(f"must be from {self.least} to {self.most}")
        return found
