"""What the marketplace asks of a file store, whichever one it is."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO, Literal, Protocol, TypeGuard

from app.errors import InvalidInput

Method = Literal["GET", "PUT"]
KEY_LIMIT_CHARS = 512
URL_MOST_SECONDS = 604_800  # S3 signs for no longer
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


class Seekable(Protocol):
    """A file, which may be read again."""

    def read(self, size: int = -1, /) -> bytes: ...

    def seek(self, offset: int, /) -> Any: ...


def is_seekable(stream: Readable) -> TypeGuard[Seekable]:
    """Whether it is a file, which may be read beside the event loop and again; a request's stream is not."""
    return bool(getattr(stream, "seekable", lambda: False)())


class ObjectStore(Protocol):
    """Files by key. A key, once written, is whole: readers never see a part of a file.

    Call it from the greenlet or thread that asks, never from within `offload.run`: it may wait on a socket, and takes what
    computes for long beside the event loop by itself. No call while a unit of work is open, but for `signed_url`.
    """

    def put(self, key: str, stream: Readable, max_bytes: int, *, sha256: str | None = None) -> StoredObject:
        """Store a stream; an object under the key is replaced. TooLarge past `max_bytes`, HASH_MISMATCH
        for other bytes. A file may be closed when this returns."""
        ...

    def open(self, key: str) -> BinaryIO:
        """Read an object, from any place; NotFound if there is none. The caller closes it."""
        ...

    def fetch_to(self, key: str, path: str | os.PathLike[str]) -> None:
        """Copy an object into a local file."""
        ...

    def local_copy(self, key: str, max_bytes: int) -> AbstractContextManager[tuple[StoredObject, Path]]:
        """The object as a local file while the context is open, and its size and hash as they really are. NotFound if there
        is none, TooLarge before reading one of more than `max_bytes`. The file is only to be read."""
        ...

    def stat(self, key: str) -> StoredObject:
        """Size and hash; NotFound if there is none."""
        ...

    def move_all(self, pairs: Sequence[tuple[str, str]]) -> None:
        """Give each (source, target) that is there its new key, so that URLs signed for the old one can't reach it any more; the
        disk is waited for once, not once for each."""
        ...

    def delete(self, key: str) -> None:
        """Remove an object; it is no error if it is gone already."""
        ...

    def delete_older(self, prefix: str, seconds: float) -> int:
        """Delete the objects under a prefix that were not touched for so long. Returns how many."""
        ...

    def signed_url(
        self,
        method: Method,
        key: str,
        expires_in_seconds: int,
        *,
        now: datetime,
        max_bytes: int | None = None,
        size_bytes: int | None = None,
        sha256: str | None = None,
        content_type: str | None = None,
        file_name: str | None = None,
    ) -> str:
        """An address that allows one method on one key for a time, without any other credential.

        An upload may be held to a most (`max_bytes`), to exactly `size_bytes`, to a hash and a type. S3 knows no most: who
        reads the upload asks for `max_bytes` again. What the client must send along says `upload_headers`.
        """
        ...

    def upload_headers(self, sha256: str | None = None, content_type: str | None = None) -> dict[str, str]:
        """The headers that an upload to an address signed with these must carry."""
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
