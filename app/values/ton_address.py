"""TON addresses: read strictly in any of their forms, kept in one."""

import base64
import re
from dataclasses import dataclass

from app.errors import InvalidInput

_RAW = re.compile(r"(0|-1):([0-9a-fA-F]{64})")
_FRIENDLY = re.compile(r"[A-Za-z0-9_-]{48}")
_BOUNCEABLE, _NON_BOUNCEABLE, _TEST_ONLY = 0x11, 0x51, 0x80
_WORKCHAINS = (0, -1)
MAINNET, TESTNET = "mainnet", "testnet"
NETWORKS = (MAINNET, TESTNET)


@dataclass(frozen=True, slots=True, order=True)
class TonAddress:
    """One account: its raw, bounceable and non-bounceable texts are all this value. `hash_part` is 32 bytes."""

    workchain: int
    hash_part: bytes

    @property
    def raw(self) -> str:
        """The form that is stored: `0:` and 64 hex digits, lower case."""
        return f"{self.workchain}:{self.hash_part.hex()}"

    def friendly(self, bounceable: bool = True, test_only: bool = False) -> str:
        """48 characters of url-safe base64 with a checksum, as wallets show it."""
        tag = (_BOUNCEABLE if bounceable else _NON_BOUNCEABLE) | (_TEST_ONLY if test_only else 0)
        body = bytes([tag, self.workchain & 0xFF]) + self.hash_part
        return base64.urlsafe_b64encode(body + _checksum(body)).decode()

    def __str__(self) -> str:
        return self.raw


def read(text: object, network: str = MAINNET) -> TonAddress:
    """An address given by a user; InvalidInput TON_ADDRESS_INVALID for anything that a wallet could not have shown.

    `network` is `mainnet` or `testnet`: addresses marked test-only are refused on the first.
    """
    if not isinstance(text, str):
        raise _refusal("a TON address is a text")
    raw = _RAW.fullmatch(text)
    if raw is not None:
        return TonAddress(int(raw[1]), bytes.fromhex(raw[2]))
    if _FRIENDLY.fullmatch(text) is None:
        raise _refusal("a TON address is 48 characters of url-safe base64, or 0: and 64 hex digits")
    return _read_friendly(base64.urlsafe_b64decode(text), network)


def _read_friendly(data: bytes, network: str) -> TonAddress:
    body, checksum = data[:34], data[34:]
    if _checksum(body) != checksum:
        raise _refusal("the TON address's checksum is wrong: a character was lost or changed")
    if body[0] & ~_TEST_ONLY not in (_BOUNCEABLE, _NON_BOUNCEABLE):
        raise _refusal("the TON address's first byte is none that wallets use")
    if body[0] & _TEST_ONLY and network != TESTNET:
        raise _refusal("the TON address is for test networks only; give one of the main network")
    workchain = int.from_bytes(body[1:2], signed=True)
    if workchain not in _WORKCHAINS:
        raise _refusal(f"the TON address is of workchain {workchain}; only 0 and -1 exist")
    return TonAddress(workchain, body[2:])


def _refusal(message: str) -> InvalidInput:
    return InvalidInput(message, code="TON_ADDRESS_INVALID")


def _checksum(data: bytes) -> bytes:
    """CRC-16 with polynomial 0x1021 from zero, as TON's friendly addresses end in."""
    value = 0
    for byte in data:
        value ^= byte << 8
        for _ in range(8):
            value = (value << 1) ^ (0x1021 if value & 0x8000 else 0)
            value &= 0xFFFF
    return value.to_bytes(2)
