"""Ids in paths: RenderTrust answers 422 to what is no UUID."""

import uuid

from app.errors import InvalidInput


def read(text: str, name: str) -> uuid.UUID:
    """The UUID; InvalidInput says which id is none."""
    try:
        return uuid.UUID(text)
    except ValueError:
        raise InvalidInput(f"{name}: not a valid UUID") from None
