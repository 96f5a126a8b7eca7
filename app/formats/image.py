"""Rendered pictures, decoded to the last pixel before anybody is paid for them."""

from __future__ import annotations

import io
import os
import struct
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

from PIL import Image, ImageFile

from app.errors import InvalidInput

Image.MAX_IMAGE_PIXELS = (
    None  # Pillow's own limit is global and only warns; every call here has its own, checked before decoding
)

ImageFormat = Literal["PNG", "JPEG", "EXR"]
MAX_PIXELS = 134_217_728

_PNG_END = b"\0\0\0\0IEND\xaeB`\x82"
_JPEG_END = b"\xff\xd9"
_EXR_MAGIC = b"\x76\x2f\x31\x01"
_EXR_HEADER_LIMIT_BYTES = 256 * 1024
_EXR_MAX_CHANNELS = 64
_EXR_PIXEL_TYPES = {0: "uint", 1: "half", 2: "float"}
_EXR_TILED = 0x200  # its own kind of tiles, within one file
_EXR_MODES = {(b"V",): "BW", (b"B", b"G", b"R"): "RGB", (b"A", b"B", b"G", b"R"): "RGBA"}  # as Blender has them
_EXR_BITS = {1: 16, 2: 32}
# By what Pillow reads them as, and what their header says: bits, colour type.
_PNG_COLORS = {
    ("L", 8, 0): "BW of 8 bits",
    ("RGB", 8, 2): "RGB of 8 bits",
    ("RGBA", 8, 6): "RGBA of 8 bits",
    ("I;16B", 16, 0): "BW of 16 bits",
    ("RGB;16B", 16, 2): "RGB of 16 bits",
    ("RGBA;16B", 16, 6): "RGBA of 16 bits",
}
_PNG_HEAD_BYTES = 29
_OTHER_COLORS = "colours that no plain render has"


class ResultUnreadable(InvalidInput):
    """A result that is no whole picture of the asked format. It ends the attempt as a failure."""

    code = "RESULT_UNREADABLE"


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """Size in pixels, and the mode: Pillow's (`RGB`, `RGBA`, `I;16`) or, for EXR, its pixel type
    (`half`, `float`). `colors` are Blender's word for the channels, and their bits (`RGBA of 16 bits`); for JPEG nothing."""

    width: int
    height: int
    format: ImageFormat
    mode: str
    colors: str = ""


def decode(
    source: str | os.PathLike[str] | bytes, expected_format: ImageFormat, max_pixels: int = MAX_PIXELS
) -> ImageFacts:
    """Decode every pixel of a picture. Refuses another format, more than `max_pixels`, and anything cut
    short."""
    if expected_format == "EXR":
        return _decode_exr(source, max_pixels)
    with _open(source) as stream:
        _check_end(stream, expected_format)
        return _decode_with_pillow(stream, expected_format, max_pixels)


def _open(source: str | os.PathLike[str] | bytes) -> IO[bytes]:
    return io.BytesIO(source) if isinstance(source, bytes) else Path(source).open("rb")


def _check_end(stream: IO[bytes], expected_format: str) -> None:
    """Decoders forgive a missing end mark; a render that was written to its end has one."""
    size_bytes = stream.seek(0, io.SEEK_END)
    stream.seek(max(0, size_bytes - 64))
    tail = stream.read()
    whole = tail.endswith(_PNG_END) if expected_format == "PNG" else tail.rstrip(b"\0").endswith(_JPEG_END)
    if not whole:
        raise ResultUnreadable(
            f"The picture is not a whole {expected_format}: its end is missing. Render the frame again."
        )
    stream.seek(0)


def _decode_with_pillow(stream: IO[bytes], expected_format: ImageFormat, max_pixels: int) -> ImageFacts:
    try:
        with Image.open(stream, formats=[expected_format]) as picture:
            _check_pixels(picture.width, picture.height, max_pixels)
            colors = _name_png_colors(picture, stream) if expected_format == "PNG" else ""
            facts = ImageFacts(picture.width, picture.height, expected_format, picture.mode, colors)
            picture.load()
            return facts
    except (
        OSError,
        SyntaxError,
        ValueError,
        EOFError,
        struct.error,
        IndexError,
        TypeError,
        KeyError,
    ) as error:
        raise ResultUnreadable(
            f"The picture cannot be decoded as {expected_format} ({str(error)[:120]})."
        ) from error


def _name_png_colors(picture: ImageFile.ImageFile, stream: IO[bytes]) -> str:
    """Before its pixels are loaded. Pillow and the header must say the same, of one picture whose rows are in their order: what
    is laid beside others is not to be read in two ways."""
    place = stream.tell()
    stream.seek(0)
    head = stream.read(_PNG_HEAD_BYTES)
    stream.seek(place)
    is_plain = head[12:16] == b"IHDR" and head[28] == 0 and not getattr(picture, "is_animated", False)
    return _PNG_COLORS.get((str(picture.tile[0].args), head[24], head[25]), _OTHER_COLORS) if is_plain else _OTHER_COLORS


