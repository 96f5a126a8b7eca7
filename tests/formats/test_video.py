"""MP4 files that nodes hand in, told from what is none by their boxes alone."""

import struct
from pathlib import Path

import pytest

from app.formats.video import VideoUnreadable, check_mp4


def box(name: bytes, data: bytes = b"", length: int | None = None) -> bytes:
    return struct.pack(">I4s", 8 + len(data) if length is None else length, name) + data


HEAD, REST = box(b"ftyp", b"isom\0\0\2\0"), box(b"moov", b"x") + box(b"free")
LONG = struct.pack(">I4sQ", 1, b"mdat", 20) + b"film"


@pytest.mark.parametrize("data", [HEAD + REST + box(b"mdat", b"f"), HEAD + LONG + REST, HEAD + REST + box(b"mdat", b"film", 0)])
def test_boxes_that_fill_the_file_are_a_video(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a").write_bytes(data)
    check_mp4(tmp_path / "a")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "no moov and no mdat"),
        (b"GIF89a", "too early"),
        (REST + HEAD, "no MP4"),
        (HEAD + REST, "no mdat"),
        (HEAD + box(b"mdat"), "no moov"),
        (HEAD + REST + box(b"mdat", b"film")[:-1], "too early"),
        (HEAD + REST + b"\0\0\0", "too early"),
        (HEAD + REST + box(b"mdat", b"", 7), "make no sense"),
        (HEAD + struct.pack(">I4sQ", 1, b"moov", 15) + box(b"mdat"), "make no sense"),
        (HEAD + box(b"free") * 10_001, "make no sense"),
        (HEAD + struct.pack(">I4sQ", 1, b"mdat", 2**63), "too early"),
    ],
)
def test_anything_else_is_none(tmp_path: Path, data: bytes, said: str) -> None:
    (tmp_path / "a").write_bytes(data)
    with pytest.raises(VideoUnreadable, match=said):
        check_mp4(tmp_path / "a")
