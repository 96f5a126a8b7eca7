"""RSA signatures with SHA-256 (RFC 8017): PKCS #1 v1.5 and PSS. Verifying only, so no secret is ever touched here.

Small on purpose: the ledger's and wallets' signatures never come this way, and the two libraries that verify those know no RSA.
"""

import hashlib
import hmac
from dataclasses import dataclass

from app.errors import InvalidInput

OID_RSA = bytes.fromhex("06092a864886f70d010101")
SHA256_INFO = bytes.fromhex("3031300d060960864801650304020105000420")
HASH_BYTES = 32
LEAST_BITS, MOST_BITS = 2048, 8192


@dataclass(frozen=True, slots=True)
class RsaKey:
    modulus: int
    exponent: int


def read_key(info: bytes) -> RsaKey:
    """An RSA key from its SubjectPublicKeyInfo (DER); InvalidInput for another key, or one too small or too large."""
    try:
        algorithm, rest = _take(_whole(info, 0x30), 0x30)
        bits, rest = _take(rest, 0x03)
        if not algorithm.startswith(OID_RSA) or rest or bits[:1] != b"\0":
            raise ValueError
        modulus, rest = _take(_whole(bits[1:], 0x30), 0x02)
        exponent = _whole(rest, 0x02)
    except (ValueError, IndexError):
        raise InvalidInput("public_key is neither an ed25519 nor an RSA key") from None
    key = RsaKey(int.from_bytes(modulus, "big"), int.from_bytes(exponent, "big"))
    if not LEAST_BITS <= key.modulus.bit_length() <= MOST_BITS or key.modulus % 2 == 0:
        raise InvalidInput(f"an RSA key must have {LEAST_BITS} to {MOST_BITS} bits")
    if key.exponent % 2 == 0 or not 3 <= key.exponent < 2**32:
        raise InvalidInput("the RSA key's exponent must be odd, from 3 to below 2**32")
    return key


def _whole(data: bytes, tag: int) -> bytes:
    content, rest = _take(data, tag)
    if rest:
        raise ValueError
    return content


def _take(data: bytes, tag: int) -> tuple[bytes, bytes]:
    """One DER element's content, and what comes after it."""
    if data[0] != tag:
        raise ValueError
    length, start = data[1], 2
    if length & 0x80:
        size = length & 0x7F
        if not 1 <= size <= 3:
            raise ValueError
        length, start = int.from_bytes(data[2 : 2 + size], "big"), 2 + size
    if start + length > len(data):
        raise ValueError
    return data[start : start + length], data[start + length :]


def verifies(key: RsaKey, message: bytes, signature: bytes) -> bool:
    """Whether the signature is the key's, in either padding."""
    size = (key.modulus.bit_length() + 7) // 8
    number = int.from_bytes(signature, "big")
    if len(signature) != size or number >= key.modulus:
        return False
    block = pow(number, key.exponent, key.modulus).to_bytes(size, "big")
    digest = hashlib.sha256(message).digest()
    return _is_pkcs1(block, digest) or _is_pss(block, digest, key.modulus.bit_length() - 1)


def _is_pkcs1(block: bytes, digest: bytes) -> bool:
    """The whole block is made and compared, so nothing in it is ever parsed."""
    info = SHA256_INFO + digest
    expected = b"\0\1" + b"\xff" * (len(block) - len(info) - 3) + b"\0" + info
    return hmac.compare_digest(block, expected)


def _is_pss(block: bytes, digest: bytes, bits: int) -> bool:
    """EMSA-PSS-VERIFY (RFC 8017, 9.1.2) with SHA-256 and MGF1-SHA-256; any length of salt."""
    size = (bits + 7) // 8
    if any(block[: len(block) - size]):
        return False
    block = block[len(block) - size :]
    masked, seal = block[: size - HASH_BYTES - 1], block[size - HASH_BYTES - 1 : -1]
    spare = 8 * size - bits
    if block[-1] != 0xBC or masked[0] >> (8 - spare):
        return False
    mask = _mask(seal, len(masked))
    data = bytearray(one ^ other for one, other in zip(masked, mask, strict=True))
    data[0] &= 0xFF >> spare
    start = data.find(1)
    if start < 0 or any(data[:start]):
        return False
    salt = bytes(data[start + 1 :])
    return hmac.compare_digest(seal, hashlib.sha256(bytes(8) + digest + salt).digest())


def _mask(seed: bytes, length: int) -> bytes:
    """MGF1."""
    blocks = -(-length // HASH_BYTES)
    whole = b"".join(hashlib.sha256(seed + count.to_bytes(4, "big")).digest() for count in range(blocks))
    return whole[:length]
