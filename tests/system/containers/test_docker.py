"""The same in Docker, with `userns-remap`: another daemon takes the same arguments, and confines as much."""

import os
import shutil
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from gpu_node.runners.container.engine import EngineMissing, find_engine
from gpu_node.runners.container.runner import ContainerRunner
from tests.factories.missing import go_without
from tests.system.containers import docker as dockers
from tests.system.containers.conftest import RULES, Outcome, run_on
from tests.system.containers.docker import Docker, image_archive

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

LOOK = """
cat /proc/self/uid_map; grep -e CapBnd -e NoNewPrivs -e Seccomp: /proc/self/status; echo "net $(ls /sys/class/net)"
touch /x || echo "closed"; echo hello > /results/hello; sleep 4
"""


@pytest.fixture(scope="module")
def docker() -> Iterator[Docker]:
    lacking = dockers.missing()
    if lacking or os.geteuid() != 0:
        go_without(f"Docker needs root and {', '.join(lacking) or 'nothing else'}: make system-packages")
    folder = Path(tempfile.mkdtemp(prefix="lightyard-docker-"))
    folder.chmod(0o711)
    made = Docker(folder)
    try:
        yield made
    finally:
        made.close()
        shutil.rmtree(folder)


@pytest.fixture(scope="module")
def runner(docker: Docker) -> ContainerRunner:
    engine = find_engine(docker.address, is_production=True)
    assert (engine.name, engine.has_user_namespace, engine.user_namespace) == ("docker", True, None)
    client = engine.open()
    client.import_image_from_data(image_archive(docker.folder), "localhost/tiny", "latest")
    client.close()
    return ContainerRunner(engine, docker.folder / "node", "node", RULES)


def test_a_program_runs_confined(runner: ContainerRunner) -> None:
    done = run_on(runner, "sh", "-c", LOOK)
    assert done.failure is None and done.results is not None, done
    assert done.printed[0].split() == ["0", "200000", "65536"]
    said = dict(line.split(maxsplit=1) for line in done.printed[1:] if " " in line or "\t" in line)
    assert (said["CapBnd:"], said["NoNewPrivs:"], said["Seccomp:"], said["net"]) == ("0" * 16, "1", "2", "lo")
    assert "closed" in done.printed
    assert any((sample["memory_used_bytes"] or 0) > 0 for sample in done.measures)
    with tarfile.open(done.results) as archive:
        assert archive.getnames() == ["hello"]


@pytest.mark.parametrize(("command", "code", "exit_code"), [
    (["sh", "-c", "exit 7"], "EXECUTION_ERROR", 7), (["no-such-program"], "EXECUTION_ERROR", 127),
    (["tail", "/dev/zero"], "OUT_OF_MEMORY", 137),
    (["sh", "-c", "trap '' TERM; while true; do sleep 1; done"], "TIME_LIMIT", None),
])
def test_each_end_has_its_code(runner: ContainerRunner, command: list[str], code: str, exit_code: int | None) -> None:
    done = run_on(runner, *command, timeout_seconds=2)
    assert done.failure is not None and (done.failure.code, done.failure.exit_code) == (code, exit_code), done.failure


def test_what_cannot_be_had_is_refused(runner: ContainerRunner, docker: Docker) -> None:
    def refused(done: Outcome) -> str:
        assert done.failure is not None
        return done.failure.code.value

    assert refused(run_on(runner, "true", docker_image="UPPER//case")) == "IMAGE_NOT_FOUND"
    assert refused(run_on(runner, "true", docker_image="registry.invalid/none:1")) == "INPUT_UNAVAILABLE"
    assert refused(run_on(runner, "true", gpu_count=1)) == "GPU_UNAVAILABLE"
    with pytest.raises(EngineMissing):
        find_engine(f"unix://{docker.folder}/nothing.sock", is_production=True)
    client = runner.engine.open()
    assert client.containers(all=True) == [], "nothing is left of all these"
    client.close()
