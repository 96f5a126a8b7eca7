"""A container's parts that need no engine: what is ordered, printed, packed, promised; what a node offers without one."""

from __future__ import annotations

import gzip
import os
import subprocess
import tarfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import docker
import pytest

from gpu_node import offer
from gpu_node.attempts import Attempt, Job
from gpu_node.config import SettingError, read_settings
from gpu_node.failures import FailureCode, WorkFailed, WorkStopped
from gpu_node.runners.container import disk, gpus, images, life
from gpu_node.runners.container.confinement import Place, confine
from gpu_node.runners.container.disk import Disk
from gpu_node.runners.container.engine import Engine, EngineMissing, check, describe, find_engine, usual_addresses
from gpu_node.runners.container.order import Order, check_start, read_order
from gpu_node.runners.container.packing import pack
from gpu_node.runners.container.printing import Line, Printing
from gpu_node.runners.container.registries import check_public
from gpu_node.runners.container.room import HostBusy, Room
from gpu_node.session import Limits

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
            with pytest.raises(WorkFailed, match="has 0 free") as failed, gpus.lent(one, engine_gives=True):
                pass
            assert failed.value.code == FailureCode.GPU_UNAVAILABLE
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
    room = Room(replace(DOCKER, cpu_count=1, memory_bytes=10**9), tmp_path)
    for much in ({"cpu_cores": 1.5}, {"memory_bytes": 2 * 10**9}, {"storage_bytes": 1 << 60}):
        with pytest.raises(WorkFailed, match="this host has") as failed, room.promised(replace(ORDER, **much)):
            pass
        assert failed.value.code == FailureCode.ENGINE_UNSUPPORTED
    with room.promised(ORDER), room.promised(ORDER):
        with pytest.raises(HostBusy, match="2 containers"), room.promised(ORDER):
            pass
    with room.promised(replace(ORDER, cpu_cores=1.0)):
        pass


@pytest.mark.parametrize(("said", "code"), [
    ("manifest unknown", "IMAGE_NOT_FOUND"), ("pull access denied for x, repository does not exist", "IMAGE_NOT_FOUND"),
    ("dial tcp: lookup registry: no such host", "INPUT_UNAVAILABLE"), ("connection refused", "INPUT_UNAVAILABLE"),
])
def test_what_a_registry_says_tells_an_unknown_image_from_one_out_of_reach(said: str, code: str) -> None:
    assert images.failed("x", said).code == code


@pytest.mark.parametrize("registry", ["127.0.0.1", "10.0.0.5:5000", "[::1]:5000", "localhost:5000", "169.254.169.254", "0.0.0.0"])
def test_a_stranger_sends_the_engine_to_no_address_of_this_hosts_network(registry: str) -> None:
    with pytest.raises(WorkFailed, match="no public address") as failed:
        check_public(registry, ["127.0.0.1:5000"])
    assert failed.value.code == FailureCode.IMAGE_NOT_FOUND
    check_public(registry, [registry])


def test_a_registry_at_a_public_address_or_out_of_sight_is_left_to_the_engine() -> None:
    for registry in ("docker.io", "8.8.8.8:443", "[2001:4860:4860::8888]", "no-such-host.invalid"):
        check_public(registry, [])


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
    with pytest.raises(WorkFailed) as failed, life._starting():
        raise docker.errors.APIError(said, explanation=said)
    assert (failed.value.code, failed.value.exit_code) == (FailureCode.EXECUTION_ERROR, status)


def test_a_containers_seconds_are_those_between_its_start_and_its_end() -> None:
    job = Job("j", "task", {}, (), Limits())
    attempt = Attempt("a", 1, "u", job, "container", None, 60.0, None, started_at=time.monotonic() - 500)
    assert attempt.seconds(time.monotonic()) == 0.0, "it fetches the image"
    attempt.note_running(True)
    assert 0 < attempt.seconds(time.monotonic()) < 400
    attempt.note_running(False)
    assert attempt.seconds(time.monotonic() + 1000) < 400, "packing is not running"
