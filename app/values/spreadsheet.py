"""CSV that a spreadsheet program opens without running anything of what users wrote."""

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal

from app.values.money import Money

# What programs take for a formula, in the forms of other alphabets too; the apostrophe makes each a text.
_FORMULA = re.compile(r"\s*[=+\-@|%\uff1d\uff0b\uff0d\uff20\u2212]")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
Cell = str | int | bool | Decimal | Money | datetime | None


def line(cells: Iterable[Cell]) -> str:
    """One row, with its end. Numbers, moments and texts are told apart, so that only a text is ever quoted."""
    return ",".join(map(cell, cells)) + "\r\n"


def cell(value: Cell) -> str:
    """A value as one field; None is an empty one."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "Yes" if value else "No"
    if isinstance(value, Money):
        return str(value)
    if isinstance(value, Decimal):
        return dollars(value)
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")
    return str(value) if isinstance(value, int) else _text(value)


def dollars(amount: Decimal) -> str:
    """Exact, with two decimals at least."""
    whole, _, rest = format(amount, "f").partition(".")
    return f"{whole}.{rest.rstrip('0').ljust(2, '0')}"


def _text(text: str) -> str:
    """On one line, no formula; quoted where it holds what some program takes for the end of a field."""
    flat = _CONTROL.sub(" ", text)
    safe = f"'{flat}" if _FORMULA.match(flat) else flat
    return '"' + safe.replace('"', '""') + '"' if re.search(r"[^A-Za-z0-9_.:/ -]", safe) else safe
