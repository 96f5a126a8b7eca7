"""The wallet that signs: a Solana keypair in whichever form it comes."""

from __future__ import annotations

import json
import os
import string
from pathlib import Path
from typing import SupportsBytes, Union

from nacl.signing import SigningKey

SECRET_BYTES, SEED_BYTES = 64, 32
_CHARACTERS = string.digits + string.ascii_uppercase + string.ascii_lowercase
ALPHABET = "".join(character for character in _CHARACTERS if character not in "0OIl")  # base58
Source = Union["Keypair", str, "os.PathLike[str]", SupportsBytes]
"""A base58 secret of 64 bytes, the path of a Solana CLI file, or anything whose bytes() are that secret (solders' Keypair)."""


class Keypair:
    """An ed25519 key of a Solana wallet. Its secret is in no text that this class makes."""

    def __init__(self, secret: bytes) -> None:
        """`secret`: the seed and the public key, as Solana keeps them. ValueError where the two don't belong together."""
        if len(secret) != SECRET_BYTES:
            raise ValueError(f"a Solana secret has {SECRET_BYTES} bytes, and this one {len(secret)}")
        self._key = SigningKey(secret[:SEED_BYTES])
        if bytes(self._key.verify_key) != secret[SEED_BYTES:]:
            raise ValueError("this is no Solana secret: its second half is not the public key of its first")

    @property
    def address(self) -> str:
        """The wallet's address, base58."""
        return encode(bytes(self._key.verify_key))

    def sign(self, message: bytes) -> bytes:
        return self._key.sign(message).signature

    def __repr__(self) -> str:
        return f"Keypair({self.address})"


def read(source: Source) -> Keypair:
    """The keypair of a source. ValueError that says what is wrong, without the secret; OSError where a file can't be read."""
    if isinstance(source, Keypair):
        return source
    if isinstance(source, str) and not _is_path(source):
        return Keypair(decode(source))
    if isinstance(source, str | os.PathLike):
        return _read_file(Path(source).expanduser())
    return Keypair(bytes(source))


def _is_path(text: str) -> bool:
    """No base58 text has any of these; a bare name is a file where there is one."""
    return any(mark in text for mark in "/\\.~_-") or Path(text).is_file()


def _read_file(path: Path) -> Keypair:
    """A Solana CLI file: a JSON array of 64 numbers."""
    try:
        return Keypair(bytes(json.loads(path.read_text())))
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path} is no Solana keypair file (a JSON array of {SECRET_BYTES} numbers)") from error


def decode(text: str) -> bytes:
    """base58 to bytes. ValueError for a character outside its alphabet."""
    number = 0
    for character in text:
        digit = ALPHABET.find(character)
        if digit < 0:
            raise ValueError("this keypair is neither base58 nor the path of a file")
        number = number * 58 + digit
    zeros = len(text) - len(text.lstrip("1"))
    return bytes(zeros) + number.to_bytes((number.bit_length() + 7) // 8, "big")


def encode(data: bytes) -> str:
    number, digits = int.from_bytes(data, "big"), ""
    while number:
        number, digit = divmod(number, 58)
        digits = ALPHABET[digit] + digits
    return "1" * (len(data) - len(data.lstrip(b"\0"))) + digits
