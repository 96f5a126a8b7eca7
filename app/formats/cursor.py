"""Forward steps through a binary file, where running past the end means an incomplete upload."""

from __future__ import annotations

import io
from typing import IO

from app.formats.refusal import truncated

_SKIP_BYTES = 1024 * 1024


class Cursor:
    """Reads and skips; jumps over data where the size is known, reads through it where it is not."""

    def __init__(self, stream: IO[bytes] | io.BufferedReader, what: str, size_bytes: int | None) -> None:
        self._stream = stream
        self._what = what
        self._size_bytes = size_bytes
        self.position = 0

    def take(self, count: int) -> bytes:
        data = self._stream.read(count)
        self.position += len(data)
        if len(data) < count:
            raise self._cut_off()
        return data

    def skip(self, count: int) -> None:
        if self._size_bytes is not None:
            if self.position + count > self._size_bytes:
                raise self._cut_off()
            self._stream.seek(count, io.SEEK_CUR)
            self.position += count
            return
        while count:
            count -= len(self.take(min(count, _SKIP_BYTES)))

    def drain(self) -> None:
        """Read what is left of an unpacked stream, so that its caps are applied to all of it."""
        while data := self._stream.read(_SKIP_BYTES):
            self.position += len(data)

    def _cut_off(self) -> Exception:
        return truncated(f"The {self._what} file ends in the middle, after {self.position} bytes.")
