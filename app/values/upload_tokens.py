"""What lets somebody send the bytes of one announced file, without any other credential: part of an address."""

import hmac
import uuid
from collections.abc import Sequence

_PURPOSE = b"lightyard scene uploads v1"


def make(secret_key: str, scene_id: uuid.UUID) -> str:
    """The token of a scene, under a key made from the hub's secret for this purpose alone."""
    key = hmac.digest(secret_key.encode(), _PURPOSE, "sha256")
    return hmac.new(key, scene_id.bytes, "sha256").hexdigest()


def is_good(secret_keys: Sequence[str], scene_id: uuid.UUID, token: str) -> bool:
    """Whether one of the hub's secrets, older ones too, made this token for the scene."""
    return any(hmac.compare_digest(make(key, scene_id).encode(), token.encode()) for key in secret_keys)
