"""Numbers as JSON shows them: exact decimals, never with an exponent."""

from decimal import Decimal
from typing import Any


class Plain(Decimal):
    """A decimal that JSON shows without an exponent."""

    def __str__(self) -> str:
        return format(self.normalize(), "f") if self else "0"


def number(value: Decimal | str | int) -> Plain:
    return Plain(value)


def written_out(value: Any) -> Any:
    """A stranger's JSON with every float as a number without an exponent."""
    if isinstance(value, float):
        return Plain(repr(value))
    if isinstance(value, dict):
        return {name: written_out(item) for name, item in value.items()}
    return [written_out(item) for item in value] if isinstance(value, list) else value
