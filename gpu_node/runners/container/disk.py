"""The disk that one container may write to: results, temporary files and the volumes that its image names, together bounded.

As root the bound is a file system of that size in a file of its own, which the kernel keeps. Elsewhere what was written is
counted again and again, and a container that is over the bound is ended, or that brings the host's file system near its end. A
count can be dodged (`tallies`): production runs nobody on it unless the host's owner says so.
"""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import time
import uuid
from collections.abc import Callable, Iterable
from pathlib import Path

from gpu_node.failures import KILLED, FailureCode, WorkFailed
from gpu_node.runners.container.room import DISK_IMAGE
from gpu_node.runners.container.tallies import Hidden, Tally, count, count_unlinked

log = logging.getLogger(__name__)

RESULTS = "/results"
TEMPORARY = ("/tmp", "/var/tmp")
MOST_FILES = 100_000
MOST_VOLUMES = 16
LEAST_FILE_SYSTEM_BYTES = 16 * 1024**2
MEASURE_SHARE = 10
LEAST_FREE_BYTES = 128 * 1024**2
MKFS = ("mkfs.ext4", "-q", "-F", "-m", "0", "-O", "^has_journal", "-E", "root_owner=0:0,lazy_itable_init=1,nodiscard")
STEP_SECONDS = 60


class Disk:
    """`with Disk(…) as disk:` gives `folders`, by their names inside. Nothing is left of it afterwards.

    `find_process` is to say the number of the container's first process here, 0 while there is none.
    """

    def __init__(self, folder: Path, max_bytes: int, volumes: Iterable[str], must_be_bounded: bool = False) -> None:
        self._folder, self._max_bytes, self._must_be_bounded = folder, max_bytes, must_be_bounded
        self._inside = _names(volumes)
        self._measure_at = 0.0
        self.is_kept_by_kernel = False
        self.used_bytes = self._empty_bytes = 0
        self.find_process: Callable[[], int] = lambda: 0
        self.folders: dict[str, Path] = {}

    @property
    def results(self) -> Path:
        return self.folders[RESULTS]

    def __enter__(self) -> Disk:
        self._folder.mkdir(parents=True, mode=0o700)
        try:
            self._make()
        except BaseException:
            remove(self._folder)
            raise
        return self

    def _make(self) -> None:
        root = self._folder / "files"
        root.mkdir(mode=0o711)
        self.is_kept_by_kernel = _mount_bounded(self._folder / DISK_IMAGE, root, max(self._max_bytes, LEAST_FILE_SYSTEM_BYTES))
        if self._must_be_bounded and not self.is_kept_by_kernel:
            raise WorkFailed(FailureCode.SANDBOX_ERROR, "this host could not make a disk of its own for the container")
        self._empty_bytes = _taken(root)
        for number, inside in enumerate(self._inside):
            folder = root / str(number)  # its name inside is the image's word, and may be no name for a folder here
            folder.mkdir()
            # Whoever the image's user is. Nobody of this host gets past the folder above, which is this node's.
            folder.chmod(0o1777 if inside in TEMPORARY else 0o777)
            self.folders[inside] = folder

    def __exit__(self, *_: object) -> None:
        remove(self._folder)

    def check(self, is_due: bool = False) -> None:
        """Measures, if it is time to. Raises WorkFailed for more bytes or files than are allowed."""
        now = time.monotonic()
        if now < self._measure_at and not is_due:
            return
        tally = self._count()
        self._measure_at = time.monotonic() + MEASURE_SHARE * (time.monotonic() - now)
        if tally.files > MOST_FILES:
            raise WorkFailed(FailureCode.OUTPUT_LIMIT, f"wrote more than the {MOST_FILES} files allowed", exit_code=KILLED)
        # A sparse file holds nothing, and is read as all that it says it is.
        wrote = tally.written if self.is_kept_by_kernel else max(tally.written, self.used_bytes)
        if wrote > self._max_bytes:
            raise WorkFailed(FailureCode.OUTPUT_LIMIT, f"wrote {wrote} bytes; {self._max_bytes} are allowed", exit_code=KILLED)

    def _count(self) -> Tally:
        """Sets `used_bytes`, too: the kernel's own word where it keeps the bound, what was found elsewhere."""
        root, tally = self._folder / "files", Tally()
        try:
            count(root, MOST_FILES, tally)
        except Hidden as hidden:
            said = f"made a folder whose size can't be told: {hidden}"
            raise WorkFailed(FailureCode.OUTPUT_LIMIT, said, exit_code=KILLED) from hidden
        if self.is_kept_by_kernel:
            self.used_bytes = max(0, _taken(root) - self._empty_bytes)
            return tally
        process = self.find_process()
        if process:
            count_unlinked(process, root.stat().st_dev, tally)
        self.used_bytes = tally.held
        if shutil.disk_usage(root).free < LEAST_FREE_BYTES:
            log.error("the file system of containers' disks is full", extra={"folder": str(root)})
            raise WorkFailed(FailureCode.SANDBOX_ERROR, "this host's file system is full")
        return tally


