"""STL meshes, binary (84 bytes and 50 for each triangle) or text (`solid` … `endsolid`)."""

from __future__ import annotations

import io
import struct
from typing import IO

from app.formats.limits import SceneFacts
from app.formats.refusal import not_a_scene, truncated

_HEADER_BYTES = 84
_TRIANGLE_BYTES = 50
_LOOK_BYTES = 64 * 1024


def inspect_stl(stream: IO[bytes], size_bytes: int) -> SceneFacts:
    """A text file also begins with `solid` in some binary exports, so the size decides first."""
    head = stream.read(_LOOK_BYTES)
    if len(head) >= _HEADER_BYTES and size_bytes == _HEADER_BYTES + _TRIANGLE_BYTES * _triangles(head):
        return _binary_facts(head, size_bytes, ())
    if head.lstrip()[:5].lower() == b"solid" and b"\0" not in head:
        return _inspect_text(stream, head, size_bytes)
    if len(head) < _HEADER_BYTES:
        raise not_a_scene("The file is too short for an STL. Export it again.")
    expected = _HEADER_BYTES + _TRIANGLE_BYTES * _triangles(head)
    if size_bytes < expected:
        raise truncated(
            f"The .stl announces {_triangles(head)} triangles ({expected} bytes) and has {size_bytes} bytes."
        )
    return _binary_facts(
        head, size_bytes, (f"{size_bytes - expected} bytes after the last triangle are ignored",)
    )


def _triangles(head: bytes) -> int:
    count: int = struct.unpack_from("<I", head, 80)[0]
    return count


def _binary_facts(head: bytes, size_bytes: int, warnings: tuple[str, ...]) -> SceneFacts:
    if _triangles(head) == 0:
        raise not_a_scene("The .stl has no triangle: there is nothing to render.")
    return SceneFacts(".stl", None, None, size_bytes, warnings)


def _inspect_text(stream: IO[bytes], head: bytes, size_bytes: int) -> SceneFacts:
    if b"facet" not in head.lower():
        raise not_a_scene("The .stl has no triangle: there is nothing to render.")
    stream.seek(max(0, size_bytes - 1024), io.SEEK_SET)
    if b"endsolid" not in stream.read(1024).lower():
        raise truncated("The .stl ends without endsolid.")
    return SceneFacts(".stl", None, None, size_bytes)
