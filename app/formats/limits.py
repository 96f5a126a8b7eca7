"""How much the hub is willing to read of a scene before it says no, and what it found out about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

MIB = 1024 * 1024

SCENE_EXTENSIONS = (".blend", ".obj", ".fbx", ".gltf", ".glb", ".stl")
ARCHIVE_EXTENSION = ".zip"


@dataclass(frozen=True, slots=True)
class SceneLimits:
    """Caps for one uploaded scene. Sizes in bytes; Blender versions as (major, minor)."""

    max_blender_version: tuple[int, int] = (4, 5)
    max_uncompressed_bytes: int = 8192 * MIB
    max_ratio: int = 500
    """Unpacked bytes per packed byte; counted only once `ratio_floor_bytes` were unpacked."""
    ratio_floor_bytes: int = 64 * MIB
    max_archive_entries: int = 2000
    max_json_bytes: int = 64 * MIB
    max_json_values: int = 2_000_000
    max_blocks: int = 2_000_000
    """File blocks of a .blend that are walked one by one; a longer file is taken with a warning."""


def parse_version(text: str) -> tuple[int, int]:
    """`"4.5"` or `"4.5.15"` as (4, 5); ValueError for anything else."""
    major, minor, *_ = text.split(".")
    return int(major), int(minor)


@dataclass(frozen=True, slots=True)
class SceneFacts:
    """What a cheap look at a scene tells. Nothing in it was rendered or imported."""

    format: str
    """Extension of the scene itself with its dot, also when it came inside a zip."""
    blender_version: str | None
    compressed: Literal["zstd", "gzip"] | None
    uncompressed_bytes: int
    """Bytes after unpacking: of the scene file, or of everything in the zip."""
    warnings: tuple[str, ...] = ()
    archive_member: str | None = None
    """Path of the scene inside the zip; None for a plain file."""
