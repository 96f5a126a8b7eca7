"""A film that a node has joined, looked at before it counts: which pictures the MP4 says it has, and that all of them lie in it.

Only the file's structure is read: how many pictures, how large, how fast, and where. H.264 itself is not decoded here.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from app.formats.image import ResultUnreadable

INDEX_MOST_BYTES = 64 * 1024 * 1024  # of moov: some 20 bytes a picture
DEPTH_MOST, BOXES_MOST = 8, 10_000
CONTAINERS = frozenset({b"moov", b"trak", b"mdia", b"minf", b"stbl"})
PACKED = b"avc1"
ENTRIES_MOST = 4_000_000


@dataclass(frozen=True, slots=True)
class FilmFacts:
    """Of its only track of pictures: their size in pixels, how many there are, and how many are shown a second."""

    width: int
    height: int
    frames: int
    fps: float


def read(path: Path) -> FilmFacts:
    """What an MP4 holds; ResultUnreadable for what is none, or is cut short."""
    try:
        index, size_bytes = _index(path)
        tracks = [found for found in _tracks(index) if found.get(b"hdlr", b"")[8:12] == b"vide"]
        if len(tracks) != 1:
            raise ValueError(f"it has {len(tracks)} tracks of pictures")
        return _facts(tracks[0], size_bytes)
    except (ValueError, KeyError, IndexError, struct.error, OverflowError) as error:
        raise ResultUnreadable(f"The film cannot be read as MP4 ({str(error)[:120]}).") from error


def _index(path: Path) -> tuple[bytes, int]:
    """The box `moov`, and how long the file is; the boxes of the file must fill it exactly."""
    size_bytes = path.stat().st_size
    found: dict[bytes, tuple[int, int]] = {}
    with path.open("rb") as file:
        position = count = 0
        while position < size_bytes:
            count = _counted(count)
            file.seek(position)
            head = file.read(16)
            length, name = struct.unpack(">I4s", head[:8])
            start = position + 8
            if length == 1:
                length, start = struct.unpack(">Q", head[8:16])[0], position + 16
            if length == 0:
                length = size_bytes - position
            if length < start - position or position + length > size_bytes:
                raise ValueError("it ends too early")
            if not found and name != b"ftyp":
                raise ValueError("it does not begin as an MP4 does")
            found[name] = (start, position + length)
            position += length
        start, end = found[b"moov"]
        if end - start > INDEX_MOST_BYTES:
            raise ValueError("its index is too large")
        file.seek(start)
        return file.read(end - start), size_bytes


def _tracks(index: bytes) -> Iterator[dict[bytes, bytes]]:
    for name, body in _boxes(index):
        if name == b"trak":
            yield dict(_leaves(body, 0))


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    position = count = 0
    while position < len(data):
        count = _counted(count)
        length, name = struct.unpack_from(">I4s", data, position)
        if length < 8 or position + length > len(data):
            raise ValueError("a box runs past its end")
        yield name, data[position + 8 : position + length]
        position += length


def _counted(count: int) -> int:
    """One box more; a film has a few, and no file is to keep the hub busy with millions."""
    if count >= BOXES_MOST:
        raise ValueError("it has too many boxes")
    return count + 1


def _leaves(data: bytes, depth: int) -> Iterator[tuple[bytes, bytes]]:
    if depth > DEPTH_MOST:
        raise ValueError("its boxes are nested too deeply")
    for name, body in _boxes(data):
        if name in CONTAINERS:
            yield from _leaves(body, depth + 1)
        else:
            yield name, body


def _facts(track: Mapping[bytes, bytes], size_bytes: int) -> FilmFacts:
    entry = track[b"stsd"][8:]
    if entry[4:8] != PACKED:
        raise ValueError("its pictures are not H.264")
    width, height = struct.unpack_from(">HH", entry, 32)
    shown = _pairs(track[b"stts"])
    frames, units = sum(count for count, _ in shown), sum(count * length for count, length in shown)
    sizes = _sizes(track[b"stsz"])
    timescale = int(struct.unpack_from(">I", track[b"mdhd"], 20 if track[b"mdhd"][0] == 1 else 12)[0])
    if 0 in (frames, units, timescale) or len(sizes) != frames:
        raise ValueError("its pictures and their times don't fit one another")
    if min(sizes) == 0 or sum(sizes) > size_bytes:
        raise ValueError("it lacks pictures")
    return FilmFacts(width, height, frames, frames * timescale / units)


def _pairs(table: bytes) -> list[tuple[int, int]]:
    count = _count(table, 4, 8)
    return list(struct.iter_unpack(">II", table[8 : 8 + 8 * count]))


def _sizes(table: bytes) -> list[int]:
    same = struct.unpack_from(">I", table, 4)[0]
    count = _count(table, 8, 0 if same else 4)
    return [same] * count if same else [row[0] for row in struct.iter_unpack(">I", table[12 : 12 + 4 * count])]


def _count(table: bytes, at: int, each_bytes: int) -> int:
    found = int(struct.unpack_from(">I", table, at)[0])
    if found > ENTRIES_MOST or len(table) < at + 4 + found * each_bytes:
        raise ValueError("a table is shorter than it says")
    return found
