"""glTF 2.0: as JSON with its data beside it (.gltf) or in one binary file (.glb). Source: Khronos' glTF
2.0 specification, 4 and 5."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from typing import IO, Any
from urllib.parse import unquote

from app.errors import InvalidInput
from app.formats.cursor import Cursor
from app.formats.limits import MIB, SceneFacts, SceneLimits
from app.formats.refusal import mismatch, not_a_scene, truncated

GLB_MAGIC = b"glTF"
_JSON_CHUNK = b"JSON"

FindFile = Callable[[str], bool]
"""Tells whether a file lies beside the scene, by its relative path."""


def inspect_glb(stream: IO[bytes], size_bytes: int, limits: SceneLimits, has_file: FindFile) -> SceneFacts:
    """Check the header, the lengths of all chunks, and the JSON in the first one."""
    cursor = Cursor(stream, ".glb", size_bytes)
    magic, version, declared = struct.unpack("<4sII", cursor.take(12))
    if magic != GLB_MAGIC:
        raise not_a_scene(
            "The file is named .glb and does not begin like one. Export it again as glTF binary."
        )
    if version != 2:
        raise not_a_scene(f"The file is glTF {version}; only glTF 2 is read. Export it again as glTF 2.0.")
    if declared > size_bytes:
        raise truncated(f"The .glb announces {declared} bytes and has {size_bytes}.")
    document = _read_json_chunk(cursor, limits)
    while cursor.position + 8 <= declared:
        length, _ = struct.unpack("<I4s", cursor.take(8))
        cursor.skip(length)
    if cursor.position > declared:
        raise not_a_scene("The .glb's chunks are longer than the file says. Export it again.")
    return SceneFacts(".glb", None, None, size_bytes, tuple(_check_document(document, has_file)))


def inspect_gltf(stream: IO[bytes], size_bytes: int, limits: SceneLimits, has_file: FindFile) -> SceneFacts:
    """Check the JSON, and that what it refers to lies beside it."""
    if size_bytes > limits.max_json_bytes:
        raise _too_long(limits)
    text = stream.read(limits.max_json_bytes + 1)
    if text.startswith(GLB_MAGIC):
        raise mismatch("The file is a .glb and is named .gltf. Rename it to .glb and send it again.")
    return SceneFacts(".gltf", None, None, size_bytes, tuple(_check_document(_parse(text, limits), has_file)))


def _read_json_chunk(cursor: Cursor, limits: SceneLimits) -> dict[str, Any]:
    length, kind = struct.unpack("<I4s", cursor.take(8))
    if kind != _JSON_CHUNK:
        raise not_a_scene("The .glb does not begin with its JSON chunk. Export it again.")
    if length > limits.max_json_bytes:
        raise _too_long(limits)
    return _parse(cursor.take(length), limits)


def _parse(text: bytes, limits: SceneLimits) -> dict[str, Any]:
    """The number of values is counted in the raw bytes first: a small text can become a very large tree
    of objects."""
    if sum(text.count(mark) for mark in (b",", b"[", b"{")) > limits.max_json_values:
        raise not_a_scene(
            f"The glTF has more than {limits.max_json_values} values. Export it as .glb with less data "
            f"in JSON."
        )
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        if not text.lstrip().startswith((b"{", b"\xef\xbb\xbf{")):
            raise not_a_scene("The glTF is no JSON document. Export it again.") from error
        if not text.rstrip(b" \t\r\n\0").endswith(b"}"):
            raise truncated("The glTF's JSON ends in the middle.") from error
        raise not_a_scene("The glTF's JSON cannot be read. Export it again.") from error
    if not isinstance(document, dict) or not isinstance(document.get("asset"), dict):
        raise not_a_scene("The JSON is no glTF: it has no asset section. Export the scene as glTF 2.0.")
    return document


def _check_document(document: dict[str, Any], has_file: FindFile) -> list[str]:
    version = document["asset"].get("version")
    if not isinstance(version, str) or not version.startswith("2."):
        raise not_a_scene(
            f"The file is glTF {str(version)[:20]}; only glTF 2 is read. Export it again as glTF 2.0."
        )
    if not document.get("meshes"):
        raise not_a_scene("The glTF has no mesh: there is nothing to render.")
    missing_buffers = [name for name in _references(document, "buffers") if not has_file(name)]
    if missing_buffers:
        raise InvalidInput(
            f"The .gltf needs {missing_buffers[0]!r} beside it. Send a zip of the scene with its files, "
            f"or export it as .glb.",
            code="SCENE_FILES_MISSING",
            details={"missing": missing_buffers[:20]},
        )
    return [f"missing file: {name}" for name in _references(document, "images") if not has_file(name)][:100]


def _references(document: dict[str, Any], section: str) -> list[str]:
    """Relative paths named in a section; data inside the document is left out, addresses elsewhere are
    refused."""
    entries = document.get(section, [])
    if not isinstance(entries, list):
        raise not_a_scene(f"The glTF's {section} are no list. Export it again.")
    uris = [entry.get("uri") for entry in entries if isinstance(entry, dict)]
    paths = [uri for uri in uris if isinstance(uri, str) and not uri.startswith("data:")]
    for path in paths:
        decoded = unquote(path)
        if (
            "://" in decoded
            or decoded.startswith(("/", "\\"))
            or ".." in decoded.replace("\\", "/").split("/")
        ):
            raise not_a_scene(
                f"The glTF refers to {path[:80]!a}; only files beside it can be used. Pack them together."
            )
    return [unquote(path) for path in paths]


def _too_long(limits: SceneLimits) -> InvalidInput:
    return not_a_scene(
        f"The glTF's JSON is longer than {limits.max_json_bytes // MIB} MiB. Export the scene as .glb "
        f"instead."
    )
