"""The public key by which a node is known: ed25519, or RSA for nodes whose hosts have nothing else.

A key's text is what the database keeps: base64 of an ed25519 key's 32 bytes, or `rsa:` and base64 of its SubjectPublicKeyInfo.
"""

import base64
import binascii
import hashlib

from app.errors import InvalidInput
from app.values import rsa, signatures

PEM_HEAD, PEM_TAIL = "-----BEGIN PUBLIC KEY-----", "-----END PUBLIC KEY-----"
ED25519_PREFIX = bytes.fromhex("302a300506032b6570032100")  # SubjectPublicKeyInfo of RFC 8410, before the 32 bytes
RSA_MARK = "rsa:"
SIGNATURE_LIMIT_CHARS = 2048


def read(text: str) -> str:
    """A key's text from PEM, or from base64 of an ed25519 key; InvalidInput for anything else."""
    body = text.strip()
    is_pem = body.startswith(PEM_HEAD)
    if is_pem:
        body = "".join(body.removeprefix(PEM_HEAD).partition(PEM_TAIL)[0].split())
    try:
        raw = base64.b64decode(body, validate=True)
    except (binascii.Error, ValueError):
        raise InvalidInput("public_key must be PEM (ed25519 or RSA), or base64 of an ed25519 key's 32 bytes") from None
    if len(raw) == 44 and raw.startswith(ED25519_PREFIX):
        raw = raw.removeprefix(ED25519_PREFIX)
    if len(raw) == 32:
        return base64.b64encode(raw).decode()
    if not is_pem:
        raise InvalidInput("public_key must be an ed25519 key of 32 bytes, or PEM")
    rsa.read_key(raw)
    return RSA_MARK + base64.b64encode(raw).decode()


def raw(key: str) -> bytes:
    """The bytes that an enrolment names by their hash: ed25519's 32, or RSA's SubjectPublicKeyInfo."""
    return base64.b64decode(key.removeprefix(RSA_MARK))


def fingerprint(key: str) -> str:
    """SHA-256 of the key's bytes, in hex."""
    return hashlib.sha256(raw(key)).hexdigest()


def verifies(key: str, message: str, signature: str) -> bool:
    """Whether `signature` (base64) is this key's over the message; InvalidInput for what is no base64."""
    try:
        found = base64.b64decode(signature, validate=True)
    except (binascii.Error, ValueError):
        raise InvalidInput("the signature must be base64") from None
    if key.startswith(RSA_MARK):
        return rsa.verifies(rsa.read_key(raw(key)), message.encode(), found)
    return signatures.verify_raw(raw(key), message.encode(), found)
