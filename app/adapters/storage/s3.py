"""Files in an S3 bucket, reached by presigned addresses.

A presigned PUT can fix a size but not cap it, so `max_bytes` is held against what was uploaded before a byte of it is
looked at. An object's own metadata is never believed: whoever uploads may write it.
"""

from __future__ import annotations

import base64
import contextlib
import io
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import quote

from app import offload
from app.adapters.storage.intake import Nowhere, check_digest, copy_hashed
from app.adapters.storage.port import CHUNK_BYTES, Method, Readable, StoredObject, check_key, is_seekable
from app.adapters.storage.s3_client import S3Access, call, connect
from app.adapters.storage.s3_object import buffered
from app.errors import NotFound, TooLarge
from app.values import clock

_SPOOL_BYTES = 8 * 1024 * 1024


class S3Store:
    """An ObjectStore on one bucket, under a prefix."""

    def __init__(self, access: S3Access) -> None:
        self._bucket = access.bucket
        self._prefix = f"{access.prefix.strip('/')}/" if access.prefix.strip("/") else ""
        self._client = connect(access, access.endpoint_url)
        self._signer = connect(access, access.public_url) if access.public_url else self._client

    def put(self, key: str, stream: Readable, max_bytes: int, *, sha256: str | None = None) -> StoredObject:
        """A file is hashed beside the event loop and sent from where it is; what comes over a socket is spooled first."""
        if is_seekable(stream):
            size_bytes, digest = offload.run(copy_hashed, stream, Nowhere(), max_bytes)
            check_digest(digest, sha256)
            stream.seek(0)
            self._send(key, stream)
            return StoredObject(key, size_bytes, digest)
        with tempfile.SpooledTemporaryFile(max_size=_SPOOL_BYTES) as spool:
            size_bytes, digest = copy_hashed(stream, spool, max_bytes)
            check_digest(digest, sha256)
            spool.seek(0)
            self._send(key, spool)
        return StoredObject(key, size_bytes, digest)

    def _send(self, key: str, stream: Any) -> None:
        """In this thread or greenlet: boto3's own threads would read a file that is not theirs."""
        from boto3.s3.transfer import TransferConfig

        config = TransferConfig(use_threads=False)
        call(self._client, "upload_fileobj", stream, self._bucket, self._name(key), Config=config)

    def open(self, key: str) -> BinaryIO:
        return buffered(partial(self._fetch, key))

    def _fetch(self, key: str, start: int, etag: str | None) -> dict[str, Any]:
        options = {"Range": f"bytes={start}-"} if start else {}
        if etag is not None:
            options["IfMatch"] = etag
        answer: dict[str, Any] = call(self._client, "get_object", Bucket=self._bucket, Key=self._name(key), **options)
        return answer

    def fetch_to(self, key: str, path: str | os.PathLike[str]) -> None:
        with self.open(key) as source, Path(path).open("wb") as target:
            shutil.copyfileobj(source, target, CHUNK_BYTES)

    @contextlib.contextmanager
    def local_copy(self, key: str, max_bytes: int) -> Iterator[tuple[StoredObject, Path]]:
        with tempfile.NamedTemporaryFile() as file:
            with self.open(key) as source:
                size_bytes = source.seek(0, io.SEEK_END)
                if size_bytes > max_bytes:
                    raise TooLarge(f"The file is larger than the {max_bytes} bytes allowed here.")
                source.seek(0)
                size_bytes, digest = copy_hashed(source, file, max_bytes)
            file.flush()
            yield StoredObject(key, size_bytes, digest), Path(file.name)

    def stat(self, key: str) -> StoredObject:
        """Reads the object, which is the only way to know its hash."""
        with self.open(key) as source:
            size_bytes, digest = copy_hashed(source, Nowhere(), 2**62)
        return StoredObject(key, size_bytes, digest)

    def move_all(self, pairs: Sequence[tuple[str, str]]) -> None:
        for source, target in pairs:
            with contextlib.suppress(NotFound):
                self._move(source, target)

    def _move(self, source: str, target: str) -> None:
        """The copy takes the bytes only: types, encodings and other words of the uploader stay behind."""
        call(
            self._client,
            "copy_object",
            Bucket=self._bucket,
            Key=self._name(target),
            CopySource={"Bucket": self._bucket, "Key": self._name(source)},
            MetadataDirective="REPLACE",
        )
        self.delete(source)

    def delete(self, key: str) -> None:
        call(self._client, "delete_object", Bucket=self._bucket, Key=self._name(key))

    def delete_older(self, prefix: str, seconds: float) -> int:
        """One page of the listing at a time; by S3's own clock, which hosts keep close to ours."""
        before, deleted = clock.now() - timedelta(seconds=seconds), 0
        options = {"Bucket": self._bucket, "Prefix": f"{self._name(prefix)}/"}
        while True:
            page = call(self._client, "list_objects_v2", **options)
            for item in page.get("Contents", ()):
                if item["LastModified"] < before:
                    call(self._client, "delete_object", Bucket=self._bucket, Key=item["Key"])
                    deleted += 1
            if not page.get("IsTruncated"):
                return deleted
            options["ContinuationToken"] = page["NextContinuationToken"]

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
        """`now` is the machine's: boto3 asks nobody else. `max_bytes` can't be signed; see the note above."""
        values: dict[str, Any] = {"Bucket": self._bucket, "Key": self._name(key)}
        if method == "GET" and file_name:
            values["ResponseContentDisposition"] = f"attachment; filename*=UTF-8''{quote(file_name, safe='')}"
        if content_type:
            values["ResponseContentType" if method == "GET" else "ContentType"] = content_type
        if method == "PUT" and size_bytes is not None:
            values["ContentLength"] = size_bytes
        if method == "PUT" and sha256 is not None:
            values["ChecksumSHA256"] = _as_base64(sha256)
        operation = "get_object" if method == "GET" else "put_object"
        url: str = self._signer.generate_presigned_url(operation, Params=values, ExpiresIn=expires_in_seconds)
        return url

    def upload_headers(self, sha256: str | None = None, content_type: str | None = None) -> dict[str, str]:
        headers = {"Content-Type": content_type} if content_type else {}
        if sha256 is not None:
            headers["x-amz-checksum-sha256"] = _as_base64(sha256)
        return headers

    def _name(self, key: str) -> str:
        return self._prefix + check_key(key)


def _as_base64(sha256: str) -> str:
    return base64.b64encode(bytes.fromhex(sha256)).decode()
