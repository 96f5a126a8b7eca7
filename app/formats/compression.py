"""Compressed .blend files (zstd since Blender 3.0, gzip before), unpacked as a stream that stops at the
first sign of a bomb."""

from __future__ import annotations

import io
import zlib
from typing import IO, Literal, Protocol, cast

import zstandard

from app.formats.limits import MIB, SceneLimits
from app.formats.refusal import bomb, not_a_scene, truncated

ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
ZSTD_SKIPPABLE = tuple(bytes([low, 0x2A, 0x4D, 0x18]) for low in range(0x50, 0x60))
GZIP_MAGIC = b"\x1f\x8b"
_WINDOW_LIMIT_BYTES = 32 * MIB
_CHUNK_BYTES = 64 * 1024


class _Source(Protocol):
    def read(self, size: int, /) -> bytes: ...


def detect_compression(head: bytes) -> Literal["zstd", "gzip"] | None:
    """Which packing the first bytes announce."""
    if head.startswith(ZSTD_MAGIC) or head.startswith(ZSTD_SKIPPABLE):
        return "zstd"
    return "gzip" if head.startswith(GZIP_MAGIC) else None


def open_unpacked(stream: IO[bytes], kind: Literal["zstd", "gzip"], limits: SceneLimits) -> CappedReader:
    """A forward-only reader of the unpacked bytes. Memory stays below the zstd window plus a few buffers."""
    counted = _Counted(stream)
    source: _Source
    if kind == "zstd":
        unpacker = zstandard.ZstdDecompressor(max_window_size=_WINDOW_LIMIT_BYTES)
        source = unpacker.stream_reader(
            cast(IO[bytes], counted), read_size=_CHUNK_BYTES, read_across_frames=True
        )
    else:
        source = _GzipReader(counted)
    return CappedReader(source, counted, limits)


class _Counted:
    """The packed bytes, counted as they are taken, so that the ratio is of what was really read."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self.taken_bytes = 0

    def read(self, size: int = -1) -> bytes:
        data = self._stream.read(size)
        self.taken_bytes += len(data)
        return data


class _GzipReader:
    """Gzip with all members, with the output of each call limited (the header is skipped in C, however
    long)."""

    def __init__(self, source: _Counted) -> None:
        self._source = source
        self._unpacker = zlib.decompressobj(wbits=31)
        self._pending = b""

    def read(self, size: int, /) -> bytes:
        while True:
            if self._unpacker.eof:
                self._pending = self._unpacker.unused_data or self._source.read(_CHUNK_BYTES)
                if not self._pending.startswith(GZIP_MAGIC[:1]):
                    return b""  # the end, or padding behind it
                self._unpacker = zlib.decompressobj(wbits=31)
            pending = self._pending or self._source.read(_CHUNK_BYTES)
            data = self._unpacker.decompress(pending, size)
            self._pending = self._unpacker.unconsumed_tail
            if data:
                return data
            if not pending and not self._unpacker.eof:
                raise truncated("The gzip-compressed scene ends in the middle.")


class CappedReader(io.RawIOBase):
    """Refuses to give more than the limits allow: absolute bytes, and bytes per packed byte."""

    def __init__(self, source: _Source, packed: _Counted, limits: SceneLimits) -> None:
        self._source = source
        self._packed = packed
        self._limits = limits
        self.given_bytes = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        try:
            data = self._source.read(len(buffer))
        except (zstandard.ZstdError, zlib.error) as error:
            raise not_a_scene(
                f"The compressed scene cannot be unpacked ({error}). Save it again and resend."
            ) from error
        self.given_bytes += len(data)
        self._check()
        buffer[: len(data)] = data
        return len(data)

    def _check(self) -> None:
        if self.given_bytes > self._limits.max_uncompressed_bytes:
            limit_mib = self._limits.max_uncompressed_bytes // MIB
            raise bomb(
                f"The scene unpacks to more than {limit_mib} MiB. Save it smaller, or without unused data."
            )
        if self.given_bytes > self._limits.ratio_floor_bytes:
            if self.given_bytes > self._limits.max_ratio * self._packed.taken_bytes:
                raise bomb(
                    f"The scene unpacks to more than {self._limits.max_ratio} times its size, as only "
                    f"compression bombs do. "
                    "Save it without compression and send it again."
                )