def can_bound(folder: Path) -> bool:
    """Whether this host can keep a container's disk within bounds; tried, below `folder`."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with Disk(folder / uuid.uuid4().hex, LEAST_FILE_SYSTEM_BYTES, ()) as tried:
        return tried.is_kept_by_kernel


def remove(folder: Path) -> None:
    """Ends a disk, also one that a node before this one left."""
    root = folder / "files"
    if os.path.ismount(root):
        done = subprocess.run(["umount", "--lazy", str(root)], capture_output=True, text=True, timeout=STEP_SECONDS, check=False)
        if done.returncode:
            log.error("a container's disk could not be unmounted", extra={"folder": str(root), "reason": done.stderr.strip()})
            return
    # Of any depth, and with whatever rights a container has left there: more than Python's own walk gets through.
    for command in (["chmod", "-R", "u+rwX", str(folder)], ["rm", "-rf", "--one-file-system", str(folder)]):
        subprocess.run(command, capture_output=True, timeout=STEP_SECONDS, check=False)
    if folder.exists():
        log.error("a container's files could not all be removed", extra={"folder": str(folder)})


def _names(volumes: Iterable[str]) -> list[str]:
    """Where the disk shows inside. A folder below another one that is there already is part of it."""
    named = sorted({os.path.normpath(name) for name in volumes})
    if len(named) > MOST_VOLUMES or any(not name.startswith("/") or name == "/" for name in named):
        raise WorkFailed(FailureCode.IMAGE_INVALID, f"the image names volumes that can't be given: {', '.join(named)[:200]}")
    return [RESULTS, *TEMPORARY, *(name for name in named if name not in (RESULTS, *TEMPORARY))]


def _mount_bounded(image: Path, root: Path, max_bytes: int) -> bool:
    """A file system of that size at `root`; False where this host allows no such thing."""
    if os.geteuid() != 0:
        return False
    with image.open("wb") as file:
        file.truncate(max_bytes)
    for step in ([*MKFS, str(image)], ["mount", "-o", "loop,nosuid,nodev,noatime", str(image), str(root)]):
        try:
            done = subprocess.run(step, capture_output=True, text=True, timeout=STEP_SECONDS, check=False)
            reason = done.stderr.strip() if done.returncode else ""
        except (OSError, subprocess.TimeoutExpired) as error:
            reason = str(error)
        if reason:
            log.info("the kernel can't bound a container's disk here; it is measured instead", extra={"reason": reason[-300:]})
            image.unlink()
            return False
    shutil.rmtree(root / "lost+found")
    root.chmod(0o711)
    return True


def _taken(root: Path) -> int:
    """Bytes that are taken of a file system, by whatever name, or by none any more."""
    about = os.statvfs(root)
    return (about.f_blocks - about.f_bfree) * about.f_frsize
