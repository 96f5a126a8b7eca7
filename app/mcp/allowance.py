"""How much of the disk downloads may take, whatever a hub sends: of this session's share, and of what is free."""

import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from app.errors import Refused
from app.mcp.hub import Unclear

KEPT_FREE_BYTES = 2**29  # of the disk, for everybody else
BLOCK_BYTES = 4096  # the least that a file takes
SIZE_LIMIT_CHARS = 18
SAVED = "What is saved already stays"


class Allowance:
    """`limit_bytes` are for all files of a session together, below `root`. Safe to use from many threads."""

    def __init__(self, root: Path, limit_bytes: int) -> None:
        self._root, self._limit, self._taken = root, limit_bytes, 0
        self._lock = threading.Lock()

    @contextmanager
    def room(self, response: httpx.Response) -> Iterator["Room"]:
        """Room for the bytes that were announced, and for no more; what is not kept of them is free again at the end. Refused
        before anything is written where they are too many, Unclear where the hub does not say how many."""
        size_bytes = _announced(response)
        room = Room(size_bytes)
        with self._lock:
            self._assert_fits(max(size_bytes, BLOCK_BYTES))
            self._taken += max(size_bytes, BLOCK_BYTES)
        try:
            yield room
        finally:
            with self._lock:
                self._taken -= max(size_bytes, BLOCK_BYTES) - room.kept_bytes

    def _assert_fits(self, size_bytes: int) -> None:
        left = self._limit - self._taken
        if size_bytes > left:
            raise Refused(
                f"this takes {_told(size_bytes)} of the disk, and {_told(left)} are left of {_told(self._limit)} that a session "
                f"may save: nothing of it was saved. {SAVED}. Ask for fewer frames, or have your user start `lightyard mcp` "
                "with a higher --max-download",
                code="DOWNLOAD_LIMIT",
            )
        free = shutil.disk_usage(self._root).free
        if size_bytes > free - KEPT_FREE_BYTES:
            raise Refused(
                f"this takes {_told(size_bytes)}, and {_told(free)} are free where {self._root} is, of which "
                f"{_told(KEPT_FREE_BYTES)} are left alone: nothing of it was saved. {SAVED}. Have your user make room there",
                code="DISK_FULL",
            )


class Room:
    """For a file of `size_bytes`, of which `kept_bytes` stay on the disk."""

    def __init__(self, size_bytes: int) -> None:
        self.size_bytes, self.kept_bytes = size_bytes, 0
        self.left_bytes = size_bytes

    def take(self, chunk: bytes) -> None:
        """Before it is written."""
        self.left_bytes -= len(chunk)
        if self.left_bytes < 0:
            raise Unclear(
                f"the hub sent more than the {self.size_bytes} bytes that it announced: {DROPPED}", code="SIZE_MISMATCH"
            )

    def assert_full(self) -> None:
        if self.left_bytes:
            raise Unclear(f"{self.left_bytes} of {self.size_bytes} bytes did not come: {DROPPED}", code="SIZE_MISMATCH")

    def keep(self) -> None:
        """What was taken stays."""
        self.kept_bytes = max(self.size_bytes - self.left_bytes, BLOCK_BYTES)


DROPPED = "nothing of it was saved. Call download again; if it stays so, tell your user that this hub is broken"


def _announced(response: httpx.Response) -> int:
    said = response.headers.get("Content-Length", "")
    if (
        response.headers.get("Content-Encoding", "identity") != "identity"
        or not 0 < len(said) <= SIZE_LIMIT_CHARS
        or not said.isdigit()
    ):
        message = f"the hub, or a proxy before it, does not say how many bytes are to come: {DROPPED}"
        raise Unclear(message, code="SIZE_UNKNOWN")
    return int(said)


def _told(size_bytes: int) -> str:
    """Such as 1.5 GiB."""
    for power, unit in ((4, "TiB"), (3, "GiB"), (2, "MiB"), (1, "KiB")):
        if size_bytes >= 1024**power:
            return f"{size_bytes / 1024**power:.1f} {unit}"
    return f"{size_bytes} bytes"
