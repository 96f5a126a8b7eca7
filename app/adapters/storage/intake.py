"""How bytes come into any store: counted, hashed and cut off at the limit."""

from __future__ import annotations

import hashlib
from typing import Protocol

from app.adapters.storage.port import CHUNK_BYTES, Readable
from app.errors import Forbidden, InvalidInput, NotFound, TooLarge


class Writable(Protocol):
    """Anything that takes bytes."""

    def write(self, data: bytes, /) -> object: ...


class Nowhere:
    """Where bytes go that are only counted and hashed."""

    def write(self, data: bytes, /) -> int:
        return len(data)


def copy_hashed(stream: Readable, file: Writable, max_bytes: int) -> tuple[int, str]:
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


def check_size(actual_bytes: int, wanted_bytes: int | None) -> None:
    if wanted_bytes is not None and actual_bytes != wanted_bytes:
        raise Forbidden(
            f"This address is for a file of {wanted_bytes} bytes; {actual_bytes} came. Ask for one for your file.",
            code="URL_SIZE_MISMATCH",
            details={"size_bytes": actual_bytes, "signed_size_bytes": wanted_bytes},
        )


def not_found() -> NotFound:
    return NotFound("There is no such file, or it was removed.", code="FILE_NOT_FOUND")
