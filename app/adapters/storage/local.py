"""Files in a local folder, reached by addresses that the hub signs and serves itself.

A file is written beside its place and renamed, so a crash leaves the old file or the new one, never a part.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import shutil
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

from app import offload
from app.adapters.storage.intake import check_digest, check_size, copy_hashed, not_found
from app.adapters.storage.port import (
    CHUNK_BYTES,
    Method,
    QueryArguments,
    Readable,
    StoredObject,
    check_key,
    is_seekable,
)
from app.adapters.storage.signing import Claims, UrlSigner
from app.errors import TooLarge

_DIGEST_ATTRIBUTE = "user.lightyard.sha256"
DEFAULT_MAX_BYTES = 2 * 1024**3
_STALE_SECONDS = 86_400


@dataclass(frozen=True, slots=True)
class ServedFile:
    """What a signed GET may send: a local path, its size, and how to name it to the client."""

    path: Path
    size_bytes: int
    content_type: str
    file_name: str


class LocalStore:
    """An ObjectStore on a folder; `base_url` is where the hub's `/files/` can be reached."""

    def __init__(
        self,
        root: str | os.PathLike[str],
        secret_key: str,
        base_url: str,
        max_bytes: int = DEFAULT_MAX_BYTES,
        previous_keys: Sequence[str] = (),
    ) -> None:
        self._objects = Path(root) / "objects"
        self._incoming = Path(root) / "incoming"
        for folder in (self._objects, self._incoming):
            folder.mkdir(parents=True, exist_ok=True)
        self._signer = UrlSigner(secret_key, base_url, previous_keys)
        self._max_bytes = max_bytes
        self._remove_stale_parts()

    def path(self, key: str) -> Path:
        """Where an object lies or would lie."""
        return self._objects / check_key(key)

    def put(self, key: str, stream: Readable, max_bytes: int, *, sha256: str | None = None) -> StoredObject:
        if is_seekable(stream):
            return offload.run(self._put, key, stream, max_bytes, sha256)
        return self._put(key, stream, max_bytes, sha256)

    def _put(self, key: str, stream: Readable, max_bytes: int, sha256: str | None) -> StoredObject:
        stored = self._take_in(key, stream, max_bytes, sha256, is_final=True)
        _fsync(self.path(key).parent)
        return stored

    def _take_in(
        self,
        key: str,
        stream: Readable,
        max_bytes: int,
        sha256: str | None,
        is_final: bool,
        exact_bytes: int | None = None,
    ) -> StoredObject:
        target = self.path(key)
        part = self._incoming / uuid.uuid4().hex
        try:
            with part.open("xb") as file:
                size_bytes, digest = copy_hashed(stream, file, max_bytes)
                check_size(size_bytes, exact_bytes)
                check_digest(digest, sha256)
                _note_digest(file, digest)
                if is_final:
                    file.flush()
                    os.fsync(file.fileno())
            self._rename(part, target)
        finally:
            part.unlink(missing_ok=True)
        return StoredObject(key, size_bytes, digest)

    def open(self, key: str) -> io.BufferedReader:
        try:
            return self.path(key).open("rb")
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
            raise not_found() from error

    def fetch_to(self, key: str, path: str | os.PathLike[str]) -> None:
        with self.open(key) as source, Path(path).open("wb") as target:
            shutil.copyfileobj(source, target, CHUNK_BYTES)

    @contextlib.contextmanager
    def local_copy(self, key: str, max_bytes: int) -> Iterator[tuple[StoredObject, Path]]:
        stored = self.stat(key)
        if stored.size_bytes > max_bytes:
            raise TooLarge(f"The file is larger than the {max_bytes} bytes allowed here.")
        yield stored, self.path(key)

    def stat(self, key: str) -> StoredObject:
        with self.open(key) as file:
            return StoredObject(key, os.fstat(file.fileno()).st_size, _read_digest(file))

    def move_all(self, pairs: Sequence[tuple[str, str]]) -> None:
        offload.run(self._make_last, [target for source, target in pairs if self._move(source, target)])

    def _move(self, source: str, target: str) -> bool:
        try:
            self._rename(self.path(source), self.path(target))
        except (FileNotFoundError, NotADirectoryError):
            return False
        return True

    def _make_last(self, keys: Sequence[str]) -> None:
        """Bytes and names on the disk for good. The names come first in time, so that one commit of the disk's journal
        takes them all along with the first file's bytes."""
        paths = [self.path(key) for key in keys]
        for path in (*paths, *dict.fromkeys(path.parent for path in paths)):
            _fsync(path)

    def delete(self, key: str) -> None:
        self.path(key).unlink(missing_ok=True)

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
        if expires_in_seconds <= 0:
            raise ValueError("a signed address must be good for at least a second")
        expires = int(now.timestamp()) + expires_in_seconds
        return self._signer.sign(Claims(method, key, expires, max_bytes, size_bytes, sha256, content_type, file_name))

    def upload_headers(self, sha256: str | None = None, content_type: str | None = None) -> dict[str, str]:
        """None: what was signed is in the address."""
        return {}

    def verify(self, method: str, key: str, query: QueryArguments, now: datetime) -> Claims:
        """What the address of a request allows; Forbidden if it is forged, expired or for another method."""
        return self._signer.verify(method, check_key(key), query, now)

    def receive(self, stream: Readable, claims: Claims) -> StoredObject:
        """Store the body of a signed PUT, within the size and hash that were signed.

        It reaches the disk for good when it is moved to where it counts: a power cut before that costs an upload, as a
        lost connection would, and nobody waits for the disk twice.
        """
        limits = (self._max_bytes, claims.max_bytes, claims.size_bytes)
        limit = min(item for item in limits if item is not None)
        return self._take_in(claims.key, stream, limit, claims.sha256, is_final=False, exact_bytes=claims.size_bytes)

    def serve(self, claims: Claims) -> ServedFile:
        """The file behind a signed GET."""
        path = self.path(claims.key)
        if not path.is_file():
            raise not_found()
        name = claims.file_name or path.name
        return ServedFile(path, path.stat().st_size, claims.content_type or "application/octet-stream", name)

    def _remove_stale_parts(self) -> None:
        """What a killed process left half-written; a day is far longer than any upload may take."""
        for part in self._incoming.iterdir():
            with contextlib.suppress(FileNotFoundError):
                if part.stat().st_mtime < time.time() - _STALE_SECONDS:
                    part.unlink()

    def delete_older(self, prefix: str, seconds: float) -> int:
        """Delete the objects under a prefix that were not touched for so long. Returns how many."""
        before, deleted = time.time() - seconds, 0
        for path in self.path(prefix).rglob("*"):
            with contextlib.suppress(FileNotFoundError):
                if path.is_file() and path.stat().st_mtime < before:
                    path.unlink()
                    deleted += 1
        return deleted

    def _rename(self, source: Path, target: Path) -> None:
        try:
            source.replace(target)
        except FileNotFoundError:
            target.parent.mkdir(parents=True, exist_ok=True)
            source.replace(target)


def _note_digest(file: BinaryIO, digest: str) -> None:
    """Keep the hash with the file, so that nobody reads it all again to know it; some file systems can't."""
    with contextlib.suppress(OSError):
        os.setxattr(file.fileno(), _DIGEST_ATTRIBUTE, digest.encode())


def _read_digest(file: io.BufferedReader) -> str:
    try:
        return os.getxattr(file.fileno(), _DIGEST_ATTRIBUTE).decode()
    except OSError:
        return offload.run(hashlib.file_digest, file, "sha256").hexdigest()  # type: ignore[arg-type]


def _fsync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
