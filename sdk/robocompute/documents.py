"""What the API answers, readable as a dict and by attributes."""

from __future__ import annotations

import json
from typing import Any


class Document(dict[str, Any]):
    """`task["status"]` and `task.status` are the same. Objects inside are Documents, too.

    A dict's own methods go first: a field called `items` is `document["items"]`.
    """

    __slots__ = ()

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            known = ", ".join(self) or "nothing"
            raise AttributeError(f"the answer has no field {name!r}; it has {known}") from None

    def __setattr__(self, name: str, value: Any) -> None:
        self[name] = value

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self]

    def __repr__(self) -> str:
        return f"Document({super().__repr__()})"


def read(text: str | bytes) -> Document:
    """An object's text as a Document. ValueError for anything else."""
    found = json.loads(text, object_hook=Document)
    if not isinstance(found, Document):
        raise ValueError(f"this is no JSON object: {text[:80]!r}")
    return found
