"""Tiles put together to the picture that they are parts of, every pixel as it came: PNG with 8 or 16 bits, and EXR."""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from PIL import Image

from app.errors import InvalidInput
from app.values.tiles import Box

# Of a PNG by its (bits, colour type): how Pillow reads its bytes, high and low ones apart where there are two to a channel, for
# it keeps only the high ones of a picture in colours.
_HIGH_AND_LOW = {(16, 2): ("RGB;16B", "RGB;16L"), (16, 6): ("RGBA;16B", "RGBA;16L")}
_GREY_16 = (16, 0)
_PLAIN = {(8, 0): "L", (8, 2): "RGB", (8, 4): "LA", (8, 6): "RGBA"}
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_UP = 2  # each row as its difference from the one above
_CHUNK_BYTES = 1 << 20


class StitchImpossible(InvalidInput):
    """Tiles that can't become one picture without changing a pixel."""

    code = "STITCH_FAILED"


@dataclass(frozen=True, slots=True)
class Part:
    """A tile's file, which was checked, and where it belongs."""

    path: Path
    box: Box


def stitch(parts: Sequence[Part], format: str, target: Path) -> None:
    """Write the whole picture; StitchImpossible names what is in the way. The tiles must cover it, row by row."""
    if format == "PNG":
        _stitch_png(parts, target)
    elif format == "EXR":
        _stitch_exr(parts, target)
    else:
        raise StitchImpossible(f"tiles of {format} can't be stitched without loss; PNG and EXR can")


def _bands(parts: Sequence[Part]) -> Iterator[list[Part]]:
    """Tiles side by side, from the top down."""
    for top in sorted({part.box.top for part in parts}):
        yield sorted((part for part in parts if part.box.top == top), key=lambda part: part.box.left)


def _stitch_png(parts: Sequence[Part], target: Path) -> None:
    """Band by band, so that only the tiles beside one another are in memory at once."""
    import numpy

    kinds = {_png_kind(part.path) for part in parts}
    if len(kinds) != 1:
        raise StitchImpossible(f"the tiles differ in depth or channels: {sorted(kinds)}")
    bits, colour = kind = kinds.pop()
    if kind not in _HIGH_AND_LOW and kind not in _PLAIN and kind != _GREY_16:
        raise StitchImpossible(f"a PNG of {bits} bits and colour type {colour} can't be stitched")
    width, height = max(part.box.right for part in parts), max(part.box.bottom for part in parts)
    with _PngWriter(target, width, height, kind) as written:
        for band in _bands(parts):
            rows = numpy.concatenate([_read_png(part, kind) for part in band], axis=1)
            written.add(numpy.ascontiguousarray(rows).reshape(rows.shape[0], -1))


def _png_kind(path: Path) -> tuple[int, int]:
    with path.open("rb") as file:
        head = file.read(26)
    return head[24], head[25]


def _read_png(part: Part, kind: tuple[int, int]) -> Any:
    """Its bytes as they go into a PNG: rows, pixels, bytes."""
    import numpy

    if kind in _HIGH_AND_LOW:
        high, low = (_decode(part, mode) for mode in _HIGH_AND_LOW[kind])
        return numpy.stack([high, low], axis=-1).reshape(*high.shape[:2], -1)
    pixels = _decode(part, None)
    if kind == _GREY_16:
        return pixels.astype(">u2").view(numpy.uint8).reshape(*pixels.shape, 2)
    return pixels.reshape(*pixels.shape[:2], -1)


def _decode(part: Part, raw_mode: str | None) -> Any:
    import numpy

    with Image.open(part.path, formats=["PNG"]) as picture:
        if raw_mode is not None:
            picture.tile = [picture.tile[0]._replace(args=raw_mode)]
        pixels = numpy.asarray(picture)
    if pixels.shape[:2] != (part.box.height, part.box.width):
        raise StitchImpossible(f"a tile has {pixels.shape[1]}x{pixels.shape[0]} pixels, not {part.box.width}x{part.box.height}")
    return pixels


class _PngWriter:
    """A PNG written row by row."""

    def __init__(self, path: Path, width: int, height: int, kind: tuple[int, int]) -> None:
        self._path, self._pack = path, zlib.compressobj(6)
        self._head = struct.pack(">IIBBBBB", width, height, *kind, 0, 0, 0)
        self._above: Any = None

    def __enter__(self) -> _PngWriter:
        self._file = self._path.open("wb")
        self._file.write(_SIGNATURE)
        self._chunk(b"IHDR", self._head)
        return self

    def add(self, rows: Any) -> None:
        import numpy

        above = numpy.zeros((1, rows.shape[1]), numpy.uint8) if self._above is None else self._above
        differences = rows - numpy.concatenate([above, rows[:-1]])  # of bytes, which wrap around, as the format has it
        filtered = numpy.concatenate([numpy.full((rows.shape[0], 1), _UP, numpy.uint8), differences], axis=1)
        self._data(self._pack.compress(filtered.tobytes()))
        self._above = rows[-1:]

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        with self._file:
            if kind is None:
                self._data(self._pack.flush())
                self._chunk(b"IEND", b"")

    def _data(self, data: bytes) -> None:
        for start in range(0, len(data), _CHUNK_BYTES):
            self._chunk(b"IDAT", data[start : start + _CHUNK_BYTES])

    def _chunk(self, name: bytes, data: bytes) -> None:
        self._file.write(struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)))


def _stitch_exr(parts: Sequence[Part], target: Path) -> None:
    """All channels with the type they have, packed as the first tile is, but never with a loss."""
    import numpy
    import OpenEXR

    bands: list[tuple[dict[str, Any], dict[str, Any]]] = []
    head: dict[str, Any] | None = None
    for band in _bands(parts):
        tiles = [_read_exr(part) for part in band]
        head = head or tiles[0][0]
        kinds = {tuple((name, pixels.dtype.str) for name, pixels in channels.items()) for _, channels in tiles + bands[:1]}
        if len(kinds) != 1:
            raise StitchImpossible("the tiles differ in their channels")
        names = tiles[0][1]
        bands.append((head, {name: numpy.concatenate([tile[1][name] for tile in tiles], axis=1) for name in names}))
    channels = {name: numpy.concatenate([band[1][name] for band in bands]) for name in bands[0][1]}
    OpenEXR.File(_lossless(head or {}), channels).write(os.fspath(target))


def _lossless(head: dict[str, Any]) -> dict[str, Any]:
    import OpenEXR

    names = ("NO", "RLE", "ZIPS", "ZIP", "PIZ")
    exact = {getattr(OpenEXR, f"{name}_COMPRESSION") for name in names}
    return head if head.get("compression") in exact else {**head, "compression": OpenEXR.ZIP_COMPRESSION}


def _read_exr(part: Part) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the header says beside sizes and channels, and the channels' pixels by their names."""
    import OpenEXR

    with OpenEXR.File(os.fspath(part.path), separate_channels=True) as picture:
        head = {name: value for name, value in picture.header().items() if name in ("compression", "type", "pixelAspectRatio")}
        channels = {name: channel.pixels.copy() for name, channel in sorted(picture.channels().items())}
    if any(pixels.shape != (part.box.height, part.box.width) for pixels in channels.values()):
        raise StitchImpossible("a tile's channels are not of its size")
    return head, channels
