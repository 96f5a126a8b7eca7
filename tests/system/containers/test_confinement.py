"""Real containers in podman: what a stranger's program can do, and all that it can't."""

import socket
import tarfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from gpu_node.failures import WorkStopped
from gpu_node.runners.container import disk
from gpu_node.runners.container.engine import Engine
from gpu_node.runners.container.room import HostBusy
from gpu_node.runners.container.runner import ContainerRunner
from gpu_node.session import Limits
from tests.system.containers.conftest import SMALL, Run
from tests.system.containers.podman import Podman

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

LOOK = """
id; cat /proc/self/uid_map; grep -e Cap -e NoNewPrivs -e Seccomp: /proc/self/status
echo "processes $(ls /proc | grep -c '^[0-9]')"; echo "first $(cat /proc/1/cmdline)"
echo "net $(ls /sys/class/net)"; echo "name $(cat /etc/hostname)"; echo "given $GIVEN at $HOME"
cd /sys/fs/cgroup
if [ -e memory.max ]; then echo "memory $(cat memory.max)"; echo "cpu $(cat cpu.max)"; echo "pids $(cat pids.max)"
else echo "memory $(cat memory/memory.limit_in_bytes)"
echo "cpu $(cat cpu/cpu.cfs_quota_us) $(cat cpu/cpu.cfs_period_us)"; echo "pids $(cat pids/pids.max)"; fi
echo "wrong" >&2
mkdir /results/b; echo hello > /results/b/hello.txt; echo one > /results/a; ln -s /etc/shadow /results/link
"""


def test_a_program_runs_in_everything_that_confines_it(run: Run) -> None:
    done = run("sh", "-c", LOOK, cpu_cores=0.5, environment={"GIVEN": "a b"})
    assert done.failure is None and done.results is not None
    said = dict(line.split(maxsplit=1) for line in done.printed if " " in line or "\t" in line)
    assert done.printed[0].startswith("uid=0"), "root, but of its own user namespace:"
    inside, outside, _ = done.printed[1].split()
    assert inside == "0" and int(outside) >= 100_000
    assert {name: value for name, value in said.items() if name.startswith("Cap")} == dict.fromkeys(
        ("CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:"), "0" * 16)
    assert (said["NoNewPrivs:"], said["Seccomp:"]) == ("1", "2")
    assert int(said["processes"]) < 10 and said["first"].startswith("sh-c"), "the host's processes are not to be seen"
    assert (said["net"], said["name"], said["given"]) == ("lo", "task", "a b at /tmp")
    assert said["cpu"] == "50000 100000" and said["pids"] == "64"
    assert int(said["memory"]) in range(10**8 - 8192, 10**8 + 1)
    assert [line.message for line in done.lines if line.level == "ERROR"] == ["wrong"]
    with tarfile.open(done.results) as archive:
        assert archive.getnames() == ["a", "b", "b/hello.txt"]
        assert archive.extractfile("b/hello.txt").read() == b"hello\n"  # type: ignore[union-attr]
    assert done.lines[-1].level == "WARNING" and "link" in done.lines[-1].message
    done.results.unlink()


ATTEMPTS = {
    "write the root": "touch /x", "write a program": "touch /bin/sh", "mount": "mount -t tmpfs none /tmp",
    "read the host's memory": "head -c 1 /proc/kcore", "see the host's disk": "ls /dev/vda /dev/sda /dev/nvme0n1 | grep .",
    "loosen its limits": "echo -1 > /sys/fs/cgroup/memory/memory.limit_in_bytes || echo max > /sys/fs/cgroup/memory.max",
    "set a parameter of the kernel": "echo 1 > /proc/sys/vm/overcommit_memory", "read the kernel's log": "head -c 1 /dev/kmsg",
    "make a device": "busybox mknod /tmp/disk b 254 0", "see another root": "ls /proc/1/root/home",
    "reach the network": "nc -w 1 10.0.0.1 80", "make a user namespace": "busybox unshare -Ur true",
    "reboot": "busybox reboot -f", "change the clock": "busybox date -s 2001-01-01; busybox date | grep 2001",
}


def test_a_host_cannot_be_read_nor_changed(run: Run) -> None:
    script = "\n".join(f'if ({attempt}) >/dev/null 2>&1; then echo "did {name}"; fi' for name, attempt in ATTEMPTS.items())
    done = run("sh", "-c", script + "\necho over")
    assert done.failure is None and done.printed == ["over"]


def test_a_fork_bomb_ends_with_its_container(run: Run) -> None:
    began = time.monotonic()
    done = run("sh", "-c", "f() { f | f & }; f; sleep 2; echo over", timeout_seconds=5)
    assert done.failure is None or done.failure.code in ("TIME_LIMIT", "EXECUTION_ERROR")
    assert any("can't fork" in line for line in done.printed)
    assert time.monotonic() - began < 60


