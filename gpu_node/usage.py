"""What a child and all it started use: memory, processes, files. Read often, so read cheaply.

On Linux straight from /proc: the kernel keeps each process's peak itself (VmHWM), so that a spike between two readings
is seen all the same. Finding a process's descendants means looking at every process of the host, so it is done less
often.
"""

from __future__ import annotations

import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

RELIST_SECONDS = 1.0
MAX_COUNTED_FILES = 10_000


@dataclass(frozen=True)
class Reading:
    """`resident_bytes` now, `peak_bytes` the most there ever was, over all processes of the tree."""

    resident_bytes: int
    peak_bytes: int
    processes: int


class ProcessTree:
    """A process and its descendants."""

    def __init__(self, pid: int) -> None:
        self._root = pid
        self._pids = [pid]
        self._listed_at = float("-inf")

    def read(self) -> Reading:
        """What the tree uses; a process that is gone counts nothing."""
        now = time.monotonic()
        if now - self._listed_at >= RELIST_SECONDS:
            self._pids, self._listed_at = descendants(self._root), now
        readings = [read_memory(pid) for pid in self._pids]
        return Reading(sum(each[0] for each in readings), sum(each[1] for each in readings), len(self._pids))


def descendants(root: int) -> list[int]:
    """`root` and everything it started, directly or not."""
    if sys.platform != "linux":
        return _descendants_elsewhere(root)
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            children.setdefault(_parent_of(name), []).append(int(name))
    found = [root]
    for pid in found:
        found.extend(children.get(pid, ()))
    return found


def _parent_of(pid: str) -> int:
    """0 for a process that ended meanwhile. The name in parentheses may hold anything, so the last one closes it."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return int(file.read().rpartition(b")")[2].split()[1])
    except (FileNotFoundError, ProcessLookupError):
        return 0


def _descendants_elsewhere(root: int) -> list[int]:
    try:
        return [root, *(child.pid for child in psutil.Process(root).children(recursive=True))]
    except psutil.NoSuchProcess:
        return [root]


def read_memory(pid: int) -> tuple[int, int]:
    """(resident bytes, peak resident bytes); zeros for a process that is gone."""
    if sys.platform != "linux":
        return _read_memory_elsewhere(pid)
    try:
        with open(f"/proc/{pid}/status", "rb") as file:
            lines = dict(line.split(b":", 1) for line in file.read().splitlines() if line.startswith((b"VmHWM", b"VmRSS")))
    except (FileNotFoundError, ProcessLookupError):
        return 0, 0
    resident, peak = (int(lines.get(name, b"0").split()[0]) * 1024 for name in (b"VmRSS", b"VmHWM"))
    return resident, max(resident, peak)


def _read_memory_elsewhere(pid: int) -> tuple[int, int]:
    try:
        resident = int(psutil.Process(pid).memory_info().rss)
    except psutil.NoSuchProcess:
        return 0, 0
    return resident, resident


def count_files(folder: Path) -> tuple[int, int]:
    """(files and folders below `folder`, their bytes on disk); stops counting at a number no picture needs."""
    count = total = 0
    waiting = [str(folder)]
    while waiting:
        try:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    count += 1
                    if count > MAX_COUNTED_FILES:
                        return count, total
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
                    else:
                        total += entry.stat(follow_symlinks=False).st_blocks * 512
        except (FileNotFoundError, NotADirectoryError, PermissionError):
            continue  # the child changes its folder while it is read; the next reading sees the rest
    return count, total
