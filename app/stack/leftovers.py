"""Processes that a stack started and that are still there: what a killed supervisor may leave, taken down by the next."""

import os
import select
import signal
from collections.abc import Iterable
from pathlib import Path

MARK = "LIGHTYARD_SUPERVISED"  # in the environment of every child of a stack: the home that it works for


def of_home(home: Path) -> list[int]:
    """Ids of the processes of `home`'s stack: they carry its mark, or work inside it (PostgreSQL overwrites its environment)."""
    mark = f"{MARK}={home}".encode()
    return [pid for pid in _others() if mark in _environment(pid) or _works_in(pid, home)]


def in_folder(folder: Path) -> list[int]:
    """Ids of the processes that have `folder` as their working directory, as PostgreSQL's have their data folder."""
    return [pid for pid in _others() if _works_in(pid, folder)]


def _others() -> Iterable[int]:
    return (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit() and int(entry.name) != os.getpid())


def _environment(pid: int) -> list[bytes]:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return []  # it has ended, or is somebody else's


def _works_in(pid: int, folder: Path) -> bool:
    try:
        return Path(os.readlink(f"/proc/{pid}/cwd")).is_relative_to(folder) and _is_server(pid)
    except OSError:
        return False  # it has ended, or is somebody else's


def _is_server(pid: int) -> bool:
    """A shell that somebody left open in the folder is not ours to end."""
    return Path(f"/proc/{pid}/comm").read_text().strip() in ("postgres", "valkey-server")


def take_down(pids: Iterable[int], timeout_seconds: float = 10) -> None:
    """Kill these and wait until they are gone. TimeoutError names what would not go."""
    handles = {}
    for pid in pids:
        try:
            handles[pid] = os.pidfd_open(pid)
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue  # it ended by itself
    try:
        stuck = [pid for pid, handle in handles.items() if not _ended(handle, timeout_seconds)]
    finally:
        for handle in handles.values():
            os.close(handle)
    if stuck:
        raise TimeoutError(f"processes {stuck} did not end after SIGKILL")


def _ended(handle: int, timeout_seconds: float) -> bool:
    poller = select.poll()
    poller.register(handle, select.POLLIN)
    return bool(poller.poll(timeout_seconds * 1000))
