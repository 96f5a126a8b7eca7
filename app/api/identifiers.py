"""Ids in paths: what is no UUID is an invalid field of the dialect that owns the path."""

import uuid

from app.errors import InvalidInput


def read(text: str, name: str) -> uuid.UUID:
    """The UUID; InvalidInput says which id is none."""
    try:
        return uuid.UUID(text)
    except ValueError:
        raise InvalidInput(f"{name}: not a valid UUID") from None
