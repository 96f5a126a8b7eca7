"""A scene file checked cheaply before Blender sees a byte of it: is it a scene, how big does it grow, who saved it.

A 64 KB file can grow to gigabytes in Blender's memory while it loads, so what is compressed is unpacked here in
small pieces and only counted.
"""

from __future__ import annotations

import gzip
import re
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import BinaryIO

import zstandard

from gpu_node.failures import FailureCode, WorkFailed

IMPORT_FORMATS = (".obj", ".fbx", ".gltf", ".glb", ".stl")
FORMATS = (".blend", *IMPORT_FORMATS, ".zip")
NEWEST_VERSION = (4, 5)
CHUNK_BYTES = 1 << 20
MAX_WINDOW_BYTES = 128 << 20
MAX_ZIP_ENTRIES = 10_000
MAX_ZIP_RATIO = 200
MAX_NAME_BYTES = 255
STL_HEADER_BYTES = 80
STL_TRIANGLE_BYTES = 50
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
GZIP_MAGIC = b"\x1f\x8b"
LFS_MAGIC = b"version https://git-lfs"
HEADER = re.compile(rb"BLENDER(?:[-_][vV](\d)(\d\d)|\d\d[-_]\d\d[vV](\d\d)(\d\d))")


def check_scene(path: Path, max_bytes: int) -> None:
    """Raises WorkFailed unless `path` looks like a scene of its extension that unpacks to at most `max_bytes`."""
    with path.open("rb") as file:
        head = file.read(64)
    if not head:
        raise _unreadable("the scene file is empty (0 bytes)")
    if head.startswith(LFS_MAGIC):
        raise _unreadable("the file is a git-LFS pointer, not the scene itself: fetch it with git lfs pull first")
    if path.suffix.lower() == ".blend":
        check_version(_first_bytes(path, max_bytes))
    elif path.suffix.lower() == ".stl":
        _check_stl(head, path)


def _check_stl(head: bytes, path: Path) -> None:
    """Blender makes triangles of any bytes, so the length that a binary STL declares is compared with the file's."""
    if head.lstrip().lower().startswith(b"solid"):
        return
    with path.open("rb") as file:
        file.seek(STL_HEADER_BYTES)
        count = int.from_bytes(file.read(4), "little")
    if path.stat().st_size < STL_HEADER_BYTES + 4 + count * STL_TRIANGLE_BYTES or count == 0:
        raise _unreadable("the file is no STL: its length does not fit the number of triangles it declares")


def check_version(head: bytes) -> tuple[int, int]:
    """The Blender version that saved a file beginning with `head`. Raises SCENE_UNREADABLE or SCENE_TOO_NEW."""
    found = HEADER.match(head)
    if found is None:
        raise _unreadable("the file does not begin as a .blend does")
    version = (int(found[1] or found[3]), int(found[2] or found[4]))
    if version > NEWEST_VERSION:
        raise WorkFailed(
            FailureCode.SCENE_TOO_NEW,
            f"saved by Blender {version[0]}.{version[1]}; this node reads up to "
            f"{NEWEST_VERSION[0]}.{NEWEST_VERSION[1]}: save it for an older version",
        )
    return version


def unpack_zip(path: Path, folder: Path, max_bytes: int) -> Path:
    """Unpacks a zip below `folder` and returns the one scene in it. Raises SCENE_UNREADABLE for tricks and bombs."""
    try:
        with zipfile.ZipFile(path) as archive:
            entries = [entry for entry in archive.infolist() if not entry.is_dir()]
            _check_entries(entries, path.stat().st_size, max_bytes)
            left = max_bytes
            for entry in entries:
                left -= _unpack_entry(archive, entry, folder, left)
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError) as error:
        raise _unreadable(f"the zip can't be read: {error}") from error
    return find_scene([folder / entry.filename for entry in entries])


def find_scene(paths: list[Path]) -> Path:
    """The one file that is a scene. Raises SCENE_UNREADABLE when there is none or more than one."""
    for formats in ((".blend",), IMPORT_FORMATS):
        scenes = [path for path in paths if path.suffix.lower() in formats and "__MACOSX" not in path.parts]
        if len(scenes) == 1:
            return scenes[0]
        if scenes:
            names = ", ".join(sorted(path.name for path in scenes)[:10])
            raise _unreadable(f"the archive holds more than one scene ({names}): pack one")
    raise _unreadable(f"the archive holds no scene ({', '.join(FORMATS[:-1])})")


def _check_entries(entries: list[zipfile.ZipInfo], packed_bytes: int, max_bytes: int) -> None:
    if len(entries) > MAX_ZIP_ENTRIES:
        raise _unreadable(f"the zip has {len(entries)} files; {MAX_ZIP_ENTRIES} are allowed")
    total = sum(entry.file_size for entry in entries)
    if total > max_bytes or total > MAX_ZIP_RATIO * max(packed_bytes, CHUNK_BYTES):
        raise _unreadable(f"the zip unpacks to {total} bytes, which is more than is allowed")
    for entry in entries:
        name = PurePosixPath(entry.filename)
        is_link = (entry.external_attr >> 16) & 0o170000 == 0o120000
        if name.is_absolute() or ".." in name.parts or "\\" in entry.filename or is_link:
            raise _unreadable(f"the zip has an entry that points outside it: {entry.filename[:100]!r}")
        if any(len(part.encode()) > MAX_NAME_BYTES for part in name.parts):
            raise _unreadable(f"the zip has a name longer than {MAX_NAME_BYTES} bytes: {entry.filename[:100]!r}")


def _unpack_entry(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, folder: Path, left: int) -> int:
    target = folder / entry.filename
    target.parent.mkdir(parents=True, exist_ok=True)
    written = 0
    with archive.open(entry) as source, target.open("wb") as sink:
        while chunk := source.read(CHUNK_BYTES):
            written += len(chunk)
            if written > left:
                raise _unreadable("the zip unpacks to more than is allowed")
            sink.write(chunk)
    return written


def _first_bytes(path: Path, max_bytes: int) -> bytes:
    """The first bytes of the file unpacked; the whole of it is counted on the way. Raises SCENE_UNREADABLE."""
    with path.open("rb") as file:
        head = file.read(4)
        file.seek(0)
        if not head.startswith((ZSTD_MAGIC, GZIP_MAGIC)):
            return file.read(32)
        try:
            return _count(_pieces(file, head), max_bytes)
        except (zstandard.ZstdError, OSError, EOFError, zlib.error) as error:
            raise _unreadable(f"the compressed scene is broken: {error}") from error


def _count(pieces: Iterator[bytes], max_bytes: int) -> bytes:
    first, total = b"", 0
    for piece in pieces:
        first = first or piece[:32]
        total += len(piece)
        if total > max_bytes:
            raise _unreadable(f"the scene unpacks to more than the {max_bytes} bytes allowed")
    return first


def _pieces(file: BinaryIO, head: bytes) -> Iterator[bytes]:
    if head.startswith(GZIP_MAGIC):
        with gzip.GzipFile(fileobj=file) as unpacked:
            while piece := unpacked.read(CHUNK_BYTES):
                yield piece
        return
    unpacker = zstandard.ZstdDecompressor(max_window_size=MAX_WINDOW_BYTES)
    with unpacker.stream_reader(file, read_across_frames=True) as reader:
        while piece := reader.read(CHUNK_BYTES):
            yield piece


def _unreadable(message: str) -> WorkFailed:
    return WorkFailed(FailureCode.SCENE_UNREADABLE, message)
