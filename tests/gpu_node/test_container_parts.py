"""A container's parts that need no engine: what is ordered, printed, packed, promised; what a node offers without one."""

from __future__ import annotations

import ctypes
import gzip
import os
import shutil
import socket
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
from docker.errors import APIError

from gpu_node import offer
from gpu_node.attempts import Attempt, Job
from gpu_node.config import SettingError, read_settings
from gpu_node.failures import FailureCode, WorkFailed, WorkStopped
from gpu_node.runners.container import disk, gpus, images, life, tallies
from gpu_node.runners.container.confinement import Place, confine
from gpu_node.runners.container.disk import Disk
from gpu_node.runners.container.engine import Engine, EngineMissing, check, describe, find_engine, usual_addresses
from gpu_node.runners.container.life import starting
from gpu_node.runners.container.order import Order, check_start, read_order
from gpu_node.runners.container.packing import pack
from gpu_node.runners.container.printing import Line, Printing
from gpu_node.runners.container.registries import RegistryRules, check_registry
from gpu_node.runners.container.room import HostBusy, Room
from gpu_node.runners.container.runner import engine_troubles
from gpu_node.session import Limits
from tests.factories.missing import go_without

GIB = 1024**3
NOBODY = 65_534
PR_SET_DUMPABLE = 4
ORDER = read_order({"docker_image": "a/b:1", "command": ["x"], "cpu_cores": 0.5, "ram_gb": 0.1, "storage_gb": 0.05,
                    "timeout_seconds": 20})
DOCKER = Engine("unix:///x", "docker", "27", 8, 1 << 34, False, None, False, True, Path("/nonexistent"))


def wanted() -> bool:
    return False


def test_an_order_is_read_to_the_byte() -> None:
    order = read_order({"docker_image": "a/b:1", "command": ["x", "y"], "environment": {"A": "1"}, "has_network": True,
                        "cpu_cores": "1.5", "gpu_count": 2, "gpu_memory_gb": 8, "ram_gb": 4.0, "storage_gb": 10,
                        "timeout_seconds": 3600, "more": 1})
    assert order == Order("a/b:1", ("x", "y"), {"A": "1"}, True, 1.5, 2, 8 * 10**9, 4 * 10**9, 10**10, 3600.0)


BAD_ORDERS: list[dict[str, Any]] = [
    {"docker_image": None}, {"docker_image": ""}, {"docker_image": "a b"}, {"docker_image": ["a"]}, {"command": "x"},
    {"command": [1]}, {"command": ["a\0b"]}, {"environment": {"A=": "x"}}, {"environment": {"A": 1}}, {"environment": ["A=1"]},
    {"cpu_cores": 0}, {"cpu_cores": "many"}, {"cpu_cores": float("nan")}, {"cpu_cores": True}, {"ram_gb": -1}, {"gpu_count": -1},
    {"storage_gb": 1e12}, {"timeout_seconds": 0}, {"timeout_seconds": float("inf")},
]


@pytest.mark.parametrize("wrong", BAD_ORDERS)
def test_an_order_of_nonsense_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(WorkFailed) as failed:
        read_order({"docker_image": "a", **wrong})
    assert failed.value.code == FailureCode.PAYLOAD_INVALID


def test_an_image_must_start_something_that_is_no_init_system() -> None:
    check_start(ORDER, [], [])
    nothing, init = replace(ORDER, command=()), replace(ORDER, command=("/sbin/init",))
    for order, entrypoint in ((nothing, []), (init, []), (ORDER, ["/x/systemd"])):
        with pytest.raises(WorkFailed) as failed:
            check_start(order, entrypoint, [])
        assert failed.value.code == FailureCode.IMAGE_INVALID


