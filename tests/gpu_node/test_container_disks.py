"""The disks that containers write to: bounded by the kernel or counted, promised once, and gone afterwards."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from gpu_node import offer
from gpu_node.config import read_settings
from gpu_node.failures import FailureCode, WorkFailed
from gpu_node.runners.container import disk, tallies
from gpu_node.runners.container.disk import Disk
from gpu_node.runners.container.engine import Engine, EngineMissing
from gpu_node.runners.container.order import read_order
from gpu_node.runners.container.room import HostBusy, Room
from tests.factories.missing import go_without

GIB = 1024**3
NOBODY = 65_534
PR_SET_DUMPABLE = 4
ORDER = read_order({"docker_image": "a/b:1", "command": ["x"], "cpu_cores": 0.5, "ram_gb": 0.1, "storage_gb": 0.05,
                    "timeout_seconds": 20})
DOCKER = Engine("unix:///x", "docker", "27", 8, 1 << 34, False, None, False, True, Path("/nonexistent"))


def test_a_disk_that_the_kernel_does_not_bound_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk, "_mount_bounded", lambda *_: False)
    with Disk(tmp_path / "disk", 1 << 20, ["/data", "/data/", "/tmp"]) as bounded:
        assert list(bounded.folders) == ["/results", "/tmp", "/var/tmp", "/data"]
        (bounded.results / "half").write_bytes(b"x" * (512 << 10))
        bounded.check(is_due=True)
        (bounded.folders["/data"] / "half").write_bytes(b"x" * (600 << 10))
        with pytest.raises(WorkFailed) as failed:
            bounded.check(is_due=True)
        assert (failed.value.code, failed.value.exit_code) == (FailureCode.OUTPUT_LIMIT, 137)
        (bounded.folders["/data"] / "half").unlink()
        with (bounded.results / "sparse").open("wb") as file:
            file.truncate(1 << 40)
        with pytest.raises(WorkFailed, match="are allowed"):
            bounded.check(is_due=True)
    assert not (tmp_path / "disk").exists()


HIDER = """
import os, sys, time
os.chdir(sys.argv[1])
os.mkdir("locked"), open("locked/x", "wb").write(b"x" * (300 << 10)), os.chmod("locked", int(sys.argv[2], 8))
open("twice", "wb").write(b"x" * 1000), os.link("twice", "again")
gone = open("gone", "wb")
gone.write(b"x" * (500 << 10)), gone.flush(), os.unlink("gone")
print("ready", flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("mode", ["300", "000", "600"])
def test_what_is_locked_or_unlinked_is_counted_all_the_same(open_folder: Path, mode: str) -> None:
    """As another user than root where root may become one: root looks into every folder anyway."""
    command = ["unshare", "--pid", "--fork", "--kill-child", sys.executable, "-c", HIDER, str(open_folder), mode]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None and process.stdout is not None
        if process.stdout.readline() != b"ready\n":
            go_without("a namespace of processes can't be made here")
        [child] = psutil.Process(process.pid).children()
        tally = tallies.Tally()
        with as_nobody(open_folder):
            tallies.count(open_folder, 100, tally)
        assert tally.files == 4 and tally.written == (300 << 10) + 1000
        tallies.count_unlinked(child.pid, open_folder.stat().st_dev, tally)
        assert tally.written == (800 << 10) + 1000 and tally.held >= tally.written
        mine = tallies.Tally()
        tallies.count_unlinked(os.getpid(), open_folder.stat().st_dev, mine)
        assert mine.held == 0, "this node's own files are none of a container's"
        process.stdin.close()


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """Where every user gets to: pytest's own folders are closed to others."""
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


@contextmanager
def as_nobody(folder: Path) -> Iterator[None]:
    """What lies in the folder is his."""
    if os.geteuid():
        yield
        return
    for path in (folder, *folder.rglob("*")):
        os.chown(path, NOBODY, NOBODY)

    def become(user: int) -> None:
        os.seteuid(user)
        ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 1)  # else its own /proc would be root's, as it is for no process of his

    become(NOBODY)
    try:
        yield
    finally:
        become(0)


def test_a_count_neither_follows_links_nor_loses_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "host").mkdir(mode=0o500)
    (tmp_path / "disk" / "a").mkdir(parents=True)
    real, secrets = os.path.realpath(tmp_path), tmp_path / "host"
    (tmp_path / "disk" / "link").symlink_to(secrets)
    assert tallies._count_one(f"{real}/disk", 100, tallies.Tally()) == [f"{real}/disk/a"]
    for path, error in ((f"{real}/disk/link", NotADirectoryError), (f"{real}/disk/link/../host", FileNotFoundError)):
        with pytest.raises(error):
            tallies._count_one(path, 100, tallies.Tally())
    assert secrets.stat().st_mode & 0o777 == 0o500
    subprocess.run(["mkdir", "-p", "/".join(["a" * 100] * 60)], cwd=tmp_path / "disk" / "a", check=True)
    with pytest.raises(tallies.Hidden):
        tallies.count(tmp_path / "disk", 100, tallies.Tally())


