""".blend files: the version they were saved by, and whether all their blocks are there.

Layouts (from Blender's own BLO_core_bhead.hh, learnt by reading files of 2.78, 3.06, 4.5 and 5.0):
a header of 12 bytes `BLENDER-v405`, or of 17 bytes `BLENDER17-01v0500` since 5.0; then blocks with a head
each, up to ENDB.
"""

from __future__ import annotations

import io
import re
import struct
from typing import IO

from app.errors import InvalidInput
from app.formats.compression import detect_compression, open_unpacked
from app.formats.cursor import Cursor
from app.formats.limits import SceneFacts, SceneLimits
from app.formats.refusal import not_a_scene

MAGIC = b"BLENDER"
_SHORT_HEADER = re.compile(rb"BLENDER([_-])([vV])([0-9]{3})")
_LONG_HEADER = re.compile(rb"BLENDER17-01v([0-9]{4})")
_BUFFER_BYTES = 256 * 1024


def inspect_blend(stream: IO[bytes], size_bytes: int, limits: SceneLimits) -> SceneFacts:
    """Read a .blend from its beginning; `stream` must be seekable."""
    compressed = detect_compression(stream.read(4))
    stream.seek(0)
    if compressed is None:
        cursor = Cursor(stream, ".blend", size_bytes)
        version, warnings = _walk(cursor, limits)
        return SceneFacts(".blend", version, None, size_bytes, tuple(warnings))
    capped = open_unpacked(stream, compressed, limits)
    cursor = Cursor(io.BufferedReader(capped, _BUFFER_BYTES), ".blend", None)
    version, warnings = _walk(cursor, limits)
    cursor.drain()
    return SceneFacts(".blend", version, compressed, cursor.position, tuple(warnings))


def _walk(cursor: Cursor, limits: SceneLimits) -> tuple[str, list[str]]:
    version, head = _read_header(cursor)
    _refuse_newer(version, limits.max_blender_version)
    warnings = _walk_blocks(cursor, head, limits.max_blocks)
    return f"{version[0]}.{version[1]}", warnings


def _read_header(cursor: Cursor) -> tuple[tuple[int, int], struct.Struct]:
    """The version as (major, minor) and the shape of a block's head: code, length, in that file's byte
    order."""
    start = cursor.take(12)
    if match := _SHORT_HEADER.fullmatch(start):
        order = "<" if match[2] == b"v" else ">"
        pointer = 4 if match[1] == b"_" else 8
        return _split_version(match[3]), struct.Struct(f"{order}4si{pointer}x8x")
    if start.startswith(b"BLENDER17-"):
        whole = start + cursor.take(5)
        if match := _LONG_HEADER.fullmatch(whole):
            return _split_version(match[1]), struct.Struct("<4s4x8xq8x")
    raise not_a_scene(
        "The file is named .blend and does not begin like one. Save it with Blender and send that file."
    )


def _split_version(digits: bytes) -> tuple[int, int]:
    return divmod(int(digits), 100)


def _refuse_newer(version: tuple[int, int], newest: tuple[int, int]) -> None:
    if version > newest:
        raise InvalidInput(
            f"The scene was saved by Blender {version[0]}.{version[1]} and the nodes here run up to "
            f"{newest[0]}.{newest[1]}. "
            f"Open it in Blender {newest[0]}.{newest[1]}, or export it as .glb.",
            code="SCENE_TOO_NEW",
            details={
                "blender_version": f"{version[0]}.{version[1]}",
                "max_blender_version": f"{newest[0]}.{newest[1]}",
            },
        )


def _walk_blocks(cursor: Cursor, head: struct.Struct, max_blocks: int) -> list[str]:
    has_dna = False
    for _ in range(max_blocks):
        code, length = head.unpack(cursor.take(head.size))
        if code == b"ENDB":
            if not has_dna:
                raise not_a_scene(
                    "The .blend has no description of its data (DNA1). Save it again with Blender."
                )
            return []
        if length < 0 or not (code[:2].isalnum() and code.rstrip(b"\0").isalnum()):
            raise not_a_scene(f"The .blend is damaged at byte {cursor.position}. Save it again with Blender.")
        has_dna = has_dna or code == b"DNA1"
        cursor.skip(length)
    return [f"The scene has more than {max_blocks} data blocks: only the first were checked."]