@pytest.mark.parametrize("place", ["/results/x", "/var/tmp/x", "/data/x"])
def test_a_disk_filler_gets_no_more_than_it_bought(run: Run, podman: Podman, place: str) -> None:
    if "localhost/kept" not in podman.command("images"):
        podman.make_image("kept", "VOLUME /data")
    done = run("sh", "-c", f"dd if=/dev/zero of={place} bs=1M; wc -c < {place}", docker_image="localhost/kept", ram_gb=0.5)
    if done.failure is None:  # the kernel kept the bound: the program was told that there is no more
        assert 10**7 < int(done.printed[-1]) <= 5 * 10**7 and any("No space" in line for line in done.printed)
    else:
        assert done.failure.code in ("OUTPUT_LIMIT", "EXECUTION_ERROR"), done.failure


def test_where_the_kernel_keeps_no_bound_the_disk_is_measured(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk, "_mount_bounded", lambda *_: False)
    filler = "for n in 1 2 3 4 5 6 7 8 9; do dd if=/dev/zero of=/results/$n bs=1M count=20; done; sleep 60"
    done = run("sh", "-c", filler, ram_gb=0.5)
    assert done.failure is not None and done.failure.code == "OUTPUT_LIMIT"


@pytest.mark.parametrize("hider", [
    "mkdir /results/x; cd /results/x; chmod 300 .; for n in 1 2 3 4; do dd if=/dev/zero of=$n bs=1M count=20; done; sleep 60",
    "for n in 3 4 5 6; do eval \"exec $n>/tmp/$n; dd if=/dev/zero bs=1M count=20 >&$n\"; busybox rm /tmp/$n; done; sleep 60",
])
def test_what_is_locked_or_unlinked_is_measured_too(run: Run, monkeypatch: pytest.MonkeyPatch, hider: str) -> None:
    monkeypatch.setattr(disk, "_mount_bounded", lambda *_: False)
    done = run("sh", "-c", hider, ram_gb=0.5)
    assert done.failure is not None and done.failure.code == "OUTPUT_LIMIT", done


def test_what_is_unlinked_is_in_the_kernels_own_account(run: Run) -> None:
    script = "exec 3>/tmp/x; dd if=/dev/zero bs=1M count=100 >&3; busybox rm /tmp/x; dd if=/dev/zero of=/tmp/y bs=1M; sleep 8"
    done = run("sh", "-c", script, ram_gb=0.5)
    assert any("No space" in line or "File too large" in line for line in done.printed), done
    assert done.failure is None and done.measures[-1]["storage_used_bytes"] > 4 * 10**7  # type: ignore[operator]


@pytest.mark.parametrize("eater", ["tail /dev/zero", "for n in 1 2 3 4; do dd if=/dev/zero of=/dev/shm/$n bs=1M count=40; done"])
def test_a_memory_eater_is_told_from_a_crash(run: Run, eater: str) -> None:
    done = run("sh", "-c", f"exec {eater}" if eater.startswith("tail") else eater)
    if eater.startswith("tail"):
        assert done.failure is not None and done.failure.code == "OUT_OF_MEMORY" and "100000000" in done.failure.message
    else:
        assert done.failure is None or done.failure.code in ("OUT_OF_MEMORY", "EXECUTION_ERROR"), "memory files are bounded, too"


def test_a_listener_is_heard_by_nobody(run: Run) -> None:
    heard: list[bool] = []
    over = threading.Event()

    def call() -> None:
        while not over.wait(0.2):
            with socket.socket() as caller:
                heard.append(caller.connect_ex(("127.0.0.1", 47_813)) == 0)

    thread = threading.Thread(target=call)
    thread.start()
    try:
        done = run("sh", "-c", "(echo hello | nc -l -p 47813) & sleep 1; nc 127.0.0.1 47813 </dev/null; sleep 1")
    finally:
        over.set()
        thread.join()
    assert done.printed == ["hello"], "inside it works"
    assert heard and not any(heard)


def test_at_its_time_limit_a_container_is_asked_and_then_killed(run: Run) -> None:
    polite = run("sh", "-c", "trap 'echo leaving; exit 3' TERM; while true; do usleep 50000; done", timeout_seconds=1)
    assert polite.failure is not None and polite.failure.code == "TIME_LIMIT" and polite.printed == ["leaving"]
    assert polite.failure.log_tail == "leaving\n" and polite.failure.exit_code is None, "it is the limit that ended it"
    began = time.monotonic()
    deaf = run("sh", "-c", "trap '' TERM; while true; do sleep 1; done", timeout_seconds=1)
    assert deaf.failure is not None and deaf.failure.code == "TIME_LIMIT"
    assert time.monotonic() - began < 60