def test_everything_is_confined(tmp_path: Path) -> None:
    place = Place("node", {"/results": tmp_path}, "internet", (), "auto", None, 64)
    made = confine(ORDER, place)
    host = made["host_config"]
    assert made["labels"] == {"org.lightyard.node": "node"} and made["network_disabled"]
    assert (host["NetworkMode"], host["ReadonlyRootfs"], host["CapDrop"], host["Privileged"]) == ("none", True, ["ALL"], False)
    assert host["SecurityOpt"] == ["no-new-privileges"] and host["UsernsMode"] == "auto"
    assert (host["CpuQuota"], host["CpuPeriod"]) == (50_000, 100_000)
    assert host["Memory"] == host["MemorySwap"] == 10**8 and host["PidsLimit"] == 64
    assert {limit["Name"] for limit in host["Ulimits"]} == {"nofile", "nproc", "core", "fsize"}
    assert [mount["Target"] for mount in host["Mounts"]] == ["/results"] and host["DeviceRequests"] == []
    online = confine(replace(ORDER, has_network=True), place)["host_config"]
    assert online["NetworkMode"] == "internet"
    assert confine(replace(ORDER, has_network=True), replace(place, network=None))["host_config"]["NetworkMode"] == "none"
    asked = confine(ORDER, replace(place, gpu_uuids=("GPU-1",)))["host_config"]["DeviceRequests"]
    assert [request["DeviceIDs"] for request in asked] == [["GPU-1"]]
    greedy = replace(ORDER, environment={"NVIDIA_VISIBLE_DEVICES": "all"})
    given = [confine(greedy, replace(place, gpu_uuids=uuids))["environment"] for uuids in ((), ("GPU-1", "GPU-2"))]
    seen = [environment["NVIDIA_VISIBLE_DEVICES"] for environment in given]
    assert seen == ["void", "GPU-1,GPU-2"], "what the host lends, whatever was ordered"


def gpu(uuid: str | None, gigabytes: int | None) -> dict[str, Any]:
    return {"index": 0, "uuid": uuid, "memory_total_bytes": gigabytes and gigabytes * 10**9}


def test_a_gpu_that_is_not_there_is_an_error_before_anything_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    """The GPUs are made up: there are none here."""
    monkeypatch.setattr(gpus, "read_gpus", lambda: [gpu("GPU-1", 24), gpu("GPU-2", 8), gpu(None, 80), gpu("GPU-3", None)])
    one = replace(ORDER, gpu_count=1, gpu_memory_bytes=8 * 10**9)
    with gpus.lent(ORDER, engine_gives=False) as none:
        assert none == ()
    with gpus.lent(one, engine_gives=True) as small:
        assert small == ("GPU-2",), "the smallest that does"
        with gpus.lent(one, engine_gives=True) as large:
            assert large == ("GPU-1",)
            with pytest.raises(HostBusy, match="2 of this host's GPUs are lent"), gpus.lent(one, engine_gives=True):
                pass
            with pytest.raises(WorkFailed, match="this host has 2"), gpus.lent(replace(one, gpu_count=3), engine_gives=True):
                pass  # not even when they come back
    for order, gives in ((replace(one, gpu_count=3), True), (replace(one, gpu_memory_bytes=10**12), True), (one, False)):
        with pytest.raises(WorkFailed) as failed, gpus.lent(order, gives):
            pass
        assert failed.value.code == FailureCode.GPU_UNAVAILABLE
    with gpus.lent(one, engine_gives=True) as again:
        assert again == ("GPU-2",), "what was lent came back"
    # podman's inspection of a container that asked for a GPU has nothing of it
    for created in ({}, {"HostConfig": {"DeviceRequests": None}}, {"HostConfig": {"DeviceRequests": [{"DeviceIDs": ["GPU-9"]}]}}):
        with pytest.raises(WorkFailed, match="passed over"):
            gpus.check_given(("GPU-1",), created)
    gpus.check_given(("GPU-1",), {"HostConfig": {"DeviceRequests": [{"DeviceIDs": ["GPU-1"]}]}})


def printed(max_bytes: int, *said: tuple[str, bytes]) -> tuple[list[Line], Printing]:
    lines: list[Line] = []
    printing = Printing(lines.extend, max_bytes)
    for stream, data in said:
        printing.feed(stream, data)
    printing.end()
    return lines, printing


def test_lines_are_whole_in_order_and_safe_to_keep() -> None:
    said = [("stdout", b"one\ntw"), ("stderr", b"wrong\r\n"), ("stdout", b"o\n\nna\0me \xff"), ("stdout", b"")]
    lines, printing = printed(1 << 20, *said)
    assert [(line.level, line.message) for line in lines] == [
        ("INFO", "one"), ("ERROR", "wrong"), ("INFO", "two"), ("INFO", ""), ("INFO", "na\ufffdme \ufffd")]
    assert printing.tail() == "one\ntwwrong\r\no\n\nna\ufffdme \ufffd", "the end of all of it, for the failure's report"


def test_a_line_without_end_is_cut_and_held_in_little_memory() -> None:
    lines, printing = printed(1 << 20, *[("stdout", b"x" * 1000)] * 50)
    assert [len(line.message) for line in lines] == [4000] * 12 + [2000]
    assert len(printing.tail()) == 4000


