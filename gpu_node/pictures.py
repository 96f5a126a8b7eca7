"""Whether a file is a whole picture of the size that was asked for, told from its structure without decoding a pixel.

The hub decodes every result; this look on the host that made it turns a half-written file into an error here, where it
costs no upload. Only the standard library is needed.
"""

from __future__ import annotations

import struct
from pathlib import Path

PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
PNG_END = b"\x00\x00\x00\x00IEND\xaeB`\x82"
EXR_MAGIC = b"\x76\x2f\x31\x01"
EXR_LINES = {0: 1, 1: 1, 2: 1, 3: 16, 4: 32, 5: 16, 6: 32, 7: 32, 8: 32, 9: 256}
EXR_MULTIPART_OR_DEEP = 0x1800
EXR_TILED = 0x200
MAX_HEADER_BYTES = 1 << 20
MAX_NAME_BYTES = 255


class PictureBroken(ValueError):
    """The file is not a whole picture; the message says what is wrong with it."""


def measure(path: Path, output_format: str) -> tuple[int, int]:
    """(width, height) of a whole PNG, JPEG or EXR file. Raises PictureBroken."""
    try:
        return {"PNG": _measure_png, "JPEG": _measure_jpeg, "EXR": _measure_exr}[output_format](path)
    except (struct.error, IndexError) as error:
        raise PictureBroken(f"the {output_format} file ends too early") from error


def _measure_png(path: Path) -> tuple[int, int]:
    with path.open("rb") as file:
        head = file.read(24)
        if not head.startswith(PNG_MAGIC) or head[12:16] != b"IHDR":
            raise PictureBroken("the file is no PNG")
        file.seek(-min(len(PNG_END), path.stat().st_size), 2)
        if file.read() != PNG_END:
            raise PictureBroken("the PNG file ends too early")
    width, height = struct.unpack(">II", head[16:24])
    return width, height


def _measure_jpeg(path: Path) -> tuple[int, int]:
    data = path.read_bytes()
    if not data.startswith(b"\xff\xd8"):
        raise PictureBroken("the file is no JPEG")
    if not data.endswith(b"\xff\xd9"):
        raise PictureBroken("the JPEG file ends too early")
    place = 2
    while data[place] == 0xFF:
        marker, length = data[place + 1], struct.unpack(">H", data[place + 2:place + 4])[0]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack(">HH", data[place + 5:place + 9])
            return width, height
        place += 2 + length
    raise PictureBroken("the JPEG file has no picture in it")


def _measure_exr(path: Path) -> tuple[int, int]:
    """Reads the header and the whole table of chunks: each must lie inside the file, with the length it states."""
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(min(size, MAX_HEADER_BYTES))
        if not head.startswith(EXR_MAGIC):
            raise PictureBroken("the file is no EXR")
        flags = struct.unpack_from("<I", head, 4)[0]
        if flags & (EXR_TILED | EXR_MULTIPART_OR_DEEP):
            raise PictureBroken("the EXR file is tiled, deep or of several parts")
        attributes, table = _exr_attributes(head)
        left, bottom, right, top = struct.unpack("<4i", attributes["dataWindow"])
        lines = EXR_LINES.get(attributes["compression"][0])
        if lines is None:
            raise PictureBroken("the EXR file is packed in an unknown way")
        height = top - bottom + 1
        chunks = -(-height // lines)
        file.seek(table)
        offsets = struct.unpack(f"<{chunks}Q", file.read(8 * chunks))
        for offset in offsets:
            if not table + 8 * chunks <= offset <= size - 8:
                raise PictureBroken("the EXR file ends too early")
            file.seek(offset + 4)
            if offset + 8 + struct.unpack("<I", file.read(4))[0] > size:
                raise PictureBroken("the EXR file ends too early")
    return right - left + 1, height


def _exr_attributes(head: bytes) -> tuple[dict[str, bytes], int]:
    """The header's attributes by name, and where the table of chunks begins."""
    attributes: dict[str, bytes] = {}
    place = 8
    while head[place] != 0:
        name, place = _exr_text(head, place)
        _, place = _exr_text(head, place)
        length = struct.unpack_from("<I", head, place)[0]
        attributes[name] = head[place + 4:place + 4 + length]
        place += 4 + length
    if not {"channels", "dataWindow", "compression"} <= attributes.keys():
        raise PictureBroken("the EXR file's header is incomplete")
    return attributes, place + 1


def _exr_text(head: bytes, place: int) -> tuple[str, int]:
    end = head.find(b"\0", place, place + MAX_NAME_BYTES + 1)
    if end < 0:
        raise PictureBroken("the EXR file's header is damaged")
    return head[place:end].decode("latin-1"), end + 1
