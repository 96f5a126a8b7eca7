"""What the marketplace asks of a file store, whichever one it is."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import BinaryIO, Literal, Protocol

from app.errors import InvalidInput

Method = Literal["GET", "PUT"]
KEY_LIMIT_CHARS = 512
CHUNK_BYTES = 1024 * 1024
_KEY_PART = re.compile(r"[a-z0-9_-][a-z0-9_.-]*")


@dataclass(frozen=True, slots=True)
class StoredObject:
    """A stored file; `sha256` in lower-case hex."""

    key: str
    size_bytes: int
    sha256: str


class Readable(Protocol):
    """Anything with bytes to read: a file, a request's stream."""

    def read(self, size: int = -1, /) -> bytes: ...


class ObjectStore(Protocol):
    """Files by key. A key, once written, is whole: readers never see a part of a file."""

    def put(self, key: str, stream: Readable, max_bytes: int, *, sha256: str | None = None) -> StoredObject:
        """Store a stream; an object under the key is replaced. TooLarge past `max_bytes`, HASH_MISMATCH
        for other bytes."""
        ...

    def open(self, key: str) -> BinaryIO:
        """Read an object; NotFound if there is none. The caller closes it."""
        ...

    def fetch_to(self, key: str, path: str | os.PathLike[str]) -> None:
        """Copy an object into a local file."""
        ...

    def stat(self, key: str) -> StoredObject:
        """Size and hash; NotFound if there is none."""
        ...

    def move(self, source: str, target: str) -> None:
        """Give an object another key, so that URLs signed for the old one can't reach it any more."""
        ...

    def move_all(self, pairs: Sequence[tuple[str, str]]) -> None:
        """`move` each (source, target) that is there; the disk is waited for once, not once for each."""
        ...

    def delete(self, key: str) -> None:
        """Remove an object; it is no error if it is gone already."""
        ...

    def signed_url(
        self,
        method: Method,
        key: str,
        expires_in_seconds: int,
        *,
        now: datetime,
        max_bytes: int | None = None,
        sha256: str | None = None,
        content_type: str | None = None,
        file_name: str | None = None,
    ) -> str:
        """An address that allows one method on one key for a time, without any other credential."""
        ...


QueryArguments = Mapping[str, str]


def check_key(key: str) -> str:
    """The key itself, if it is made of `a-z 0-9 _ . -` and slashes and every part is a plain name."""
    if (
        not isinstance(key, str)
        or len(key) > KEY_LIMIT_CHARS
        or not all(_KEY_PART.fullmatch(part) for part in key.split("/"))
    ):
        raise InvalidInput("The file's key is not valid.", code="KEY_INVALID")
    return key
