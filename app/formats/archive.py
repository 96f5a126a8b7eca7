"""Zips with one scene and the files it needs, checked entry by entry with the sizes that really come out."""

from __future__ import annotations

import contextlib
import posixpath
import stat
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from typing import IO

from app.formats.directory import DIRECTORY_ENTRY_LIMIT_BYTES, announced_directory_bytes
from app.formats.limits import ARCHIVE_EXTENSION, MIB, SCENE_EXTENSIONS, SceneLimits
from app.formats.names import clean_member_path, extension_of
from app.formats.refusal import archive_refused, bomb, truncated

ZIP_MAGICS = (b"PK\x03\x04", b"PK\x05\x06")
_NESTED = {ARCHIVE_EXTENSION, ".7z", ".rar", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".zst", ".jar", ".usdz"}
_JUNK_FOLDER = "__MACOSX"
_SPOOL_BYTES = 8 * MIB
_CHUNK_BYTES = 256 * 1024
_READABLE = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


@contextlib.contextmanager
def open_archive(stream: IO[bytes], size_bytes: int, limits: SceneLimits) -> Iterator[zipfile.ZipFile]:
    """The archive with its list of contents read, once that list is known to be short."""
    _check_directory_size(stream, size_bytes, limits.max_archive_entries)
    try:
        with zipfile.ZipFile(stream) as archive:
            yield archive
    except (
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        NotImplementedError,
        RuntimeError,
        ValueError,
        struct.error,
    ) as error:
        raise archive_refused(
            f"The zip is damaged ({str(error)[:200]}). Pack it again and resend."
        ) from error


def list_members(archive: zipfile.ZipFile, limits: SceneLimits) -> dict[str, zipfile.ZipInfo]:
    """Files of the archive by clean path; refuses whatever could escape, surprise or clash when unpacked."""
    if len(archive.infolist()) > limits.max_archive_entries:
        raise _too_many(limits.max_archive_entries)
    members: dict[str, zipfile.ZipInfo] = {}
    seen: set[str] = set()
    for info in archive.infolist():
        path = clean_member_path(info.orig_filename)
        _check_entry(info, path)
        if path.rstrip("/").casefold() in seen:
            raise archive_refused(f"The zip holds {path!r} twice. Pack it again with each file once.")
        seen.add(path.rstrip("/").casefold())
        if not info.is_dir() and not _is_junk(path):
            members[path] = info
    _refuse_files_as_folders(members)
    return members


def pick_scene(members: dict[str, zipfile.ZipInfo]) -> str:
    """The path of the one scene."""
    scenes = [path for path in members if extension_of(path) in SCENE_EXTENSIONS]
    if not scenes:
        raise archive_refused(f"The zip holds no scene. Put one of {' '.join(SCENE_EXTENSIONS)} into it.")
    if len(scenes) > 1:
        raise archive_refused(
            f"The zip holds {len(scenes)} scenes ({', '.join(sorted(scenes)[:5])}). Send one scene for "
            f"each job."
        )
    return scenes[0]


def unpack_scene(
    archive: zipfile.ZipFile,
    members: dict[str, zipfile.ZipInfo],
    scene: str,
    limits: SceneLimits,
    packed_bytes: int,
) -> tuple[IO[bytes], int]:
    """Stream every entry through the caps; returns the scene's bytes (rewound) and the size of all that
    came out."""
    kept: IO[bytes] = tempfile.SpooledTemporaryFile(max_size=_SPOOL_BYTES)
    total_bytes = 0
    try:
        for path, info in members.items():
            with archive.open(info) as entry:
                while chunk := entry.read(_CHUNK_BYTES):
                    total_bytes += len(chunk)
                    _check_total(total_bytes, packed_bytes, limits)
                    if path == scene:
                        kept.write(chunk)
    except BaseException:
        kept.close()
        raise
    kept.seek(0)
    return kept, total_bytes


def has_beside(members: dict[str, zipfile.ZipInfo], scene: str, relative: str) -> bool:
    """Whether the archive holds `relative`, seen from the scene's folder."""
    folder = posixpath.dirname(scene)
    return posixpath.normpath(posixpath.join(folder, relative.replace("\\", "/"))) in members


def _check_entry(info: zipfile.ZipInfo, path: str) -> None:
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise archive_refused(f"{path!r} in the zip is a link or a device. Pack the files themselves.")
    if info.flag_bits & 0x1:
        raise archive_refused("The zip is encrypted. Pack it again without a password.")
    if info.compress_type not in _READABLE:
        raise archive_refused(f"{path!r} is packed in a way that is not read here. Use plain zip (deflate).")
    if extension_of(path) in _NESTED and not _is_junk(path):
        raise archive_refused(f"{path!r} is an archive inside the zip. Pack all files into one zip.")


def _refuse_files_as_folders(members: dict[str, zipfile.ZipInfo]) -> None:
    files = {path.casefold() for path in members}
    for path in files:
        parts = path.split("/")[:-1]
        for depth in range(1, len(parts) + 1):
            if "/".join(parts[:depth]) in files:
                raise archive_refused(f"{path!r} in the zip lies inside a file. Pack it again.")


def _is_junk(path: str) -> bool:
    """What desktops put into zips by themselves."""
    parts = path.split("/")
    return (
        parts[0] == _JUNK_FOLDER
        or parts[-1].startswith("._")
        or parts[-1] in (".DS_Store", "Thumbs.db", "desktop.ini")
    )


def _check_total(total_bytes: int, packed_bytes: int, limits: SceneLimits) -> None:
    if total_bytes > limits.max_uncompressed_bytes:
        raise bomb(f"The zip unpacks to more than {limits.max_uncompressed_bytes // MIB} MiB. Send less.")
    if total_bytes > limits.ratio_floor_bytes and total_bytes > limits.max_ratio * packed_bytes:
        raise bomb(
            f"The zip unpacks to more than {limits.max_ratio} times its size, as only compression bombs do."
        )


def _check_directory_size(stream: IO[bytes], size_bytes: int, max_entries: int) -> None:
    """It may announce millions of entries, and is read into memory as a whole."""
    directory_bytes = announced_directory_bytes(stream, size_bytes)
    if directory_bytes is None:
        raise truncated("The zip has no list of contents at its end.")
    if directory_bytes > max_entries * DIRECTORY_ENTRY_LIMIT_BYTES:
        raise _too_many(max_entries)
    stream.seek(0)


def _too_many(max_entries: int) -> Exception:
    return archive_refused(
        f"The zip holds more than {max_entries} files. Send fewer, or pack the textures into the .blend."
    )
