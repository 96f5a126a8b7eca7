"""Passwords: hashed with argon2id, and checked at the same cost whether or not there is anything to check against.

A hash takes tens of milliseconds of computing: in the API it goes through `app.offload`.
"""

import secrets
import unicodedata
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError

PASSWORD_LEAST_CHARS, PASSWORD_LIMIT_CHARS = 8, 256
# Of OWASP's equally strong choices the one that takes least memory: sign-ins at once must not push out what renders.
_HASHER = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)


def hash_password(password: str) -> str:
    """The argon2id hash to store, with its salt and its cost."""
    return _HASHER.hash(_composed(password))


def is_password(secret_hash: str | None, password: str) -> bool:
    """Whether this is the password behind a hash. Without a hash it never is, and takes as long to say so."""
    try:
        return _HASHER.verify(secret_hash or _nobodys(), _composed(password)) and secret_hash is not None
    except (Argon2Error, InvalidHashError):
        return False


def _composed(password: str) -> str:
    """Keyboards send the same letter in different ways."""
    return unicodedata.normalize("NFC", password)


@cache
def _nobodys() -> str:
    return _HASHER.hash(secrets.token_urlsafe(32))
