"""Frames in a zip: sent to clients as a stream, and taken from providers' own software.

Pictures are stored, not deflated: they are compressed already, and the stream then costs next to nothing.
"""

from __future__ import annotations

import io
import re
import stat
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import IO

from zipstream import ZIP_STORED, ZipStream

from app.errors import InvalidInput
from app.formats.directory import DIRECTORY_ENTRY_LIMIT_BYTES, announced_directory_bytes
from app.formats.image import ResultUnreadable
from app.formats.names import clean_member_path

_CHUNK_BYTES = 256 * 1024
_FRAME_IN_NAME = re.compile(r"(?:^|[^0-9])((?:(?<=[_. /])-|^-)?[0-9]{1,8})\.[A-Za-z0-9]{1,5}\Z")
_JUNK_FOLDER = "__MACOSX/"


@dataclass(frozen=True, slots=True)
class BundleEntry:
    """One file to send: its name in the zip, its exact size, and how to open it when its turn comes."""

    name: str
    size_bytes: int
    open: Callable[[], IO[bytes]]


def frame_name(frame: int, extension: str) -> str:
    """`frame_0001.png`, `frame_-0005.png`: Blender's own way of writing frames, with its dot in
    `extension`."""
    return f"frame_{'-' if frame < 0 else ''}{abs(frame):04d}{extension}"


def stream_bundle(entries: Iterable[BundleEntry]) -> tuple[int, Iterator[bytes]]:
    """A zip's length in bytes and its chunks. One file is open at a time; zip64 is used where it is
    needed."""
    archive = ZipStream(compress_type=ZIP_STORED, sized=True)
    for entry in entries:
        archive.add(_chunks(entry), entry.name, size=entry.size_bytes)
    return len(archive), iter(archive)


def read_bundle(
    path: str | PathLike[str], expected_frames: Iterable[int], max_bytes: int
) -> Iterator[tuple[int, FrameStream]]:
    """The frames of a provider's zip, in order, each as a stream capped so that all together give at
    most `max_bytes`.

    All names are checked before the first frame is given. ResultUnreadable for damage, links, tricks, and
    frames that are missing,
    asked for by nobody, or there twice.
    """
    expected = sorted(set(expected_frames))
    archive = _open_archive(Path(path), _entry_limit(expected))
    try:
        members = _match_frames(archive, expected)
    except BaseException:
        archive.close()
        raise
    return _give_frames(archive, members, max_bytes)


def _chunks(entry: BundleEntry) -> Iterator[bytes]:
    with entry.open() as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            yield chunk


def _entry_limit(expected: list[int]) -> int:
    """Folders and what desktops add are let through, within reason."""
    return 2 * len(expected) + 100


def _open_archive(path: Path, max_entries: int) -> zipfile.ZipFile:
    with path.open("rb") as stream:
        directory_bytes = announced_directory_bytes(stream, stream.seek(0, io.SEEK_END))
    if directory_bytes is not None and directory_bytes > max_entries * DIRECTORY_ENTRY_LIMIT_BYTES:
        raise ResultUnreadable("The zip's list of contents is far longer than the frames need.")
    try:
        return zipfile.ZipFile(path)
    except (zipfile.BadZipFile, ValueError, NotImplementedError) as error:
        raise ResultUnreadable(
            f"The result is not a zip ({str(error)[:80]}). Send the frames as one zip."
        ) from error


def _match_frames(archive: zipfile.ZipFile, expected: list[int]) -> dict[int, zipfile.ZipInfo]:
    if len(archive.infolist()) > _entry_limit(expected):
        raise ResultUnreadable(f"The zip holds {len(archive.infolist())} entries for {len(expected)} frames.")
    found: dict[int, zipfile.ZipInfo] = {}
    for info in archive.infolist():
        if info.is_dir() or info.filename.startswith(_JUNK_FOLDER):
            continue
        frame = _frame_of(info)
        if frame in found:
            raise ResultUnreadable(f"The zip holds frame {frame} twice.")
        found[frame] = info
    _compare(set(found), set(expected))
    return {frame: found[frame] for frame in expected}


def _frame_of(info: zipfile.ZipInfo) -> int:
    try:
        path = clean_member_path(info.orig_filename)
    except InvalidInput as error:
        raise ResultUnreadable(error.message) from error
    if stat.S_IFMT(info.external_attr >> 16) not in (0, stat.S_IFREG) or info.flag_bits & 0x1:
        raise ResultUnreadable(
            f"{path!r} in the zip is a link, a device or encrypted. Pack the pictures themselves."
        )
    match = _FRAME_IN_NAME.search(path)
    if match is None:
        raise ResultUnreadable(
            f"{path!r} in the zip has no frame number before its extension, as in frame_0001.png."
        )
    return int(match[1])


def _compare(found: set[int], expected: set[int]) -> None:
    missing, extra = sorted(expected - found), sorted(found - expected)
    if missing:
        raise ResultUnreadable(
            f"{len(missing)} frames are missing from the zip: {', '.join(map(str, missing[:10]))}.",
            details={"missing": missing[:100]},
        )
    if extra:
        raise ResultUnreadable(
            f"The zip holds frames that nobody asked for: {', '.join(map(str, extra[:10]))}.",
            details={"extra": extra[:100]},
        )


def _give_frames(
    archive: zipfile.ZipFile, members: dict[int, zipfile.ZipInfo], max_bytes: int
) -> Iterator[tuple[int, FrameStream]]:
    left = _Allowance(max_bytes)
    with archive:
        for frame, info in members.items():
            try:
                with archive.open(info) as entry:
                    yield frame, FrameStream(entry, left)
            except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
                raise ResultUnreadable(f"Frame {frame} in the zip is damaged ({str(error)[:80]}).") from error


@dataclass(slots=True)
class _Allowance:
    bytes: int


class FrameStream:
    """Reads one frame out of the zip; the sizes that the zip announces are never trusted."""

    def __init__(self, entry: IO[bytes], left: _Allowance) -> None:
        self._entry = entry
        self._left = left

    def read(self, size: int = -1) -> bytes:
        wanted = self._left.bytes + 1 if size < 0 else min(size, self._left.bytes + 1)
        try:
            data = self._entry.read(wanted)
        except (zipfile.BadZipFile, zlib.error, EOFError) as error:
            raise ResultUnreadable(f"A frame in the zip is damaged ({str(error)[:80]}).") from error
        self._left.bytes -= len(data)
        if self._left.bytes < 0:
            raise ResultUnreadable("The zip unpacks to more than a result of this job may have.")
        return data
