"""The keys of the hub's tokens: SECRET_KEY signs; it and those of SECRET_KEY_PREVIOUS verify, so that it can be changed while
tokens are about. A token's header names its key (`kid`)."""

import hmac
from dataclasses import dataclass
from typing import Any, cast

import jwt
from flask import Flask, current_app
from flask_jwt_extended import JWTManager
from jwt.exceptions import InvalidKeyError, InvalidSignatureError

from app.config import Settings

ALGORITHM = "HS256"
_PURPOSE = b"lightyard key id v1"
_NAME = "lightyard_keyring"


@dataclass(frozen=True, slots=True)
class Keyring:
    """`signing` and all that `verify`, the signing one first."""

    signing: str
    verifying: tuple[str, ...]

    def read(self, token: str) -> dict[str, Any]:
        """The claims of a token under one of the keys that is not over; PyJWTError for any other.

        One that names no key is of a hub before keys had names: each is tried.
        """
        named = jwt.get_unverified_header(token).get("kid")
        keys = [key for key in self.verifying if named is None or key_id(key) == named]
        if not keys:
            raise InvalidKeyError("no key of ours has this name")
        for key in keys[:-1]:
            try:
                return cast(dict[str, Any], jwt.decode(token, key, algorithms=[ALGORITHM]))
            except InvalidSignatureError:
                continue
        return cast(dict[str, Any], jwt.decode(token, keys[-1], algorithms=[ALGORITHM]))


def key_id(key: str) -> str:
    """A key's name, which says nothing about it."""
    return hmac.digest(key.encode(), _PURPOSE, "sha256").hex()[:16]


def install(app: Flask, settings: Settings) -> None:
    """Sign with the newest key from now on, and name it."""
    app.config.update(JWT_SECRET_KEY=settings.secret_key, JWT_ALGORITHM=ALGORITHM, JWT_DECODE_ALGORITHMS=[ALGORITHM])
    headers = {"kid": key_id(settings.secret_key)}
    JWTManager(app).additional_headers_loader(lambda _identity: headers)
    app.extensions[_NAME] = Keyring(settings.secret_key, (settings.secret_key, *settings.previous_secret_keys))


def keyring() -> Keyring:
    """The hub's."""
    return cast(Keyring, current_app.extensions[_NAME])