def test_a_flood_is_dropped_and_said_so() -> None:
    lines, printing = printed(6400, *[("stdout", b"y\n" * 1000)] * 100)
    assert len(lines) < 200 and lines[-1].level == "WARNING" and "dropped" in lines[-1].message
    dropped = sum(int(line.message.split()[0]) for line in lines if line.level == "WARNING")
    assert dropped + sum(line.message == "y" for line in lines) == 100_000
    assert printing.tail().endswith("y\n")


def names(archive: Path) -> list[tuple[str, int]]:
    with tarfile.open(archive) as file:
        return [(item.name, item.mode) for item in file]


def test_equal_results_make_equal_archives_and_links_are_not_followed(tmp_path: Path) -> None:
    packed = []
    for number in range(2):
        folder = tmp_path / f"results-{number}"
        (folder / "b" / "empty").mkdir(parents=True)
        for name in ("z", "a", "b/c") if number else ("b/c", "a", "z"):
            (folder / name).write_bytes(name.encode() * 1000)
        (folder / "a").chmod(0o700)
        os.utime(folder / "z", (number, number))
        (folder / "link").symlink_to("/etc/passwd")
        os.mkfifo(folder / "pipe")
        (folder / os.fsdecode(b"\xff\xfe")).write_bytes(b"odd")
        target = tmp_path / f"{number}.tar.gz"
        assert pack(folder, target, 1 << 20, wanted) == ["link", "pipe"]
        packed.append(target.read_bytes())
    assert packed[0] == packed[1]
    assert names(tmp_path / "0.tar.gz") == [("a", 0o755), ("b", 0o755), ("b/c", 0o644), ("b/empty", 0o755), ("z", 0o644),
                                            (os.fsdecode(b"\xff\xfe"), 0o644)]


def test_an_archive_is_bounded_and_left_when_nobody_wants_it(tmp_path: Path) -> None:
    folder = tmp_path / "results"
    folder.mkdir()
    (folder / "noise").write_bytes(os.urandom(100_000))
    target = tmp_path / "x.tar.gz"
    with pytest.raises(WorkFailed) as failed:
        pack(folder, target, 50_000, wanted)
    assert failed.value.code == FailureCode.OUTPUT_LIMIT
    with pytest.raises(WorkStopped):
        pack(folder, target, 1 << 20, lambda: True)
    assert not target.exists()
    assert pack(folder, target, 1 << 20, wanted) == []
    assert gzip.decompress(target.read_bytes())


def test_a_disk_that_the_kernel_does_not_bound_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk, "_mount_bounded", lambda *_: False)
    with Disk(tmp_path / "disk", 1 << 20, ["/data", "/data/", "/tmp"]) as bounded:
        assert list(bounded.folders) == ["/results", "/tmp", "/var/tmp", "/data"]
        (bounded.results / "half").write_bytes(b"x" * (512 << 10))
        bounded.check(is_due=True)
        (bounded.folders["/data"] / "half").write_bytes(b"x" * (600 << 10))
        with pytest.raises(WorkFailed) as failed:
            bounded.check(is_due=True)
        assert failed.value.code == FailureCode.OUTPUT_LIMIT
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


@pytest.mark.parametrize(("said", "code"), [
    ("manifest unknown", "IMAGE_NOT_FOUND"), ("pull access denied for x, repository does not exist", "IMAGE_NOT_FOUND"),
    ("dial tcp: lookup registry: no such host", "INPUT_UNAVAILABLE"), ("connection refused", "INPUT_UNAVAILABLE"),
])
def test_what_a_registry_says_tells_an_unknown_image_from_one_out_of_reach(said: str, code: str) -> None:
    failed = images.failed("x", said)
    assert failed.code == code and said not in failed.message, "what the engine says may name this host's network"


@pytest.mark.parametrize(("registry", "code"), [
    ("8.8.8.8", "IMAGE_NOT_FOUND"), ("0x7f000001", "IMAGE_NOT_FOUND"), ("127.1", "IMAGE_NOT_FOUND"),
    ("[2001:4860::1]", "IMAGE_NOT_FOUND"), ("registry", "IMAGE_NOT_FOUND"), ("registry.example:5000", "IMAGE_NOT_FOUND"),
    ("no-such-host.invalid", "INPUT_UNAVAILABLE"), ("no-such-host.invalid:443", "INPUT_UNAVAILABLE"),
])
def test_production_goes_to_registries_by_name_at_the_usual_port(registry: str, code: str) -> None:
    strict = RegistryRules(is_strict=True)
    with pytest.raises(WorkFailed) as failed:
        check_registry(registry, strict)
    assert failed.value.code == code
    check_registry("docker.io", strict)
    check_registry(registry, replace(strict, own=(registry,)))
    if code == "INPUT_UNAVAILABLE":
        check_registry(registry, replace(strict, allowed=(registry,)))  # an engine with a proxy may find it


