"""A container's parts that need no engine: what is ordered, confined, printed, packed, and how long it ran."""

from __future__ import annotations

import gzip
import os
import tarfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gpu_node.attempts import Attempt, Job
from gpu_node.failures import FailureCode, WorkFailed, WorkStopped
from gpu_node.runners.container import gpus
from gpu_node.runners.container.confinement import Place, confine
from gpu_node.runners.container.order import Order, check_start, read_order
from gpu_node.runners.container.packing import pack
from gpu_node.runners.container.printing import Line, Printing
from gpu_node.runners.container.room import HostBusy
from gpu_node.session import Limits

ORDER = read_order({"docker_image": "a/b:1", "command": ["x"], "cpu_cores": 0.5, "ram_gb": 0.1, "storage_gb": 0.05,
                    "timeout_seconds": 20})


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
    assert (failed.value.code, failed.value.exit_code) == (FailureCode.OUTPUT_LIMIT, 137)
    with pytest.raises(WorkStopped):
        pack(folder, target, 1 << 20, lambda: True)
    assert not target.exists()
    assert pack(folder, target, 1 << 20, wanted) == []
    assert gzip.decompress(target.read_bytes())


def test_a_containers_seconds_are_those_between_its_start_and_its_end() -> None:
    job = Job("j", "task", {}, (), Limits())
    attempt = Attempt("a", 1, "u", job, "container", None, 60.0, None, started_at=time.monotonic() - 500)
    assert attempt.seconds(time.monotonic()) == 0.0, "it fetches the image"
    attempt.note_running(True)
    assert 0 < attempt.seconds(time.monotonic()) < 400
    attempt.note_running(False)
    assert attempt.seconds(time.monotonic() + 1000) < 400, "packing is not running"
