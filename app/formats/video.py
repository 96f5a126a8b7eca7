"""Videos that nodes hand in, looked at cheaply: the boxes of an MP4 file, without a frame being decoded."""

import os
import struct
from pathlib import Path

from app.errors import InvalidInput

BOXES_MOST = 10_000
WANTED = (b"moov", b"mdat")


class VideoUnreadable(InvalidInput):
    """A result that is no whole MP4. It ends the attempt as a failure."""

    code = "RESULT_UNREADABLE"


def check_mp4(path: str | os.PathLike[str]) -> None:
    """Whether a file begins as an MP4, and its boxes fill it to the end: `ftyp` first, a description and data somewhere.

    Raises VideoUnreadable. Source: ISO/IEC 14496-12, 4.2.
    """
    names = list(_boxes(Path(path)))
    missing = [name.decode() for name in WANTED if name not in names]
    if missing:
        raise VideoUnreadable(f"The MP4 has no {' and no '.join(missing)} in it. Make the video again.")


def _boxes(path: Path) -> list[bytes]:
    """The names of the outermost boxes, in their order."""
    names: list[bytes] = []
    size_bytes, place = path.stat().st_size, 0
    with path.open("rb") as stream:
        while place < size_bytes:
            stream.seek(place)
            length, name = _head(stream.read(16), size_bytes - place)
            if not names and name != b"ftyp":
                raise VideoUnreadable("The video is no MP4: it does not begin with a box ftyp. Make it as an MP4.")
            if length > size_bytes - place or len(names) >= BOXES_MOST:
                raise VideoUnreadable("The MP4 ends too early, or its boxes make no sense. Make the video again.")
            names.append(name)
            place += length
    return names


def _head(head: bytes, left: int) -> tuple[int, bytes]:
    """(length, name) of a box; a length of 0 goes to the file's end, 1 says that the length follows in 64 bits."""
    try:
        length, name = struct.unpack_from(">I4s", head)
        least = 8
        if length == 1:
            (length,), least = struct.unpack_from(">Q", head, 8), 16
    except struct.error:
        raise VideoUnreadable("The MP4 ends too early. Make the video again.") from None
    if length == 0:
        return left, name
    if length < least:
        raise VideoUnreadable("The MP4's boxes make no sense. Make the video again.")
    return length, name
