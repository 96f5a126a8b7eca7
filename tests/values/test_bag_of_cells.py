"""Bags of cells from strangers: bounded, and hashed as @ton/core hashes them."""

import random

import pytest

from app.errors import InvalidInput
from app.values import bag_of_cells

# The empty cell's hash, which every TON library tests with.
EMPTY_HASH = "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7"


def bag(cells: list[tuple[bytes, bytes, tuple[int, ...]]], roots: int = 1, root: int = 0, flags: int = 1) -> bytes:
    """(descriptors, data, refs) of each cell, written without index and checksum, one byte a reference."""
    body = b"".join(descriptors + data + bytes(refs) for descriptors, data, refs in cells)
    return bytes.fromhex("b5ee9c72") + bytes([flags, 2, len(cells), roots, 0]) + len(body).to_bytes(2) + bytes([root]) + body


def chain(length: int) -> bytes:
    return bag([(b"\1\0", b"", (number + 1,)) for number in range(length - 1)] + [(b"\0\0", b"", ())])


def test_the_empty_cell() -> None:
    found = bag_of_cells.read(bag([(b"\0\0", b"", ())]), 1)
    assert (found.hash.hex(), found.bits, found.refs, found.depth) == (EMPTY_HASH, 0, (), 0)
    assert bag_of_cells.checksum(b"123456789") == 0xE3069283  # the check value of CRC-32C


def test_bits_are_read_where_they_stand() -> None:
    cell = bag_of_cells.read(bag([(b"\0\3", b"\xa5\xd8", ())]), 1)  # 12 bits, a 1 and padding
    assert (cell.bits, cell.number(0, 4), cell.number(3, 6), cell.number(0, 12)) == (12, 0xA, 0b001011, 0xA5D)
    for offset, bits in ((0, 13), (12, 1), (-1, 2), (0, -1)):
        with pytest.raises(InvalidInput):
            cell.number(offset, bits)


def test_what_no_serializer_writes_is_refused() -> None:
    empty = (b"\0\0", b"", ())
    broken = {
        "two roots": bag([empty, empty], roots=2),
        "no cell": bag([]),
        "a root that is not there": bag([empty], root=1),
        "a circle": bag([(b"\1\0", b"", (0,))]),
        "a reference back": bag([(b"\1\0", b"", (1,)), (b"\1\0", b"", (0,))]),
        "a reference past the end": bag([(b"\1\0", b"", (7,))]),
        "five references": bag([(b"\5\0", b"", (1,) * 5), empty]),
        "an exotic cell": bag([(b"\x08\x42", b"\2" + bytes(32), ())]),
        "a level": bag([(b"\x20\0", b"", ())]),
        "hashes beside": bag([(b"\x10\0", b"", ())]),
        "no padding": bag([(b"\0\1", b"\0", ())]),
        "nothing but padding": bag([(b"\0\1", b"\x80", ())]),
        "more after it": bag([empty]) + b"\0",
        "reserved flags": bag([empty], flags=0x09),
        "size zero": bag([empty], flags=0),
        "a checksum that is missing": bag([empty], flags=0x41),
        "a checksum that is wrong": bag([empty], flags=0x41) + bytes(4),
        "data cut short": bag([(b"\0\xff", b"\xff" * 127, ())]),
        "another magic": b"\0" * 40,
    }
    for what, data in broken.items():
        with pytest.raises(InvalidInput) as caught:
            bag_of_cells.read(data, 8)
        assert caught.value.code == "BOC_INVALID", what
    assert bag_of_cells.read(bag([(b"\0\xff", b"\xff" * 128, ())]), 8).bits == 1023


def test_size_and_depth_are_bounded_and_shared_cells_cost_once() -> None:
    assert bag_of_cells.read(chain(128), 128).depth == 127
    with pytest.raises(InvalidInput):
        bag_of_cells.read(chain(129), 128)
    wide = [(b"\4\0", b"", (number + 1,) * 4) for number in range(100)] + [(b"\0\0", b"", ())]
    assert bag_of_cells.read(bag(wide), 128).depth == 100  # 4 to the 100th paths, 101 cells


def test_random_bytes_end_in_a_refusal() -> None:
    source = random.Random(7)
    for _ in range(3000):
        data = bag([(b"\0\0", b"", ())])[: source.randrange(4, 9)] + source.randbytes(source.randrange(60))
        try:
            bag_of_cells.read(data, 128)
        except InvalidInput as error:
            assert error.code == "BOC_INVALID"