def _check_pixels(width: int, height: int, max_pixels: int) -> None:
    if width < 1 or height < 1 or width * height > max_pixels:
        raise ResultUnreadable(
            f"The picture has {width}x{height} pixels; from 1 to {max_pixels} in all are allowed."
        )


def _decode_exr(source: str | os.PathLike[str] | bytes, max_pixels: int) -> ImageFacts:
    """The size is read from the header by hand first: the library would reserve memory for whatever it
    announces."""
    with _open(source) as stream:
        facts = _read_exr_header(stream.read(_EXR_HEADER_LIMIT_BYTES), max_pixels)
    if not isinstance(source, bytes):
        _read_exr_pixels(os.fspath(source))
        return facts
    with tempfile.NamedTemporaryFile(suffix=".exr") as copy:
        copy.write(source)
        copy.flush()
        _read_exr_pixels(copy.name)
    return facts


def _read_exr_pixels(path: str) -> None:
    import OpenEXR

    try:
        with OpenEXR.File(path) as picture:
            has_pixels = bool(picture.channels())  # asked inside: closing the file empties it
    except Exception as error:  # the library raises bare exceptions of several kinds for damaged files
        raise ResultUnreadable(f"The picture cannot be decoded as EXR ({str(error)[:120]}).") from error
    if not has_pixels:
        raise ResultUnreadable("The EXR has no channels. Render the frame again.")


def _read_exr_header(head: bytes, max_pixels: int) -> ImageFacts:
    """Size and pixel type of a single-part EXR. Source: the OpenEXR file layout, attributes `dataWindow`
    and `channels`."""
    if not head.startswith(_EXR_MAGIC) or len(head) < 8:
        raise ResultUnreadable("The picture is not an EXR. Render the frame again as EXR.")
    (flags,) = struct.unpack_from("<I", head, 4)
    if flags & 0x1800:
        raise ResultUnreadable(
            "Deep and multi-part EXR files are not taken as results. Render a single-part EXR."
        )
    try:
        attributes = _read_exr_attributes(head)
        left, top, right, bottom = struct.unpack("<4i", attributes[b"dataWindow"])
        channels = _read_exr_channels(attributes[b"channels"])
        mode, count = _EXR_PIXEL_TYPES[channels[0][1]], len(channels)
    except (struct.error, KeyError, ValueError, IndexError) as error:
        raise ResultUnreadable("The EXR's header cannot be read. Render the frame again.") from error
    width, height = right - left + 1, bottom - top + 1
    _check_pixels(width, height, max_pixels)
    if count > _EXR_MAX_CHANNELS or width * height * count > 4 * max_pixels:
        raise ResultUnreadable(
            f"The EXR has {count} channels of {width}x{height} pixels, more than is taken as a result."
        )
    return ImageFacts(width, height, "EXR", mode, _name_exr_colors(channels, is_plain=not flags & _EXR_TILED))


def _read_exr_attributes(head: bytes) -> dict[bytes, bytes]:
    attributes: dict[bytes, bytes] = {}
    position = 8
    while head[position] != 0:
        name_end = head.index(b"\0", position)
        type_end = head.index(b"\0", name_end + 1)
        (size,) = struct.unpack_from("<i", head, type_end + 1)
        start = type_end + 5
        if size < 0 or start + size > len(head):
            raise ValueError("attribute runs past the header")
        attributes[head[position:name_end]] = head[start : start + size]
        position = start + size
    return attributes


def _read_exr_channels(data: bytes) -> list[tuple[bytes, int, tuple[int, int]]]:
    """(name, pixel type, pixels from one value to the next across and down) of each; a channel is a name and 16 bytes."""
    position, found = 0, []
    while data[position] != 0:
        name_end = data.index(b"\0", position)
        pixel_type, across, down = struct.unpack_from("<i4x2i", data, name_end + 1)
        found.append((data[position:name_end], pixel_type, (across, down)))
        position = name_end + 17
    return found


def _name_exr_colors(channels: Sequence[tuple[bytes, int, tuple[int, int]]], is_plain: bool) -> str:
    mode = _EXR_MODES.get(tuple(name for name, _, _ in channels))
    kinds = {(_EXR_BITS.get(pixel_type), each) for _, pixel_type, each in channels}
    bits, each = kinds.pop()
    if kinds or mode is None or bits is None or each != (1, 1) or not is_plain:
        return _OTHER_COLORS
    return f"{mode} of {bits} bits"
