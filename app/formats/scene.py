"""The hub's cheap look at an uploaded scene: is it whole, harmless to unpack, and something a node can
open?"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from app.errors import InvalidInput
from app.formats import archive
from app.formats.blend import MAGIC as BLEND_MAGIC
from app.formats.blend import inspect_blend
from app.formats.compression import detect_compression
from app.formats.fbx import FBX_MAGIC, inspect_fbx
from app.formats.gltf import GLB_MAGIC, FindFile, inspect_glb, inspect_gltf
from app.formats.limits import ARCHIVE_EXTENSION, SCENE_EXTENSIONS, SceneFacts, SceneLimits
from app.formats.names import clean_file_name, extension_of
from app.formats.obj import inspect_obj
from app.formats.refusal import mismatch, not_a_scene
from app.formats.stl import inspect_stl

_LFS_POINTER = b"version https://git-lfs.github.com/spec/"
_PACKED = {".blend"}


def inspect_scene(
    source: str | os.PathLike[str] | IO[bytes], file_name: str, limits: SceneLimits | None = None
) -> SceneFacts:
    """Check an uploaded scene by its content; streaming, in bounded memory.

    `source` is a path or a seekable binary file. Raises InvalidInput with one of the codes NAME_INVALID
    SCENE_EMPTY
    SCENE_FORMAT_UNSUPPORTED SCENE_EXTENSION_MISMATCH SCENE_LFS_POINTER SCENE_UNREADABLE SCENE_TRUNCATED
    SCENE_TOO_NEW SCENE_BOMB
    SCENE_ARCHIVE_INVALID SCENE_FILES_MISSING; each message says what to do.
    """
    limits = limits or SceneLimits()
    extension = extension_of(clean_file_name(file_name))
    if extension not in (*SCENE_EXTENSIONS, ARCHIVE_EXTENSION):
        raise InvalidInput(
            f"Files of type {extension or '(none)'} are not rendered here. Send one of "
            f"{' '.join((*SCENE_EXTENSIONS, ARCHIVE_EXTENSION))}.",
            code="SCENE_FORMAT_UNSUPPORTED",
        )
    with _opened(source) as (stream, size_bytes):
        if extension == ARCHIVE_EXTENSION:
            return _inspect_archive(stream, size_bytes, limits)
        return _inspect_file(stream, size_bytes, extension, limits, lambda _: False)


@contextlib.contextmanager
def _opened(source: str | os.PathLike[str] | IO[bytes]) -> Iterator[tuple[IO[bytes], int]]:
    if isinstance(source, str | os.PathLike):
        with Path(source).open("rb") as stream:
            yield stream, stream.seek(0, io.SEEK_END)
        return
    yield source, source.seek(0, io.SEEK_END)


def _inspect_file(
    stream: IO[bytes], size_bytes: int, extension: str, limits: SceneLimits, has_file: FindFile
) -> SceneFacts:
    stream.seek(0)
    head = stream.read(256)
    stream.seek(0)
    _refuse_at_sight(head, size_bytes, extension)
    if size_bytes > limits.max_uncompressed_bytes:
        raise InvalidInput(
            "The scene is too large. Save it smaller, or without unused data.", code="SCENE_TOO_LARGE"
        )
    match extension:
        case ".blend":
            return inspect_blend(stream, size_bytes, limits)
        case ".glb":
            return inspect_glb(stream, size_bytes, limits, has_file)
        case ".gltf":
            return inspect_gltf(stream, size_bytes, limits, has_file)
        case ".fbx":
            return inspect_fbx(stream, size_bytes)
        case ".stl":
            return inspect_stl(stream, size_bytes)
        case ".obj":
            return inspect_obj(stream, size_bytes, has_file)
    raise AssertionError(f"no check for {extension}")


def _refuse_at_sight(head: bytes, size_bytes: int, extension: str) -> None:
    if size_bytes == 0:
        raise InvalidInput("The file is empty (0 bytes). Send the scene itself.", code="SCENE_EMPTY")
    if head.startswith(_LFS_POINTER):
        raise InvalidInput(
            "The file is a Git LFS pointer, not the scene. Run `git lfs pull` and send the file again.",
            code="SCENE_LFS_POINTER",
        )
    actual = _sniff(head)
    if actual is not None and actual != extension:
        raise mismatch(
            f"The file is a {actual} and is named {extension}. Rename it, or export it as {extension}."
        )
    if detect_compression(head) is not None and extension not in _PACKED:
        raise mismatch(
            f"The file is compressed, which only .blend may be. Unpack it and send the {extension} itself."
        )


def _sniff(head: bytes) -> str | None:
    """The kind of file that the first bytes announce without doubt."""
    if head.startswith(BLEND_MAGIC):
        return ".blend"
    if head.startswith(GLB_MAGIC):
        return ".glb"
    if head.startswith(FBX_MAGIC):
        return ".fbx"
    return ARCHIVE_EXTENSION if head.startswith(archive.ZIP_MAGICS) else None


def _inspect_archive(stream: IO[bytes], size_bytes: int, limits: SceneLimits) -> SceneFacts:
    stream.seek(0)
    head = stream.read(256)
    _refuse_at_sight(head, size_bytes, ARCHIVE_EXTENSION)
    if not head.startswith(archive.ZIP_MAGICS):
        raise not_a_scene("The file is named .zip and does not begin like one. Pack it again.")
    with archive.open_archive(stream, size_bytes, limits) as opened:
        members = archive.list_members(opened, limits)
        scene = archive.pick_scene(members)
        kept, total_bytes = archive.unpack_scene(opened, members, scene, limits, size_bytes)
    with kept:
        scene_bytes = kept.seek(0, io.SEEK_END)
        facts = _inspect_file(
            kept,
            scene_bytes,
            extension_of(scene),
            limits,
            lambda name: archive.has_beside(members, scene, name),
        )
    return dataclasses.replace(facts, uncompressed_bytes=total_bytes, archive_member=scene)
