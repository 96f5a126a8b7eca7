"""The host's ed25519 identity: made once, kept in NODE_HOME, never sent anywhere."""

from __future__ import annotations

import base64
import os
from pathlib import Path

from nacl.signing import SigningKey

KEY_NAME = "identity.key"


def load_or_create_key(home: Path) -> SigningKey:
    """The node's key from `home`, made with mode 0600 when absent. Raises OSError, or ValueError for a damaged file."""
    path = home / KEY_NAME
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return _read(path)
    key = SigningKey.generate()
    with os.fdopen(descriptor, "wb") as file:
        file.write(base64.b64encode(bytes(key)))
    return key


def public_key_text(key: SigningKey) -> str:
    """Base64 of the 32 raw bytes, as a registration carries it."""
    return base64.b64encode(bytes(key.verify_key)).decode("ascii")


def sign_text(key: SigningKey, text: str) -> str:
    """Base64 of the signature over the text's UTF-8 bytes."""
    return base64.b64encode(key.sign(text.encode("utf-8")).signature).decode("ascii")


def _read(path: Path) -> SigningKey:
    try:
        return SigningKey(base64.b64decode(path.read_bytes(), validate=True))
    except ValueError as error:
        raise ValueError(f"{path} is not a node key; move it away to make a new identity") from error
