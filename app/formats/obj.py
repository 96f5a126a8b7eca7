"""Wavefront OBJ: text with vertices and faces, and materials in files beside it."""

from __future__ import annotations

import re
from typing import IO

from app.formats.gltf import FindFile
from app.formats.limits import SceneFacts
from app.formats.refusal import not_a_scene

_CHUNK_BYTES = 1024 * 1024
_OVERLAP_BYTES = 600
_MATERIALS = re.compile(rb"(?:^|\n)mtllib[ \t]+([^\r\n]{1,500})")
_MAX_MATERIAL_FILES = 100


def inspect_obj(stream: IO[bytes], size_bytes: int, has_file: FindFile) -> SceneFacts:
    """Read the text once, in pieces: it has vertices and faces or lines, and nothing binary."""
    has_vertex = has_shape = False
    materials: dict[bytes, None] = {}
    rest = b"\n"
    while chunk := stream.read(_CHUNK_BYTES):
        text = rest + chunk
        if b"\0" in text:
            raise not_a_scene(
                "The file is named .obj and holds binary data. Export it again as Wavefront OBJ."
            )
        has_vertex = has_vertex or b"\nv " in text or b"\nv\t" in text
        has_shape = has_shape or any(
            mark in text for mark in (b"\nf ", b"\nf\t", b"\nl ", b"\np ", b"\ncurv", b"\nsurf")
        )
        if len(materials) < _MAX_MATERIAL_FILES:
            materials.update(dict.fromkeys(_MATERIALS.findall(text)))
        rest = text[-_OVERLAP_BYTES:]
    if not has_vertex or not has_shape:
        raise not_a_scene(
            "The .obj has no vertices or no faces: there is nothing to render. Export it again."
        )
    return SceneFacts(".obj", None, None, size_bytes, tuple(_missing(list(materials), has_file)))


def _missing(materials: list[bytes], has_file: FindFile) -> list[str]:
    names = [material.decode("utf-8", "replace").strip() for material in materials[:_MAX_MATERIAL_FILES]]
    return [f"missing file: {name}" for name in names if not has_file(name)]
