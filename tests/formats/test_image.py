"""Results are decoded to the last pixel."""

import io
import random
import struct
import zlib

import numpy
import OpenEXR
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from app.errors import InvalidInput
from app.formats.image import ResultUnreadable, decode


def picture(kind, mode="RGB", size=(40, 30)):
    target = io.BytesIO()
    noise = random.Random(1).randbytes(size[0] * size[1])
    Image.frombytes("L", size, noise).convert(mode).save(target, kind)
    return target.getvalue()


@pytest.fixture(scope="module")
def exr(tmp_path_factory):
    path = tmp_path_factory.mktemp("exr") / "a.exr"
    pixels = numpy.random.default_rng(1).random((30, 40, 4), dtype=numpy.float32).astype(numpy.float16)
    header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
    with OpenEXR.File(header, {"RGBA": pixels}) as file:
        file.write(str(path))
    return path.read_bytes()


@pytest.mark.parametrize(
    ("kind", "mode"), [("PNG", "RGB"), ("PNG", "RGBA"), ("PNG", "I;16"), ("PNG", "L"), ("JPEG", "RGB")]
)
def test_whole_pictures_are_decoded(kind, mode, tmp_path):
    data = picture(kind, mode)
    (tmp_path / "a").write_bytes(data)
    for source in (data, tmp_path / "a"):
        facts = decode(source, kind)
        assert (facts.width, facts.height, facts.format, facts.mode) == (40, 30, kind, mode)


def test_whole_exr_files_are_decoded(exr, tmp_path):
    (tmp_path / "a.exr").write_bytes(exr)
    for source in (exr, tmp_path / "a.exr"):
        facts = decode(source, "EXR")
        assert (facts.width, facts.height, facts.mode) == (40, 30, "half")


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "EXR"])
@pytest.mark.parametrize("part", [0, 0.1, 0.5, 0.9, 1])
def test_pictures_cut_short_are_refused(kind, part, exr):
    data = exr if kind == "EXR" else picture(kind)
    cut = data[: int(len(data) * part)] if part < 1 else data[:-1]
    with pytest.raises(ResultUnreadable):
        decode(cut, kind)


def test_a_hole_before_the_right_end_is_seen():
    """Not in JPEG: its decoder paints the rest grey without a word."""
    data = picture("PNG", size=(200, 200))
    with pytest.raises(ResultUnreadable):
        decode(data[: len(data) // 2] + data[-12:], "PNG")


@pytest.mark.parametrize(
    ("kind", "expected"), [("PNG", "JPEG"), ("JPEG", "PNG"), ("PNG", "EXR"), ("BMP", "PNG")]
)
def test_another_format_is_refused(kind, expected):
    with pytest.raises(ResultUnreadable):
        decode(picture(kind), expected)


def test_pixels_are_limited_before_they_are_decoded(exr):
    for data, kind in ((picture("PNG"), "PNG"), (picture("JPEG"), "JPEG"), (exr, "EXR")):
        assert decode(data, kind, max_pixels=1200).width == 40
        with pytest.raises(ResultUnreadable):
            decode(data, kind, max_pixels=1199)


def test_a_small_file_that_claims_a_huge_picture_is_refused(exr):
    head = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + head
    png = (
        b"\x89PNG\r\n\x1a\n"
        + struct.pack(">I", 13)
        + chunk
        + struct.pack(">I", zlib.crc32(chunk))
        + b"\0\0\0\0IEND\xaeB`\x82"
    )
    with pytest.raises(ResultUnreadable):
        decode(png, "PNG")
    at = exr.index(b"dataWindow\0box2i\0") + 21
    with pytest.raises(ResultUnreadable):
        decode(exr[:at] + struct.pack("<4i", 0, 0, 99_999, 99_999) + exr[at + 16 :], "EXR")


def test_the_refusal_has_the_code_of_the_node_protocol():
    with pytest.raises(InvalidInput) as caught:
        decode(b"", "PNG")
    assert caught.value.code == "RESULT_UNREADABLE"


@settings(max_examples=300, deadline=None)
@given(data=st.data(), kind=st.sampled_from(["PNG", "JPEG"]))
def test_damaged_pictures_are_decoded_or_refused(data, kind):
    whole = picture(kind, size=(16, 12))
    at = data.draw(st.integers(0, len(whole) - 1))
    noise = data.draw(st.binary(min_size=1, max_size=8))
    try:
        facts = decode(whole[:at] + noise + whole[at + len(noise) :], kind, max_pixels=100_000)
    except ResultUnreadable:
        return
    assert facts.width * facts.height <= 100_000


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_damaged_exr_files_are_decoded_or_refused(exr, data):
    at = data.draw(st.integers(0, len(exr) - 1))
    noise = data.draw(st.binary(min_size=1, max_size=8))
    try:
        facts = decode(exr[:at] + noise + exr[at + len(noise) :], "EXR", max_pixels=100_000)
    except ResultUnreadable:
        return
    assert facts.width * facts.height <= 100_000
