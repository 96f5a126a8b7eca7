"""Scenes of the agent's machine on their way to the hub: by their content, and on from where an upload broke off."""

import hashlib
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from app.errors import InvalidInput, Refused
from app.formats.limits import ARCHIVE_EXTENSION, MIB, SCENE_EXTENSIONS, SceneLimits
from app.formats.scene import inspect_scene
from app.mcp.hub import Hub, Unclear, told
from app.mcp.listener import NOBODY, Listener

KINDS = (*SCENE_EXTENSIONS, ARCHIVE_EXTENSION)
PIECE_BYTES = 4 * 1024 * 1024
TRIES = 5  # in a row without a byte that arrived
RETRY_SECONDS = 1.0
# Whether a file is a scene at all; how large or new it may be is the hub's to say.
LOOK = SceneLimits(max_blender_version=(1000, 0), max_uncompressed_bytes=1024 * 1024 * MIB)


class Scenes:
    """Files below `roots`; with none, any file. Each is named as scenes are, and is one: nothing else leaves this machine."""

    def __init__(self, hub: Hub, roots: Sequence[Path] = ()) -> None:
        self._hub, self._roots = hub, [root.resolve() for root in roots]
        self._hashes: dict[tuple[str, int, int], str] = {}
        self._lock = threading.Lock()

    def bring(self, path_text: str, until: float, listener: Listener = NOBODY) -> dict[str, Any]:
        """The account's scene with this file's bytes, as the hub tells of it: `uploading` only where `until` (of time.monotonic)
        came first. Bytes that the account has sent before are not sent again."""
        path = self._allowed(path_text)
        with self._alone(until):
            size_bytes = path.stat().st_size
            order = {"sha256": self._hash(path), "size_bytes": size_bytes, "name": path.name}
            scene = self._hub.ask("POST", "/scenes", order)
            if scene["status"] != "uploading":
                return scene
            self._send(path, scene, until, listener)
        return self._hub.ask("GET", f"/scenes/{scene['id']}")

    @contextmanager
    def _alone(self, until: float) -> Iterator[None]:
        """One upload at a time: two of the same file would trip over each other."""
        if not self._lock.acquire(timeout=max(0.0, until - time.monotonic())):
            raise Refused("another scene is on its way to the hub: call this again", code="UPLOAD_IN_PROGRESS")
        try:
            yield
        finally:
            self._lock.release()

    def _allowed(self, text: str) -> Path:
        path = _resolved(text)
        if self._roots and not any(path.is_relative_to(root) for root in self._roots):
            where = ", ".join(map(str, self._roots))
            raise InvalidInput(f"{text!r} is not in {where}: this server sends scenes from there and nothing else")
        if path.suffix.lower() not in KINDS:
            raise InvalidInput(f"{text!r} is not named as a scene is: {' '.join(KINDS)}")
        if not path.is_file():
            raise InvalidInput(f"there is no file {text!r}; give the path of a scene on this machine, or the scene_id of one")
        return path

    def _hash(self, path: Path) -> str:
        """Of a file that is a scene by its content, too: InvalidInput says what is wrong. Once for one that stays as it is."""
        found = path.stat()
        known = (str(path), found.st_size, found.st_mtime_ns)
        if known not in self._hashes:
            inspect_scene(path, path.name, LOOK)
            with path.open("rb") as file:
                self._hashes[known] = hashlib.file_digest(file, "sha256").hexdigest()
        return self._hashes[known]

    def _send(self, path: Path, scene: dict[str, Any], until: float, listener: Listener) -> None:
        """Piece by piece from where the hub is; a connection that breaks costs a piece."""
        url, size_bytes, offset, misses = scene["upload_url"], scene["size_bytes"], int(scene["received_bytes"]), 0
        with path.open("rb") as file:
            while offset < size_bytes and time.monotonic() < until:
                file.seek(offset)
                reached = self._send_piece(url, offset, file.read(PIECE_BYTES))
                misses = 0 if reached > offset else misses + 1
                if misses >= TRIES:
                    raise Unclear(f"the upload of {path.name} stands still at {offset} of {size_bytes} bytes; try again later")
                if misses:
                    time.sleep(RETRY_SECONDS)
                offset = reached
                listener.hear(offset, size_bytes, f"{offset} of {size_bytes} bytes are sent")

    def _send_piece(self, url: str, offset: int, piece: bytes) -> int:
        """How far the upload is now."""
        headers = {"Upload-Offset": str(offset), "Content-Type": "application/offset+octet-stream", "Tus-Resumable": "1.0.0"}
        try:
            answer = self._hub.place("PATCH", url, piece, headers)
            if answer.is_success:
                return int(answer.headers["Upload-Offset"])
            if answer.status_code not in (409, 429) and answer.status_code < 500:
                raise told(answer)
            where = self._hub.place("HEAD", url)
            return int(where.headers["Upload-Offset"]) if where.is_success else offset
        except httpx.RequestError:
            return self._reached(url, offset)

    def _reached(self, url: str, offset: int) -> int:
        try:
            where = self._hub.place("HEAD", url)
        except httpx.RequestError:
            return offset
        return int(where.headers["Upload-Offset"]) if where.is_success else offset


def _resolved(text: str) -> Path:
    """Where a path really leads."""
    try:
        return Path(text).expanduser().resolve()
    except (ValueError, RuntimeError) as error:  # a zero byte; a home of nobody, links in a ring
        raise InvalidInput(f"{text!r} is no path of a file here: {error}") from error
