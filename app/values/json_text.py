"""JSON from strangers: read strictly, so that nothing gets in that the database or a later reader would choke on."""

import json
import math
import re
from collections import Counter
from contextlib import suppress
from decimal import Decimal
from typing import Any

from app.errors import InvalidInput

MAX_DEPTH = 64
# What plain json.loads lets through, fails on in its own ways, or what PostgreSQL's JSON can't hold.
_SUSPICIOUS = re.compile(rb"\\u(?:0000|[dD][89a-fA-F])|NaN|Infinity|[0-9][eE]|[0-9]{19}|\x00")
_MANY_BRACKETS = 256


def read_json(data: bytes | str) -> Any:
    """The JSON value in `data`; INVALID_JSON for what is broken, too deep, not finite, or holds NUL or half characters."""
    try:
        text = data.decode() if isinstance(data, bytes) else data
        value = json.loads(text, parse_constant=_refuse_constant, object_pairs_hook=_unique)
    except (ValueError, RecursionError):
        raise InvalidInput("the body is not valid JSON", code="INVALID_JSON") from None
    _check(value, MAX_DEPTH)
    return value


def read_exact_json(data: bytes) -> Any:
    """The same with every number that has a point or an exponent as a Decimal: no digit of an amount is lost."""
    read_json(data)
    return json.loads(data, parse_float=Decimal)


def check_json(data: bytes) -> None:
    """Refuse what `read_json` would refuse, at less cost where nothing looks odd. What is no JSON is left to whoever reads it."""
    if _SUSPICIOUS.search(data) or data.count(b"{") + data.count(b"[") > _MANY_BRACKETS:
        read_json(data)
        return
    with suppress(ValueError):
        json.loads(data, object_pairs_hook=_unique)


def size_bytes(value: Any) -> int:
    """How long a JSON value is when it is written in ASCII."""
    return len(json.dumps(value))


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object. Of a name that is there twice, one reader would take the first value and another the last."""
    found = dict(pairs)
    if len(found) != len(pairs):
        repeated = Counter(name for name, _ in pairs).most_common(1)[0][0]
        raise InvalidInput(f"the JSON has {repeated[:64]!r} twice in one object: send it once", code="INVALID_JSON")
    return found


def _refuse_constant(name: str) -> None:
    raise ValueError(name)


def _check(value: Any, depth: int) -> None:
    if depth == 0:
        raise InvalidInput(f"the JSON is nested more than {MAX_DEPTH} deep", code="INVALID_JSON")
    if isinstance(value, dict):
        for name, item in value.items():
            _check(name, depth)
            _check(item, depth - 1)
    elif isinstance(value, list):
        for item in value:
            _check(item, depth - 1)
    elif isinstance(value, str):
        if "\0" in value or not value.isascii() and any("\ud800" <= char <= "\udfff" for char in value):
            raise InvalidInput("the JSON holds a character that is no text", code="INVALID_JSON")
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise InvalidInput("the JSON holds a number that is too large", code="INVALID_JSON")
    elif isinstance(value, int) and abs(value) >= 2**63:
        raise InvalidInput("the JSON holds a number that is too large", code="INVALID_JSON")
