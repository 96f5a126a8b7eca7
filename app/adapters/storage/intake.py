"""How bytes come into any store: counted, hashed and cut off at the limit."""

from __future__ import annotations

import hashlib
from typing import IO

from app.adapters.storage.port import CHUNK_BYTES, Readable
from app.errors import InvalidInput, NotFound, TooLarge


def copy_hashed(stream: Readable, file: IO[bytes], max_bytes: int) -> tuple[int, str]:
    """Copy and hash; stops one chunk after the limit, however much more there is."""
    digest = hashlib.sha256()
    size_bytes = 0
    while chunk := stream.read(CHUNK_BYTES):
        size_bytes += len(chunk)
        if size_bytes > max_bytes:
            raise TooLarge(
                f"The file is larger than the {max_bytes} bytes allowed here.",
                details={"max_bytes": max_bytes},
            )
        digest.update(chunk)
        file.write(chunk)
    return size_bytes, digest.hexdigest()


def check_digest(actual: str, wanted: str | None) -> None:
    if wanted is not None and actual != wanted.lower():
        raise InvalidInput(
            "The bytes that arrived are not those that were announced (sha256 differs). Send the file again.",
            code="HASH_MISMATCH",
            details={"sha256": actual, "expected_sha256": wanted},
        )


def not_found() -> NotFound:
    return NotFound("There is no such file, or it was removed.", code="FILE_NOT_FOUND")
