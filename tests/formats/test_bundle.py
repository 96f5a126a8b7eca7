"""Frames in a zip: streamed out in little memory, taken in with suspicion."""

import io
import random
import stat
import struct
import tracemalloc
import warnings
import zipfile

import pytest

from app.formats.bundle import BundleEntry, frame_name, read_bundle, stream_bundle
from app.formats.image import ResultUnreadable


def entry(name, data):
    return BundleEntry(name, len(data), lambda: io.BytesIO(data))


def test_a_bundle_is_a_plain_zip_of_the_announced_length():
    frames = {
        frame_name(frame, ".png"): random.Random(frame).randbytes(1000 + frame) for frame in (-5, 0, 1, 12345)
    }
    assert list(frames) == ["frame_-0005.png", "frame_0000.png", "frame_0001.png", "frame_12345.png"]
    length, chunks = stream_bundle(entry(name, data) for name, data in frames.items())
    data = b"".join(chunks)
    assert len(data) == length
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() is None
        assert {name: archive.read(name) for name in archive.namelist()} == frames
        assert {info.compress_type for info in archive.infolist()} == {zipfile.ZIP_STORED}


class Zeros(io.RawIOBase):
    """A large file that is nowhere."""

    def __init__(self, size):
        self.left = size

    def readable(self):
        return True

    def read(self, size=-1):
        given = min(size, self.left)
        self.left -= given
        return bytes(given)


def test_a_large_bundle_takes_little_memory_and_opens_one_file_at_a_time():
    opened = []

    def open_zeros():
        opened.append(1)
        return Zeros(8_000_000)

    length, chunks = stream_bundle(
        BundleEntry(frame_name(n, ".exr"), 8_000_000, open_zeros) for n in range(20)
    )
    assert opened == []
    tracemalloc.start()
    assert sum(map(len, chunks)) == length > 160_000_000
    assert tracemalloc.get_traced_memory()[1] < 4_000_000
    tracemalloc.stop()
    assert len(opened) == 20


def test_files_past_four_gigabytes_are_announced_as_zip64():
    length, chunks = stream_bundle([BundleEntry("frame_0001.exr", 5 * 2**30, lambda: Zeros(5 * 2**30))])
    assert length > 5 * 2**30
    assert struct.unpack_from("<H", next(iter(chunks)), 4)[0] >= 45  # the version that can read zip64


def packed(tmp_path, files, method=zipfile.ZIP_DEFLATED):
    path = tmp_path / "result.zip"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # two of one name are wanted here
        with zipfile.ZipFile(path, "w", method) as archive:
            for name, data in files:
                archive.writestr(name, data)
    return path


def read_all(path, frames, max_bytes=1_000_000):
    return {frame: stream.read() for frame, stream in read_bundle(path, frames, max_bytes)}


def test_frames_are_found_by_the_number_in_their_name(tmp_path):
    path = packed(
        tmp_path,
        [
            ("out/shot2_0003.png", b"three"),
            ("render-0001.png", b"one"),
            ("frame_-0002.png", b"minus two"),
            ("__MACOSX/._x.png", b"junk"),
            ("out/", b""),
        ],
    )
    assert read_all(path, [1, -2, 3]) == {-2: b"minus two", 1: b"one", 3: b"three"}


LINK = zipfile.ZipInfo("frame_0002.png")
LINK.external_attr = (stat.S_IFLNK | 0o777) << 16


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ([("frame_0001.png", b"x")], "missing"),
        ([("frame_0001.png", b"x"), ("frame_0002.png", b"x"), ("frame_0003.png", b"x")], "nobody asked"),
        ([("frame_0001.png", b"x"), ("frame_1.png", b"x"), ("frame_0002.png", b"x")], "twice"),
        ([("frame_0001.png", b"x"), ("frame_0001.png", b"x"), ("frame_0002.png", b"x")], "twice"),
        ([("frame_0001.png", b"x"), ("readme.txt", b"x"), ("frame_0002.png", b"x")], "no frame number"),
        ([("frame_0001.png", b"x"), ("../frame_0002.png", b"x")], "refused"),
        ([("frame_0001.png", b"x"), ("/frame_0002.png", b"x")], "refused"),
        ([("frame_0001.png", b"x"), (LINK, b"/etc/passwd")], "link"),
        ([(f"x/{n}.png", b"") for n in range(200)], "entries"),
        ([("frame_0001.png", b"x"), ("frame_0002.png", bytes(2_000_000))], "unpacks to more"),
    ],
)
def test_bundles_that_are_refused(tmp_path, files, message):
    with pytest.raises(ResultUnreadable, match=message):
        read_all(packed(tmp_path, files), [1, 2])


def test_damage_is_refused(tmp_path):
    path = packed(tmp_path, [("frame_0001.png", random.Random(1).randbytes(5000))], zipfile.ZIP_STORED)
    whole = path.read_bytes()
    for data in (b"", b"no zip", whole[:-30], whole[:2000] + b"\0\1\2\3" + whole[2004:]):
        path.write_bytes(data)
        with pytest.raises(ResultUnreadable):
            read_all(path, [1])


def test_a_list_of_contents_that_would_fill_memory_is_not_read(tmp_path):
    path = packed(tmp_path, [("frame_0001.png", b"x")])
    data = bytearray(path.read_bytes())
    struct.pack_into("<I", data, data.rindex(b"PK\x05\x06") + 12, 900_000_000)
    path.write_bytes(data)
    with pytest.raises(ResultUnreadable, match="list of contents"):
        read_all(path, [1])
