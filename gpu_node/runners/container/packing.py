"""The results folder as one .tar.gz. Equal files make an equal archive, so that a task that is run again can be compared."""

from __future__ import annotations

import gzip
import os
import stat
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from gpu_node.failures import KILLED, FailureCode, WorkFailed, WorkStopped

GZIP_TYPE = "application/gzip"
CHUNK_BYTES = 1 << 20
LEVEL = 6
PLAIN, EXECUTABLE = 0o644, 0o755


class _Bounded:
    """A file that takes only so many bytes."""

    def __init__(self, file: IO[bytes], max_bytes: int, stopped: Callable[[], bool]) -> None:
        self._file, self._max_bytes, self._stopped = file, max_bytes, stopped
        self._written = 0

    def write(self, data: bytes) -> int:
        self._written += len(data)
        if self._written > self._max_bytes:
            said = f"the packed results have more than the {self._max_bytes} bytes allowed"
            raise WorkFailed(FailureCode.OUTPUT_LIMIT, said, exit_code=KILLED)
        if self._stopped():
            raise WorkStopped("the work is not wanted any more")
        return self._file.write(data)

    def flush(self) -> None:
        self._file.flush()


def pack(folder: Path, target: Path, max_bytes: int, stopped: Callable[[], bool]) -> list[str]:
    """Packs files and folders below `folder`, in the order of their names; what else lies there is left out and returned.

    A stranger filled the folder, and no process of his is left: links are not followed. Raises WorkFailed or WorkStopped.
    """
    left_out: list[str] = []
    try:
        with (
            target.open("wb") as file,
            gzip.GzipFile("", "wb", LEVEL, _Bounded(file, max_bytes, stopped), mtime=0) as packed,  # type: ignore[arg-type]
            tarfile.open(fileobj=packed, mode="w|", format=tarfile.PAX_FORMAT) as archive,
        ):
            for path, name in _walk(folder, ""):
                if not _add(archive, path, name, stopped):
                    left_out.append(name)
    except BaseException:
        target.unlink(missing_ok=True)
        raise
    return left_out


def _walk(folder: Path, above: str) -> Iterator[tuple[Path, str]]:
    with os.scandir(folder) as entries:
        found = sorted(entries, key=lambda entry: os.fsencode(entry.name))
    for entry in found:
        name = above + entry.name
        yield Path(entry.path), name
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(Path(entry.path), name + "/")


def _add(archive: tarfile.TarFile, path: Path, name: str, stopped: Callable[[], bool]) -> bool:
    """Whether it was a file or a folder."""
    about = path.lstat()
    item = tarfile.TarInfo(name)
    if stat.S_ISDIR(about.st_mode):
        item.type, item.mode = tarfile.DIRTYPE, EXECUTABLE
        archive.addfile(item)
        return True
    if not stat.S_ISREG(about.st_mode):
        return False
    with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb") as file:
        item.size = os.fstat(file.fileno()).st_size
        item.mode = EXECUTABLE if about.st_mode & stat.S_IXUSR else PLAIN
        archive.addfile(item, _Watched(file, stopped))  # type: ignore[arg-type]
    return True


class _Watched:
    """A file that is read while it is wanted: a sparse one may be long and pack to nothing."""

    def __init__(self, file: IO[bytes], stopped: Callable[[], bool]) -> None:
        self._file, self._stopped = file, stopped

    def read(self, size: int = -1) -> bytes:
        if self._stopped():
            raise WorkStopped("the work is not wanted any more")
        return self._file.read(size)
