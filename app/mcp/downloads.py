"""Frames on their way to the agent's machine: into one folder, and never out of it."""

import hashlib
import os
import uuid
from pathlib import Path

import httpx

from app.errors import Refused
from app.mcp.hub import Hub, Unclear

CHUNK_BYTES = 256 * 1024
EXTENSIONS = {"image/png": ".png", "image/jpeg": ".jpg", "image/x-exr": ".exr"}


class Downloads:
    """`root` is the user's choice at the start. Names of files are made here, of numbers alone."""

    def __init__(self, hub: Hub, root: Path) -> None:
        root.mkdir(parents=True, exist_ok=True)
        self._hub, self.root = hub, root.resolve()

    def folder(self, job_id: uuid.UUID) -> Path:
        """A job's own. Refused if somebody has put something else in its place."""
        folder = self.root / str(job_id)
        folder.mkdir(exist_ok=True)
        if folder.resolve() != folder:
            raise Refused(f"{folder} leads elsewhere: this server writes below {self.root} and nowhere else")
        return folder

    def fetch(self, job_id: uuid.UUID, frame: int, is_preview: bool) -> tuple[Path, bool]:
        """A frame's picture, whole or not at all; and whether it was there already, byte for byte."""
        folder, name = self.folder(job_id), _name(frame)
        if is_preview:
            return self._take(f"/jobs/{job_id}/frames/{frame}/preview", folder, f"{name}_preview", None)
        there = next((path for path in _places(folder, name) if path.is_file() and not path.is_symlink()), None)
        return self._take(f"/jobs/{job_id}/frames/{frame}", folder, name, there)

    def _take(self, address: str, folder: Path, name: str, there: Path | None) -> tuple[Path, bool]:
        with self._hub.reading(address, None if there is None else _hash(there)) as response:
            if response.status_code == 304 and there is not None:
                return there, True
            extension = EXTENSIONS.get(response.headers.get("Content-Type", "").partition(";")[0].strip(), ".bin")
            path = folder / f"{name}{extension}"
            _keep(response, path)
            return path, False


def _keep(response: httpx.Response, path: Path) -> None:
    digest = hashlib.sha256()
    part = path.with_name(f"{path.name}.{uuid.uuid4().hex}.part")
    try:
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o644), "wb") as file:
            for chunk in response.iter_bytes(CHUNK_BYTES):
                file.write(chunk)
                digest.update(chunk)
        _assert_whole(response, digest.hexdigest())
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def _assert_whole(response: httpx.Response, found: str) -> None:
    """A picture's ETag is its sha256; previews have none."""
    said = response.headers.get("ETag", "").strip('"')
    if len(said) == 64 and said != found:
        raise Unclear("a picture came otherwise than the hub has it: call download again", code="HASH_MISMATCH")


def _name(frame: int) -> str:
    return f"frame_{'-' if frame < 0 else ''}{abs(frame):04d}"


def _places(folder: Path, name: str) -> list[Path]:
    return [folder / f"{name}{extension}" for extension in EXTENSIONS.values()]


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
