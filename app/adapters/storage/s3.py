"""Files in an S3 bucket, reached by presigned addresses. Needs the extra package boto3, imported only here.

A presigned PUT cannot cap a size, only fix it: `max_bytes` is therefore the caller's to check afterwards, by
`stat`.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import tempfile
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import quote

from app.adapters.storage.intake import check_digest, copy_hashed, not_found
from app.adapters.storage.port import CHUNK_BYTES, Method, Readable, StoredObject, check_key
from app.errors import NotFound, Unavailable

_DIGEST_NAME = "sha256"
_SPOOL_BYTES = 8 * 1024 * 1024
_MISSING = {"404", "NoSuchKey", "NotFound"}


class S3Store:
    """An ObjectStore on one bucket, under `prefix`. Credentials come from boto3's usual places."""

    def __init__(
        self, bucket: str, prefix: str = "", endpoint_url: str | None = None, client: Any = None
    ) -> None:
        self._bucket = bucket
        self._prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
        self._client = client or _connect(endpoint_url)

    def put(self, key: str, stream: Readable, max_bytes: int, *, sha256: str | None = None) -> StoredObject:
        """The stream is spooled first: its hash must be known before the object becomes visible."""
        with tempfile.SpooledTemporaryFile(max_size=_SPOOL_BYTES) as spool:
            size_bytes, digest = copy_hashed(stream, spool, max_bytes)
            check_digest(digest, sha256)
            spool.seek(0)
            self._call(
                "upload_fileobj",
                spool,
                self._bucket,
                self._name(key),
                ExtraArgs={"Metadata": {_DIGEST_NAME: digest}},
            )
        return StoredObject(key, size_bytes, digest)

    def open(self, key: str) -> BinaryIO:
        body: BinaryIO = self._call("get_object", Bucket=self._bucket, Key=self._name(key))["Body"]
        return body

    def fetch_to(self, key: str, path: str | os.PathLike[str]) -> None:
        with self.open(key) as source, Path(path).open("wb") as target:
            shutil.copyfileobj(source, target, CHUNK_BYTES)

    def stat(self, key: str) -> StoredObject:
        """What was uploaded by a presigned address carries no hash of ours, so it is read once to know it."""
        head = self._call("head_object", Bucket=self._bucket, Key=self._name(key))
        digest = head.get("Metadata", {}).get(_DIGEST_NAME) or self._hash(key)
        return StoredObject(key, head["ContentLength"], digest)

    def move(self, source: str, target: str) -> None:
        self._call(
            "copy", {"Bucket": self._bucket, "Key": self._name(source)}, self._bucket, self._name(target)
        )
        self.delete(source)

    def move_all(self, pairs: Sequence[tuple[str, str]]) -> None:
        for source, target in pairs:
            with contextlib.suppress(NotFound):
                self.move(source, target)

    def delete(self, key: str) -> None:
        self._call("delete_object", Bucket=self._bucket, Key=self._name(key))

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
        """`now` and `max_bytes` can't be signed into an S3 address; see the note above."""
        arguments: dict[str, Any] = {"Bucket": self._bucket, "Key": self._name(key)}
        if method == "GET" and file_name:
            arguments["ResponseContentDisposition"] = f"attachment; filename*=UTF-8''{quote(file_name)}"
        if content_type:
            arguments["ResponseContentType" if method == "GET" else "ContentType"] = content_type
        operation = "get_object" if method == "GET" else "put_object"
        url: str = self._client.generate_presigned_url(
            operation, Params=arguments, ExpiresIn=expires_in_seconds
        )
        return url

    def _name(self, key: str) -> str:
        return self._prefix + check_key(key)

    def _hash(self, key: str) -> str:
        digest = hashlib.sha256()
        with self.open(key) as body:
            while chunk := body.read(CHUNK_BYTES):
                digest.update(chunk)
        return digest.hexdigest()

    def _call(self, operation: str, *arguments: Any, **options: Any) -> Any:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            return getattr(self._client, operation)(*arguments, **options)
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") in _MISSING:
                raise not_found() from error
            raise Unavailable(
                "The file store refused the request. Try again.", code="STORAGE_UNAVAILABLE"
            ) from error
        except BotoCoreError as error:
            raise Unavailable(
                "The file store does not answer. Try again.", code="STORAGE_UNAVAILABLE"
            ) from error


def _connect(endpoint_url: str | None) -> Any:
    import boto3
    from botocore.config import Config

    return boto3.client(
        "s3",
        endpoint_url=endpoint_url,
        config=Config(signature_version="s3v4", connect_timeout=5, read_timeout=60),
    )