def test_an_owner_names_the_only_registries(monkeypatch: pytest.MonkeyPatch) -> None:
    only = offer.rules(read_settings({"NODE_CONTAINER_ALLOWED_REGISTRIES": "no-such-host.invalid, 10.0.0.5:5000",
                                      "NODE_CONTAINER_REGISTRIES": "10.0.0.6:5000"})).images.registries
    for registry in ("docker.io", "8.8.8.8", "registry.example", "10.0.0.5:5000"):
        with pytest.raises(WorkFailed):
            check_registry(registry, only)
    check_registry("no-such-host.invalid", only)
    check_registry("10.0.0.6:5000", only)


@pytest.mark.parametrize("address", ["::ffff:10.0.0.1", "2002:a00:1::1", "224.0.0.1", "100.64.0.1", "fd00::1", "fe80::1"])
def test_an_address_is_what_it_means(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [(0, 0, 0, "", (address, 0))])
    with pytest.raises(WorkFailed, match="no public address"):
        check_registry("registry.example", RegistryRules())


@pytest.mark.parametrize("registry", ["127.0.0.1", "10.0.0.5:5000", "[::1]:5000", "localhost:5000", "169.254.169.254", "0.0.0.0"])
def test_a_stranger_sends_the_engine_to_no_address_of_this_hosts_network(registry: str) -> None:
    with pytest.raises(WorkFailed, match="no public address") as failed:
        check_registry(registry, RegistryRules(own=("127.0.0.1:5000",)))
    assert failed.value.code == FailureCode.IMAGE_NOT_FOUND
    check_registry(registry, RegistryRules(own=(registry,)))


def test_a_registry_at_a_public_address_or_out_of_sight_is_left_to_the_engine() -> None:
    for registry in ("docker.io", "8.8.8.8:443", "[2001:4860:4860::8888]", "no-such-host.invalid"):
        check_registry(registry, RegistryRules())


def test_what_engines_say_of_themselves() -> None:
    """As Docker 27 and podman 4.3 answer, cut down to what is read."""
    podman = {"Version": "4.3.1", "Components": [{"Name": "Podman Engine"}, {"Name": "Conmon"}]}
    docker = {"Version": "27.3.1", "Components": [{"Name": "Engine"}, {"Name": "containerd"}]}
    about = {"NCPU": 4, "MemTotal": 8 << 30, "SecurityOptions": ["name=seccomp,profile=default"], "Runtimes": {"runc": {}}}
    found = describe("unix:///x", docker, {**about, "Runtimes": {"runc": {}, "nvidia": {}}})
    assert (found.name, found.gives_gpus, found.has_user_namespace, found.user_namespace) == ("docker", True, False, None)
    assert not describe("unix:///x", docker, about).gives_gpus
    remapped = describe("unix:///x", docker, {**about, "SecurityOptions": ["name=seccomp", "name=userns"]})
    assert (remapped.has_user_namespace, remapped.is_rootless) == (True, False)
    rootless = describe("unix:///x", podman, {**about, "SecurityOptions": ["name=rootless"], "Runtimes": {"nvidia": {}}})
    assert rootless.is_rootless and rootless.has_user_namespace and rootless.user_namespace is None and not rootless.gives_gpus


def test_production_runs_strangers_only_in_a_user_namespace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    check(DOCKER, is_production=False)
    check(replace(DOCKER, has_user_namespace=True), is_production=True)
    with pytest.raises(EngineMissing, match="userns-remap"):
        check(DOCKER, is_production=True)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(EngineMissing, match="rootless"):
        check(DOCKER, is_production=False)


LIMITED = {"CgroupDriver": "systemd", "CgroupVersion": "2", "MemoryLimit": True, "CpuCfsQuota": True, "PidsLimit": True,
           "SecurityOptions": ["name=seccomp,profile=builtin"]}