def test_an_exit_status_is_told_with_the_last_words(run: Run) -> None:
    done = run("sh", "-c", "echo one; echo two >&2; exit 7")
    assert done.failure is not None and done.failure.code == "EXECUTION_ERROR" and "status 7" in done.failure.message
    assert done.failure.exit_code == 7 and done.failure.seconds > 0
    assert sorted(done.failure.log_tail.split()) == ["one", "two"]
    missing = run("no-such-program")
    assert missing.failure is not None and missing.failure.code == "EXECUTION_ERROR"
    assert "no such program" in missing.failure.message and "/" not in missing.failure.message
    assert missing.failure.exit_code == 127


def test_a_flood_of_lines_neither_stops_the_program_nor_reaches_the_hub(run: Run) -> None:
    done = run("sh", "-c", "yes | head -n 2000000; echo over >&2")
    assert done.failure is None, done.failure
    assert len(done.lines) < 100_000
    dropped = sum(int(line.message.split()[0]) for line in done.lines if line.level == "WARNING")
    assert dropped > 1_000_000


def test_results_over_the_hubs_limit_are_refused_here(run: Run) -> None:
    done = run("sh", "-c", "head -c 2000000 /dev/urandom > /results/noise", limits=Limits(max_output_bytes=10**6))
    assert done.failure is not None and done.failure.code == "OUTPUT_LIMIT"
    assert done.failure.exit_code == 137 and done.failure.seconds > 0, "it has run, and is paid"


def test_a_gpu_that_is_not_there_is_an_error_before_anything_starts(run: Run) -> None:
    done = run("sh", "-c", "echo started", gpu_count=1)
    assert done.failure is not None and done.failure.code == "GPU_UNAVAILABLE" and not done.lines


@pytest.mark.parametrize("asked", [{"cpu_cores": 10**6}, {"ram_gb": 10**6}, {"storage_gb": 10**6}, {"has_network": True}])
def test_what_this_host_has_not_is_refused(run: Run, asked: dict[str, object]) -> None:
    done = run("true", **asked)
    assert done.failure is not None and done.failure.code == "ENGINE_UNSUPPORTED"


def test_work_that_is_not_wanted_any_more_is_killed_at_once(make_runner: Callable[..., ContainerRunner], podman: Podman) -> None:
    lines: list[str] = []
    settings = {**SMALL, "command": ["sh", "-c", "trap '' TERM; echo begun; sleep 60"]}
    with pytest.raises(WorkStopped):
        make_runner().run(settings, Limits(), lambda: bool(lines), lambda some: lines.extend(line.message for line in some))
    assert lines[0] == "begun"


def test_an_engine_that_is_restarted_loses_nothing(make_runner: Callable[..., ContainerRunner], podman: Podman) -> None:
    """podman's containers live without its service; what is printed meanwhile is lost, and the result is not."""
    begun, runner = threading.Event(), make_runner()

    def restart() -> None:
        begun.wait(60)
        podman.stop()
        podman.start()

    thread = threading.Thread(target=restart)
    thread.start()
    settings = {**SMALL, "command": ["sh", "-c", "echo begun; sleep 6; echo kept > /results/kept"]}
    made = runner.run(settings, Limits(), lambda: False, lambda lines: begun.set())
    thread.join()
    with tarfile.open(made.path) as archive:
        assert archive.getnames() == ["kept"]


def test_what_one_container_has_another_does_not_get(make_runner: Callable[..., ContainerRunner], engine: Engine) -> None:
    runner, begun, over = make_runner(), threading.Event(), threading.Event()
    settings = {**SMALL, "cpu_cores": engine.cpu_count, "command": ["sh", "-c", "echo begun; sleep 60"]}

    def hold() -> None:
        with pytest.raises(WorkStopped):
            runner.run(settings, Limits(), over.is_set, lambda lines: begun.set())

    thread = threading.Thread(target=hold)
    thread.start()
    try:
        assert begun.wait(60)
        with pytest.raises(HostBusy):
            runner.run(settings, Limits(), lambda: False)
    finally:
        over.set()
        thread.join(60)


def test_nothing_of_a_run_is_left_on_the_disk(run: Run, podman: Podman) -> None:
    done = run("sh", "-c", "mkdir -p /results/deep/er; chmod 0 /results/deep/er; touch /tmp/x")
    assert done.failure is None and done.results is not None
    assert [path.name for path in done.results.parent.iterdir()] == [done.results.name]
    assert Path(done.results).stat().st_size < 1000
