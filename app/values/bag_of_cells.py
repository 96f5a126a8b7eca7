"""TON's bags of cells, given by strangers: read strictly, in bounded memory, and hashed as the chain hashes them."""

import hashlib
from dataclasses import dataclass

from app.errors import InvalidInput

_MAGIC = bytes.fromhex("b5ee9c72")
_HAS_INDEX, _HAS_CHECKSUM, _SIZE_MASK, _RESERVED = 0x80, 0x40, 0x07, 0x18
_EXOTIC, _WITH_HASHES, _LEVELS = 0x08, 0x10, 0xE0
_REFS_MOST = 4


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell and the tree below it. `data` ends in padding where `bits` is no multiple of 8; `hash` is 32 bytes."""

    data: bytes
    bits: int
    refs: tuple["Cell", ...]
    depth: int
    hash: bytes

    def number(self, offset: int, bits: int) -> int:
        """Some of its bits as an unsigned number; they must be there."""
        if offset < 0 or bits < 0 or offset + bits > self.bits:
            raise refusal("a cell is too short")
        whole = int.from_bytes(self.data) >> (8 * len(self.data) - offset - bits)
        return whole & ((1 << bits) - 1)


@dataclass(frozen=True, slots=True)
class _Raw:
    """A cell as it is written: its two descriptors, its bytes, and which cells it refers to."""

    descriptors: bytes
    data: bytes
    refs: tuple[int, ...]


class _Reader:
    """Numbers and bytes, one after the other, of which there must be enough."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def take(self, size: int) -> bytes:
        found = self._data[self._at : self._at + size]
        if len(found) != size:
            raise refusal("the bag of cells ends too early")
        self._at += size
        return found

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size))

    @property
    def is_at_end(self) -> bool:
        return self._at == len(self._data)


def refusal(message: str) -> InvalidInput:
    return InvalidInput(message, code="BOC_INVALID")


def read(data: bytes, cells_most: int) -> Cell:
    """The one root of a bag of cells; InvalidInput BOC_INVALID for whatever no serializer would have written.

    Refused, too: more than `cells_most` cells, several roots, and exotic cells (pruned, proving, a library's), which stand for
    something that is not there.
    """
    reader = _Reader(data)
    if reader.take(4) != _MAGIC:
        raise refusal("this is no bag of cells")
    flags = reader.number(1)
    size, offset_bytes = flags & _SIZE_MASK, reader.number(1)
    if flags & _RESERVED or not 1 <= size <= 4 or not 1 <= offset_bytes <= 8:
        raise refusal("the bag of cells' header is broken")
    count, roots, absent = (reader.number(size) for _ in range(3))
    total = reader.number(offset_bytes)
    if not 1 <= count <= cells_most or roots != 1 or absent:
        raise refusal(f"a bag of one root and at most {cells_most} cells is wanted")
    root = reader.number(size)
    if root >= count:
        raise refusal("the bag of cells' root is missing")
    if flags & _HAS_INDEX:
        reader.take(count * offset_bytes)
    body = reader.take(total)
    if flags & _HAS_CHECKSUM and reader.take(4) != checksum(data[:-4]).to_bytes(4, "little"):
        raise refusal("the bag of cells' checksum is wrong")
    if not reader.is_at_end:
        raise refusal("something follows the bag of cells")
    return _build(_split(body, count, size), root)


def _split(body: bytes, count: int, size: int) -> list[_Raw]:
    reader = _Reader(body)
    found = [_read_cell(reader, number, count, size) for number in range(count)]
    if not reader.is_at_end:
        raise refusal("something follows the last cell")
    return found


def _read_cell(reader: _Reader, number: int, count: int, size: int) -> _Raw:
    descriptors = reader.take(2)
    refs_count = descriptors[0] & 0x07
    if descriptors[0] & (_EXOTIC | _WITH_HASHES | _LEVELS) or refs_count > _REFS_MOST:
        raise refusal("a cell of a kind that plain trees don't have")
    data = reader.take((descriptors[1] + 1) // 2)
    refs = tuple(reader.number(size) for _ in range(refs_count))
    if any(not number < ref < count for ref in refs):
        raise refusal("a cell refers to one before it, or to none")
    return _Raw(descriptors, data, refs)


def _build(cells: list[_Raw], root: int) -> Cell:
    """From the last to the first: whatever a cell refers to stands behind it, so there are no circles."""
    built: dict[int, Cell] = {}
    for number in range(len(cells) - 1, -1, -1):
        raw = cells[number]
        built[number] = _cell(raw, tuple(built[ref] for ref in raw.refs))
    return built[root]


def _cell(raw: _Raw, refs: tuple[Cell, ...]) -> Cell:
    bits = _count_bits(raw)
    depth = 1 + max(ref.depth for ref in refs) if refs else 0
    below = b"".join(ref.depth.to_bytes(2) for ref in refs) + b"".join(ref.hash for ref in refs)
    digest = hashlib.sha256(raw.descriptors + raw.data + below).digest()
    return Cell(raw.data, bits, refs, depth, digest)


def _count_bits(raw: _Raw) -> int:
    """An odd descriptor says that the last byte is not full: its data end before its lowest 1."""
    whole = len(raw.data) * 8
    if raw.descriptors[1] % 2 == 0:
        return whole
    last = raw.data[-1]
    if last & 0x7F == 0:
        raise refusal("a cell's padding is broken")
    return whole - (last & -last).bit_length()


def _table() -> tuple[int, ...]:
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = (byte >> 1) ^ (0x82F63B78 if byte & 1 else 0)
        table.append(byte)
    return tuple(table)


_CRC32C = _table()


def checksum(data: bytes) -> int:
    """CRC-32C (Castagnoli), which bags of cells may end in."""
    value = 0xFFFFFFFF
    for byte in data:
        value = (value >> 8) ^ _CRC32C[(value ^ byte) & 0xFF]
    return value ^ 0xFFFFFFFF
