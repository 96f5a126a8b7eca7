"""The list of contents at a zip's end: how long it claims to be, before anybody reads it into memory."""

from __future__ import annotations

import struct
from typing import IO

DIRECTORY_ENTRY_LIMIT_BYTES = 1024
"""What one entry of the list may take, on average; names are most of it."""

_END = b"PK\x05\x06"
_END64_LOCATOR = b"PK\x06\x07"
_COMMENT_LIMIT_BYTES = 65_535
_END_BYTES = 22
_END64_BYTES = 76
"""The zip64 end record and its locator, which stand right before the end record."""


def announced_directory_bytes(stream: IO[bytes], size_bytes: int) -> int | None:
    """Bytes of the list by the zip's own word, or None where there is no end record. Moves the stream.

    It takes the larger of the two words that a zip may hold, so that a reader that prefers either is covered.
    """
    stream.seek(max(0, size_bytes - _COMMENT_LIMIT_BYTES - _END_BYTES - _END64_BYTES))
    tail = stream.read()
    claims = []
    end = tail.rfind(_END)
    while end >= 0:
        claims += _claims_at(tail, end)
        end = tail.rfind(_END, 0, end)
    return max(claims, default=None)


def _claims_at(tail: bytes, end: int) -> list[int]:
    if len(tail) < end + _END_BYTES:
        return []
    short: int = struct.unpack_from("<I", tail, end + 12)[0]
    if end < _END64_BYTES or not tail.startswith(_END64_LOCATOR, end - 20):
        return [short]
    long: int = struct.unpack_from("<Q", tail, end - _END64_BYTES + 40)[0]
    return [long] if short == 0xFFFFFFFF else [short, long]
