"""An object of S3 read like a local file: from any place, and on from where a broken connection left it."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any, BinaryIO

from app.adapters.storage.s3_client import unavailable

BUFFER_BYTES = 256 * 1024
MAX_BREAKS = 3

Fetch = Callable[[int, str | None], dict[str, Any]]
"""(first byte, the version's ETag) to S3's answer, whose `Body` holds the bytes from there on."""


class S3Object(io.RawIOBase):
    """Opened once for its size and version; every later request names that version, so a reader never sees two."""

    def __init__(self, fetch: Fetch) -> None:
        answer = fetch(0, None)
        self.size_bytes = int(answer["ContentLength"])
        self._fetch, self._etag = fetch, str(answer["ETag"])
        self._body: Any = answer["Body"]
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self.size_bytes}[whence]
        target = max(0, start + offset)
        if target != self._position:
            self._drop_body()
        self._position = target
        return target

    def readinto(self, buffer: Any) -> int:
        """At most a buffer full; a connection that breaks is taken up again, MAX_BREAKS times in a row."""
        wanted = min(len(buffer), self.size_bytes - self._position)
        if wanted <= 0:
            return 0
        for _ in range(MAX_BREAKS):
            data = self._read_some(wanted)
            if data:
                buffer[: len(data)] = data
                self._position += len(data)
                return len(data)
            self._drop_body()
        raise unavailable()

    def _read_some(self, wanted: int) -> bytes:
        """Nothing when the connection broke."""
        from botocore.exceptions import BotoCoreError
        from urllib3.exceptions import HTTPError

        if self._body is None:
            self._body = self._fetch(self._position, self._etag)["Body"]
        try:
            return bytes(self._body.read(wanted))
        except (BotoCoreError, HTTPError, OSError):
            return b""

    def _drop_body(self) -> None:
        body, self._body = self._body, None
        if body is not None:
            body.close()

    def close(self) -> None:
        self._drop_body()
        super().close()


def buffered(fetch: Fetch) -> BinaryIO:
    """The object as an ordinary binary file."""
    return io.BufferedReader(S3Object(fetch), BUFFER_BYTES)
