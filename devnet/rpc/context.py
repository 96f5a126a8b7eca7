"""The envelope of answers that hold for one slot."""

from typing import Any

VERSION = "2.0.0"  # the release of Agave whose answers these are


def context(slot: int, value: Any) -> dict[str, Any]:
    return {"context": {"slot": slot, "apiVersion": VERSION}, "value": value}
