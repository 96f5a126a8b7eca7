"""`ton_proof` of TON Connect: a wallet's signature over who it is, to which domain, when, and for which challenge."""

import base64
import binascii
import hashlib
from dataclasses import dataclass
from datetime import datetime

from app.errors import InvalidInput, Unauthenticated
from app.values import signatures
from app.values.ton_address import TonAddress

DOMAIN_LIMIT_CHARS = 253
_ITEM, _OUTER = b"ton-proof-item-v2/", b"\xff\xffton-connect"


@dataclass(frozen=True, slots=True)
class TonProof:
    """What a wallet gives: `timestamp` in seconds since 1970, `domain_bytes` as the proof says it, `signature` in base64.

    `payload` is the challenge's; `state_init` the wallet's initial state (a bag of cells in base64), where it was sent.
    """

    timestamp: int
    domain: str
    domain_bytes: int
    signature: str
    payload: str
    state_init: str | None = None


def check_bounds(proof: TonProof, domain: str, now: datetime, window_seconds: int) -> None:
    """Unauthenticated unless the proof is for this domain and of this moment, `window_seconds` off at most, either way."""
    if proof.domain != domain:
        raise Unauthenticated(f"the proof is for another domain; sign it for {domain}", code="PROOF_DOMAIN")
    if proof.domain_bytes != len(proof.domain.encode()):
        raise Unauthenticated("the proof's domain.lengthBytes is not its domain's length in bytes", code="PROOF_DOMAIN")
    if abs(now.timestamp() - proof.timestamp) > window_seconds:
        message = f"the proof's timestamp is more than {window_seconds} s off; sign a new one"
        raise Unauthenticated(message, code="PROOF_EXPIRED")


def check_signature(proof: TonProof, address: TonAddress, key: bytes) -> None:
    """Unauthenticated unless the holder of `key` (32 bytes, the wallet's own) signed this proof for this address."""
    try:
        signature = base64.b64decode(proof.signature, validate=True)
    except (binascii.Error, ValueError):
        signature = b""
    if len(signature) != signatures.SIGNATURE_BYTES:
        raise InvalidInput("proof.signature must be 64 bytes in base64")
    if not signatures.verify_raw(key, digest(proof, address), signature):
        raise Unauthenticated("the wallet's signature does not fit the proof", code="SIGNATURE_INVALID")


def digest(proof: TonProof, address: TonAddress) -> bytes:
    """The 32 bytes that the wallet signs."""
    domain = proof.domain.encode()
    item = b"".join((
        _ITEM,
        address.workchain.to_bytes(4, "big", signed=True),
        address.hash_part,
        len(domain).to_bytes(4, "little"),
        domain,
        proof.timestamp.to_bytes(8, "little"),
        proof.payload.encode(),
    ))
    return hashlib.sha256(_OUTER + hashlib.sha256(item).digest()).digest()