@pytest.mark.parametrize(("said", "ignores"), [
    ({}, ""), ({"CgroupDriver": "none"}, "memory processors processes"), ({"MemoryLimit": False}, "memory"),
    ({"CpuCfsQuota": None}, "processors"), ({"PidsLimit": False}, "processes"), ({"SecurityOptions": []}, "seccomp"),
    ({"SecurityOptions": ["name=seccomp,profile=unconfined"]}, "seccomp"),
    ({"Rootless": True, "CgroupVersion": "1"}, "memory processors processes"), ({"Rootless": True}, ""),
])
def test_an_engine_that_ignores_limits_runs_no_strangers_in_production(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, said: dict[str, Any], ignores: str
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    engine = replace(describe("unix:///x", {"Version": "4", "Components": []}, {**LIMITED, **said}), has_user_namespace=True)
    assert [name.rsplit(maxsplit=1)[-1] for name in engine.ignores] == ignores.split()
    check(engine, is_production=False)
    assert ("NOT SAFE" in caplog.text) == bool(ignores)
    if not ignores:
        return check(engine, is_production=True)
    with pytest.raises(EngineMissing, match="cgroup|seccomp=unconfined") as missing:
        check(engine, is_production=True)
    assert all(name in str(missing.value) for name in engine.ignores)
    return None


@pytest.mark.parametrize(("said", "code"), [
    ('exec: "x": executable file not found in $PATH: unknown /var/lib/containers/storage/secret', "EXECUTION_ERROR"),
    ("mount /home/owner/secret: input/output error", "SANDBOX_ERROR"),
])
def test_an_engines_own_words_stay_on_the_host(caplog: pytest.LogCaptureFixture, said: str, code: str) -> None:
    for trouble in (starting, engine_troubles):
        with pytest.raises(WorkFailed) as failed, trouble():
            raise APIError("500", explanation=said)
        assert failed.value.code == (code if trouble is starting else "SANDBOX_ERROR")
        assert "secret" not in str(failed.value) and "/" not in failed.value.message
        assert said in [getattr(record, "reason", "") for record in caplog.records], "the owner reads it whole"


def test_without_an_engine_only_the_runs_that_need_none_are_offered(tmp_path: Path) -> None:
    assert offer.offered(("render", "compute"), True) == ("render", "compute")
    assert offer.offered(("render", "compute", "echo"), False) == ("render", "echo", "cpu_benchmark")
    for address in (f"unix://{tmp_path}/nothing.sock", "off"):
        settings = read_settings({"NODE_CAPABILITIES": "compute", "NODE_CONTAINER_ENGINE": address})
        began = time.monotonic()
        assert offer.look_for_engine(settings) is None
        assert time.monotonic() - began < 10
        with pytest.raises(EngineMissing):
            find_engine(address, False)
    assert offer.look_for_engine(read_settings({"NODE_CONTAINER_ENGINE": "unix:///nothing.sock"})) is None


@pytest.mark.parametrize(("name", "value"), [
    ("NODE_CONTAINER_ENGINE", "docker"), ("NODE_CONTAINER_ENGINE", "tcp://203.0.113.7:2375"), ("NODE_CONTAINER_NETWORK", "host"),
    ("NODE_CONTAINER_NETWORK", "container:other"), ("NODE_CONTAINER_PROCESSES", "0"), ("NODE_CONTAINER_PULL", "maybe"),
])
def test_settings_that_would_open_the_host_are_refused(name: str, value: str) -> None:
    with pytest.raises(SettingError, match=name):
        read_settings({name: value})


def test_where_nobody_may_look_is_no_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A runtime folder that can't be looked into, of whatever reason: this one's name is too long for any file system."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/" + "x" * 5000)
    assert not any("xxx" in address for address in usual_addresses())


@pytest.mark.parametrize(("said", "status"), [
    ('runc create failed: unable to start container process: exec: "pyhton": executable file not found in $PATH', 127),
    ("crun: executable file `pyhton` not found in $PATH: No such file or directory", 127),
    ('exec: "/app": is a directory: permission denied', 126), ("exec /app: exec format error", 126),
    ("error mounting /x to rootfs at /results: no such file or directory", None),
])
def test_only_what_an_engine_says_of_the_command_itself_ends_a_task(said: str, status: int | None) -> None:
    with pytest.raises(WorkFailed) as failed, life.starting():
        raise APIError(said, explanation=said)
    assert (failed.value.code, failed.value.exit_code) == (FailureCode.EXECUTION_ERROR, status)


def test_a_containers_seconds_are_those_between_its_start_and_its_end() -> None:
    job = Job("j", "task", {}, (), Limits())
    attempt = Attempt("a", 1, "u", job, "container", None, 60.0, None, started_at=time.monotonic() - 500)
    assert attempt.seconds(time.monotonic()) == 0.0, "it fetches the image"
    attempt.note_running(True)
    assert 0 < attempt.seconds(time.monotonic()) < 400
    attempt.note_running(False)
    assert attempt.seconds(time.monotonic() + 1000) < 400, "packing is not running"
