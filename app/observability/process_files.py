"""The files in which gunicorn's workers keep what they count, one set for each process.

Whoever is gone leaves files that count on. They are added up into one set, or a server whose workers come and go would read more
of them at every scrape. A lock keeps a scrape from reading in the middle of that: it would see some counts twice or not at all.
"""

import fcntl
import os
import struct
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import structlog
from prometheus_client import CollectorRegistry, multiprocess
from prometheus_client.core import Metric
from prometheus_client.mmap_dict import MmapedDict
from prometheus_client.multiprocess import MultiProcessCollector

log = structlog.get_logger()
FOLDER = "PROMETHEUS_MULTIPROC_DIR"
LOCK = "lock"
THE_GONE = 0  # the process id under which the counts of those who are gone are kept; no process has it
KINDS = ("counter", "histogram")


@contextmanager
def _locked(folder: Path, how: int) -> Iterator[None]:
    with (folder / LOCK).open("a") as file:
        fcntl.flock(file, how)
        yield


class LivingFiles(MultiProcessCollector):
    """prometheus_client's own, which nobody changes the files of meanwhile."""

    def __init__(self, registry: CollectorRegistry) -> None:
        super().__init__(registry)
        self._folder = Path(os.environ[FOLDER])

    def collect(self) -> Iterable[Metric]:
        with _locked(self._folder, fcntl.LOCK_SH):
            return list(super().collect())


def begin() -> None:
    """Start with an empty folder: what is in it was counted by a server that is no more."""
    folder = Path(os.environ[FOLDER])
    for stale in folder.glob("*.db"):
        stale.unlink()


def fold(pid: int) -> None:
    """A worker is gone: its gauges no longer count, and what it counted is added to what all who are gone have counted.

    Never raises: gunicorn would end the server with it.
    """
    try:
        _fold(Path(os.environ[FOLDER]), pid)
    except OSError as error:
        log.warning("metrics.not_folded", pid=pid, error=str(error))


def _fold(folder: Path, pid: int) -> None:
    with _locked(folder, fcntl.LOCK_EX):
        multiprocess.mark_process_dead(pid)
        for kind in KINDS:
            left = folder / f"{kind}_{pid}.db"
            if left.exists():
                try:
                    _add(left, folder / f"{kind}_{THE_GONE}.db")
                except (struct.error, ValueError, RuntimeError) as error:  # it was killed while it made the file
                    log.warning("metrics.file_unreadable", file=left.name, error=str(error))
                left.unlink()


def _add(left: Path, sums: Path) -> None:
    total = MmapedDict(str(sums))
    try:
        for key, value, timestamp, _ in MmapedDict.read_all_values_from_file(str(left)):
            total.write_value(key, total.read_value(key)[0] + value, timestamp)
    finally:
        total.close()
