"""Wallet signatures: ed25519 by PyNaCl, which refuses the forged keys that OpenSSL lets through."""

import base64
import binascii

from nacl.exceptions import BadSignatureError, CryptoError
from nacl.signing import VerifyKey
from solders.pubkey import Pubkey
from solders.signature import Signature

from app.errors import InvalidInput

SIGNATURE_BYTES = 64


def is_solana_address(text: object) -> bool:
    """Whether this is the base58 text of 32 bytes."""
    return isinstance(text, str) and _address(text) is not None


def read_solana_address(text: str) -> str:
    """The address of a Solana wallet; InvalidInput when it is none."""
    if not is_solana_address(text):
        raise InvalidInput("a Solana address is the base58 text of 32 bytes", code="SOLANA_ADDRESS_INVALID")
    return text


def is_transaction_signature(text: object) -> bool:
    """Whether this is the base58 text of 64 bytes."""
    return isinstance(text, str) and _base58_signature(text) is not None


def _address(text: str) -> bytes | None:
    try:
        return bytes(Pubkey.from_string(text))
    except ValueError:
        return None


def _base58_signature(text: str) -> bytes | None:
    try:
        return bytes(Signature.from_string(text))
    except ValueError:
        return None


def _base64_signature(text: str) -> bytes | None:
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return raw if len(raw) == SIGNATURE_BYTES else None


def verify(address: str, message: str | bytes, signature: str) -> bool:
    """Whether the wallet signed exactly this message; the signature is base58 or base64."""
    key = _address(address)
    raw = _base58_signature(signature) or _base64_signature(signature)
    if key is None or raw is None:
        return False
    return verify_raw(key, message.encode() if isinstance(message, str) else message, raw)


def verify_raw(public_key: bytes, message: bytes, signature: bytes) -> bool:
    """Whether the holder of this raw key signed the message."""
    try:
        VerifyKey(public_key).verify(message, signature)
    except (BadSignatureError, CryptoError, ValueError, TypeError):
        return False
    return True
