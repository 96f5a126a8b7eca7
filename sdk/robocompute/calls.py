"""One call of the API as a value: what is asked, before it is signed and sent."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from urllib.parse import quote, urlencode

Amount = str | int | float | Decimal
"""Money or a price. Strings go as they are; Decimals and ints are exact, too."""


@dataclass(frozen=True, slots=True)
class Call:
    """`path` is below the base URL, with its query; `body` becomes JSON. A POST carries `idempotency_key`: every try of the call
    has the same one, so that what was done and not heard of is not done twice."""

    method: str
    path: str
    body: Mapping[str, Any] | None = None
    idempotency_key: str | None = None
    accept: str = "application/json"


def get(path: str, accept: str = "application/json", **query: Any) -> Call:
    """A GET with what of the query is not None."""
    return Call("GET", with_query(path, query), accept=accept)


def post(path: str, body: Mapping[str, Any], idempotency_key: str | None = None) -> Call:
    return Call("POST", path, given(body), idempotency_key or str(uuid.uuid4()))


def patch(path: str, body: Mapping[str, Any], idempotency_key: str | None = None) -> Call:
    """A change may be told twice, unless it adds something: then it needs a key."""
    return Call("PATCH", path, given(body), idempotency_key)


def delete(path: str) -> Call:
    return Call("DELETE", path)


def given(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that were given."""
    return {name: value for name, value in fields.items() if value is not None}


def segment(identifier: object, name: str) -> str:
    """An id as one part of a path. ValueError for an empty one, which would be another path."""
    text = str(identifier)
    if not text or text in (".", ".."):
        raise ValueError(f"{name} is {text!r}")
    return quote(text, safe="")


def decimal_text(value: Amount | None) -> str | None:
    """Money as the API takes it: a plain decimal."""
    return value if value is None or isinstance(value, str) else format(Decimal(str(value)), "f")


def with_query(path: str, query: Mapping[str, Any]) -> str:
    words = {name: _word(value) for name, value in given(query).items()}
    return f"{path}?{urlencode(words)}" if words else path


def _word(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
