"""FBX, binary or text: version, and that its top-level records are all there.

Binary layout: 23 bytes of magic, a version, then records that begin with the offset of their end (32 bits, 64
since 7.5); an empty record closes the list.
"""

from __future__ import annotations

import struct
from typing import IO

from app.formats.cursor import Cursor
from app.formats.limits import SceneFacts
from app.formats.refusal import not_a_scene, truncated

FBX_MAGIC = b"Kaydara FBX Binary  \x00\x1a\x00"
_OLDEST_VERSION = 7100
_WIDE_VERSION = 7500
_MAX_RECORDS = 10_000
_CHUNK_BYTES = 1024 * 1024


def inspect_fbx(stream: IO[bytes], size_bytes: int) -> SceneFacts:
    head = stream.read(1024)
    stream.seek(0)
    if head.startswith(FBX_MAGIC):
        return _inspect_binary(Cursor(stream, ".fbx", size_bytes), size_bytes)
    if b"FBX" in head and b"\0" not in head and head.lstrip().startswith(b";"):
        return _inspect_text(stream, size_bytes)
    if FBX_MAGIC.startswith(head):
        raise truncated("The .fbx ends within its header.")
    raise not_a_scene("The file is named .fbx and does not begin like one. Export it again as binary FBX.")


def _inspect_binary(cursor: Cursor, size_bytes: int) -> SceneFacts:
    cursor.skip(len(FBX_MAGIC))
    (version,) = struct.unpack("<I", cursor.take(4))
    if not _OLDEST_VERSION <= version < 10_000:
        raise not_a_scene(
            f"The .fbx is of version {version}; Blender reads 7100 and later. Export it again as FBX 7.4."
        )
    head = struct.Struct("<QQQB" if version >= _WIDE_VERSION else "<IIIB")
    names = _walk_records(cursor, head)
    if b"Objects" not in names:
        raise not_a_scene("The .fbx has no objects: there is nothing to render.")
    return SceneFacts(".fbx", None, None, size_bytes)


def _walk_records(cursor: Cursor, head: struct.Struct) -> set[bytes]:
    names: set[bytes] = set()
    for _ in range(_MAX_RECORDS):
        end, _, _, name_length = head.unpack(cursor.take(head.size))
        if end == 0:
            return names
        names.add(cursor.take(name_length))
        if end < cursor.position:
            raise not_a_scene(f"The .fbx is damaged at byte {cursor.position}. Export it again.")
        cursor.skip(end - cursor.position)
    raise not_a_scene(f"The .fbx has more than {_MAX_RECORDS} records at its top. Export it again.")


def _inspect_text(stream: IO[bytes], size_bytes: int) -> SceneFacts:
    opened = closed = 0
    has_objects = False
    while chunk := stream.read(_CHUNK_BYTES):
        if b"\0" in chunk:
            raise not_a_scene("The text .fbx holds binary data. Export it again as binary FBX.")
        opened += chunk.count(b"{")
        closed += chunk.count(b"}")
        has_objects = has_objects or b"Objects:" in chunk
    if opened > closed:
        raise truncated("The .fbx ends in the middle of a section.")
    if not has_objects:
        raise not_a_scene("The .fbx has no objects: there is nothing to render.")
    return SceneFacts(
        ".fbx", None, None, size_bytes, ("text FBX is read by some nodes only; binary FBX is safer",)
    )