def test_production_runs_nobody_on_a_disk_that_is_only_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk, "_mount_bounded", lambda *_: False)
    with pytest.raises(WorkFailed) as failed, Disk(tmp_path / "disk", 1 << 20, [], must_be_bounded=True):
        pass
    assert failed.value.code == FailureCode.SANDBOX_ERROR and not (tmp_path / "disk").exists()
    production = {"LIGHTYARD_ENV": "production", "HUB_URL": "https://hub.example", "NODE_HOME": str(tmp_path / "home")}
    assert offer.rules(read_settings(production)).must_bound_disk
    with pytest.raises(EngineMissing, match="NODE_CONTAINER_DISK=measured"):
        offer.check_disk(read_settings(production))
    for willing in ({**production, "NODE_CONTAINER_DISK": "measured"}, {"NODE_HOME": str(tmp_path / "home")}):
        offer.check_disk(read_settings(willing))
        assert not offer.rules(read_settings(willing)).must_bound_disk


def test_a_full_file_system_ends_what_is_only_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk, "_mount_bounded", lambda *_: False)
    with Disk(tmp_path / "disk", 1 << 20, []) as bounded:
        bounded.check(is_due=True)
        monkeypatch.setattr(disk, "LEAST_FREE_BYTES", 1 << 62)
        with pytest.raises(WorkFailed, match="file system is full"):
            bounded.check(is_due=True)


def test_more_files_than_anybody_needs_are_too_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk, "MOST_FILES", 50)
    with Disk(tmp_path / "disk", 1 << 20, []) as bounded:
        for number in range(60):
            (bounded.results / str(number)).touch()
        with pytest.raises(WorkFailed, match="50 files"):
            bounded.check(is_due=True)


@pytest.mark.parametrize("volumes", [["/"], ["relative"], [f"/{number}" for number in range(20)], ["/.."]])
def test_volumes_that_cannot_be_given_are_refused(tmp_path: Path, volumes: list[str]) -> None:
    with pytest.raises(WorkFailed) as failed:
        Disk(tmp_path / "disk", 1 << 20, volumes)
    assert failed.value.code == FailureCode.IMAGE_INVALID


def test_a_disk_goes_however_deep_and_locked_it_was_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk, "_mount_bounded", lambda *_: False)
    with Disk(tmp_path / "disk", 10**7, ["/" + "v" * 150 + "/" + "w" * 150]) as made:
        assert len(made.folders) == 4, "a volume's name is no folder's name here"
        (made.results / "locked").mkdir(mode=0o300)
        subprocess.run(["mkdir", "-p", "/".join(["a"] * 1500)], cwd=made.results, check=True)
    assert not (tmp_path / "disk").exists()


def test_nothing_of_a_host_is_promised_twice(tmp_path: Path) -> None:
    room = Room(replace(DOCKER, cpu_count=1, memory_bytes=10**9), tmp_path, tmp_path)
    for much in ({"cpu_cores": 1.5}, {"memory_bytes": 2 * 10**9}, {"storage_bytes": 1 << 60}):
        with pytest.raises(WorkFailed, match="this host has") as failed, room.promised(replace(ORDER, **much)):
            pass
        assert failed.value.code == FailureCode.ENGINE_UNSUPPORTED
    with room.promised(ORDER), room.promised(ORDER):
        with pytest.raises(HostBusy, match="2 containers"), room.promised(ORDER):
            pass
    with room.promised(replace(ORDER, cpu_cores=1.0)):
        pass


def test_an_image_gets_no_room_that_is_promised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    free = 10 * GIB
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(20 * GIB, 20 * GIB - free, free))
    room = Room(DOCKER, tmp_path, tmp_path)
    order = replace(ORDER, storage_bytes=4 * GIB)
    with room.promised(order), room.for_image(32 * GIB) as allowed:
        assert allowed == 5 * GIB, "a reserve and the container's own disk are left"
        with pytest.raises(HostBusy), room.promised(order):
            pass
        with pytest.raises(HostBusy), room.for_image(GIB):
            pass
    with room.promised(replace(order, storage_bytes=9 * GIB)):
        with pytest.raises(WorkFailed) as failed, room.for_image(GIB):
            pass
        assert failed.value.code == FailureCode.IMAGE_TOO_LARGE
        (tmp_path / "task").mkdir()
        (tmp_path / "task" / "image").write_bytes(b"x" * (1 << 20))
        assert room.free_for_images() >= 1 << 20, "what was written is gone already, and not promised any more"
    with room.for_image(GIB) as allowed:
        assert allowed == GIB
