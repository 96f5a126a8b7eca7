"""Frames on their way to the agent's machine: into one folder, and never out of it."""

import hashlib
import os
import re
import threading
import time
import uuid
from pathlib import Path

import httpx

from app.errors import Refused
from app.mcp.allowance import Allowance
from app.mcp.hub import Hub, Unclear
from app.mcp.listener import NOBODY, Listener

CHUNK_BYTES = 16 * 1024  # little enough that a slow line is noticed in time
EXTENSIONS = {"image/png": ".png", "image/jpeg": ".jpg", "image/x-exr": ".exr"}
VIDEO = "video.mp4"
PART = re.compile(rf"{re.escape(VIDEO)}\.([0-9a-f]{{64}})\.part")  # of a video, by the sha256 of the whole


class Downloads:
    """`root` and `limit_bytes` are the user's choice at the start. Names of files are made here, of numbers alone."""

    def __init__(self, hub: Hub, root: Path, limit_bytes: int) -> None:
        root.mkdir(parents=True, exist_ok=True)
        self._hub, self.root = hub, root.resolve()
        self._allowance = Allowance(self.root, limit_bytes)
        self._lock = threading.Lock()

    def folder(self, job_id: uuid.UUID) -> Path:
        """A job's own. Refused if somebody has put something else in its place."""
        folder = self.root / str(job_id)
        folder.mkdir(exist_ok=True)
        if folder.resolve() != folder:
            raise Refused(f"{folder} leads elsewhere: this server writes below {self.root} and nowhere else")
        return folder

    def fetch(self, job_id: uuid.UUID, frame: int, is_preview: bool, listener: Listener = NOBODY) -> tuple[Path, bool]:
        """A frame's picture, whole or not at all; and whether it was there already, byte for byte."""
        folder, name = self.folder(job_id), _name(frame)
        if is_preview:
            return self._take(f"/jobs/{job_id}/frames/{frame}/preview", folder / f"{name}_preview", None, listener)
        there = next((path for path in _places(folder, name) if _is_plain(path)), None)
        return self._take(f"/jobs/{job_id}/frames/{frame}", folder / name, there, listener)

    def _take(self, address: str, bare: Path, there: Path | None, listener: Listener) -> tuple[Path, bool]:
        """To a `bare` path, with the extension of what comes."""
        with self._hub.reading(address, None if there is None else _hash(there)) as response:
            if response.status_code == 304 and there is not None:
                return there, True
            _assert_whole_file(response)
            extension = EXTENSIONS.get(response.headers.get("Content-Type", "").partition(";")[0].strip(), ".bin")
            path = bare.with_name(f"{bare.name}{extension}")
            _keep(response, path, self._allowance, listener)
            return path, False

    def fetch_video(self, job_id: uuid.UUID, until: float, listener: Listener = NOBODY) -> tuple[Path, bool, int]:
        """A job's video; whether it was there already; and how many bytes are left, where `until` (of time.monotonic) came first:
        the next call goes on there."""
        path = self.folder(job_id) / VIDEO
        with self._lock:  # two would write to one part
            there = path if _is_plain(path) else None
            part = None if there else _part(path.parent)
            # Its last byte is asked for again: so there is one to answer with, also where all of them came.
            begun = None if part is None else (_sha256_of(part), max(0, part.stat().st_size - 1))
            with self._hub.reading(f"/jobs/{job_id}/video", _hash(there) if there else None, begun) as response:
                if response.status_code == 304 and there is not None:
                    return path, True, 0
                is_rest = begun is not None and response.status_code == 206 and _etag(response) == begun[0]
                if part is not None and not is_rest:
                    part.unlink()
                if not is_rest:
                    _assert_whole_file(response)
                offset = begun[1] if begun and is_rest else 0
                return path, False, _go_on(response, path, offset, until, self._allowance, listener)


def _etag(response: httpx.Response) -> str:
    """A file's sha256, where the hub tells it."""
    return str(response.headers.get("ETag", "")).strip('"')


def _assert_whole_file(response: httpx.Response) -> None:
    if response.status_code != 200:
        raise Unclear("the hub sent a part that nobody has asked for: call download again", code="HASH_MISMATCH")


def _go_on(
    response: httpx.Response, path: Path, offset: int, until: float, allowance: Allowance, listener: Listener
) -> int:  # fmt: skip
    """Add what comes to the video's part, from `offset` on; the video, once it is whole. Returns how many bytes are left.

    The part stays where time or the connection ends, and goes where the hub sends something else than it announced."""
    part = path.with_name(f"{VIDEO}.{_etag(response)}.part")
    if PART.fullmatch(part.name) is None:
        raise Unclear("what the hub sent has no sha256: is this one of Lightyard's?", code="NO_HUB")
    with allowance.room(response) as room:
        whole = offset + room.size_bytes
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, 0o644), "wb") as file:
            file.truncate(offset)
            file.seek(offset)
            try:
                for chunk in response.iter_raw(CHUNK_BYTES):
                    room.take(chunk)
                    file.write(chunk)
                    room.keep()
                    saved = whole - room.left_bytes
                    listener.hear(saved, whole, f"{saved} of {whole} bytes are saved")
                    if room.left_bytes > 0 and time.monotonic() > until:
                        return room.left_bytes
                room.assert_full()
                file.flush()
                _place(part, path)
            except Unclear:
                part.unlink(missing_ok=True)
                room.kept_bytes = 0
                raise
    return 0


def _place(part: Path, path: Path) -> None:
    """Put a whole part where it belongs. Unclear where it is not what the hub has; then it is fetched anew."""
    if _hash(part) != _sha256_of(part):
        part.unlink()
        raise Unclear("the video came otherwise than the hub has it: call download again", code="HASH_MISMATCH")
    os.replace(part, path)


def _part(folder: Path) -> Path | None:
    return next((path for path in sorted(folder.iterdir()) if PART.fullmatch(path.name) and _is_plain(path)), None)


def _sha256_of(part: Path) -> str:
    return part.name.removeprefix(f"{VIDEO}.").removesuffix(".part")


def _is_plain(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()


def _keep(response: httpx.Response, path: Path, allowance: Allowance, listener: Listener) -> None:
    digest = hashlib.sha256()
    part = path.with_name(f"{path.name}.{uuid.uuid4().hex}.part")
    with allowance.room(response) as room:
        try:
            with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o644), "wb") as file:
                for chunk in response.iter_raw(CHUNK_BYTES):
                    listener.assert_there()
                    room.take(chunk)
                    file.write(chunk)
                    digest.update(chunk)
            room.assert_full()
            _assert_intact(response, digest.hexdigest())
            os.replace(part, path)
            room.keep()
        finally:
            part.unlink(missing_ok=True)


def _assert_intact(response: httpx.Response, found: str) -> None:
    """A picture's ETag is its sha256; previews have none."""
    said = _etag(response)
    if len(said) == 64 and said != found:
        raise Unclear("a picture came otherwise than the hub has it: call download again", code="HASH_MISMATCH")


def _name(frame: int) -> str:
    return f"frame_{'-' if frame < 0 else ''}{abs(frame):04d}"


def _places(folder: Path, name: str) -> list[Path]:
    return [folder / f"{name}{extension}" for extension in EXTENSIONS.values()]


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
