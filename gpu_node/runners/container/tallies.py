"""What a container has written, where the kernel keeps no account of it: counted in its folders, and in its open files.

A program may lock its folders (they are opened again, as far as this user may) and unlink what it still has open (found among the
open files of its processes). Unlinked files that are mapped and not open, or on their way through a socket, are not found: only
the file system's free room shows them.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

OWNERS_ALL = 0o700
HIDING = (errno.EACCES, errno.EPERM, errno.ENAMETOOLONG)
PROCESSES = Path("/proc")


class Hidden(Exception):
    """A folder can't be looked into: it is locked, or too deep. The message is its path below the one that is counted."""


@dataclass
class Tally:
    """`files` counts folders, too. `held` is what they take on disk, `written` what they say they have; bytes.
    `linked`: the files among them with several names, each counted once."""

    files: int = 0
    held: int = 0
    written: int = 0
    linked: set[tuple[int, int]] = field(default_factory=set)

    def add(self, about: os.stat_result) -> None:
        mark = (about.st_dev, about.st_ino)
        if about.st_nlink != 1 and not stat.S_ISDIR(about.st_mode):
            if mark in self.linked:
                return
            self.linked.add(mark)
        self.held += about.st_blocks * 512
        self.written += 0 if stat.S_ISDIR(about.st_mode) else about.st_size


def count(folder: Path, most_files: int, tally: Tally) -> None:
    """Counts what lies below `folder`, up to `most_files`. A stranger changes it meanwhile: no link is followed.
    Raises Hidden."""
    top = os.path.realpath(folder)
    waiting = [top]
    while waiting and tally.files <= most_files:
        path = waiting.pop()
        try:
            waiting.extend(_count_one(path, most_files, tally))
        except (FileNotFoundError, NotADirectoryError):
            continue  # it went, and the next count sees what came instead
        except OSError as error:
            if error.errno not in HIDING:
                raise
            raise Hidden(os.path.relpath(path, top)[-200:]) from error


def _count_one(path: str, most_files: int, tally: Tally) -> list[str]:
    """Counts one folder's entries; returns the folders among them."""
    below = []
    handle = _open(path)
    try:
        with os.scandir(handle) as entries:
            for entry in entries:
                tally.files += 1
                if tally.files > most_files:
                    break
                try:
                    tally.add(entry.stat(follow_symlinks=False))
                except FileNotFoundError:
                    continue
                if entry.is_dir(follow_symlinks=False):
                    below.append(os.path.join(path, entry.name))
    finally:
        os.close(handle)
    return below


def _open(path: str) -> int:
    """A folder's handle; one that its owner locked is opened to him again first."""
    place = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    itself = f"/proc/self/fd/{place}"
    try:
        if os.readlink(itself) != path:  # a folder above it was exchanged for a link, perhaps to the host's own files
            raise FileNotFoundError(path)
        # One that may be read and not searched shows names, and nothing of them.
        if not os.access(itself, os.R_OK | os.X_OK, effective_ids=True):
            os.chmod(itself, stat.S_IMODE(os.stat(itself).st_mode) | OWNERS_ALL)
        return os.open(itself, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    finally:
        os.close(place)


def count_unlinked(first_process: int, device: int, tally: Tally) -> None:
    """Adds what the container of `first_process` has open on `device` and has unlinked."""
    for process in _processes(first_process):
        for about in _open_files(process):
            if about.st_dev == device and about.st_nlink == 0 and stat.S_ISREG(about.st_mode):
                tally.add(about)


def _processes(first: int) -> Iterator[str]:
    """All in its namespace of processes, which must not be this node's own: then the number means another process here."""
    mine, theirs = _namespace("self"), _namespace(str(first))
    if theirs is None or theirs == mine:
        return
    for name in os.listdir(PROCESSES):
        if name.isdigit() and _namespace(name) == theirs:
            yield name


def _namespace(process: str) -> str | None:
    try:
        return os.readlink(PROCESSES / process / "ns" / "pid")
    except OSError:
        return None


def _open_files(process: str) -> Iterator[os.stat_result]:
    """Also those that are mapped, where the kernel shows them (to root)."""
    for kind in ("fd", "map_files"):
        folder = PROCESSES / process / kind
        try:
            names = os.listdir(folder)
        except OSError:
            continue  # it has ended, or is not for this user to see
        for name in names:
            try:
                yield os.stat(folder / name)
            except OSError:
                continue
