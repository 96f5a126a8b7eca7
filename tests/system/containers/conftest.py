"""One podman for this folder, and what runs strangers' containers on it."""

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from gpu_node.failures import WorkFailed
from gpu_node.runners.container import engine as engines
from gpu_node.runners.container.engine import Engine, find_engine
from gpu_node.runners.container.measures import Measures
from gpu_node.runners.container.printing import Line
from gpu_node.runners.container.runner import ContainerRunner, Rules
from gpu_node.session import Limits
from tests.factories.missing import go_without
from tests.system.containers import podman as podmans
from tests.system.containers.podman import Podman

SMALL = {"docker_image": "localhost/tiny", "cpu_cores": 1, "ram_gb": 0.1, "storage_gb": 0.05, "timeout_seconds": 60}
RULES = Rules(grace_seconds=0.5, max_processes=64)


@pytest.fixture(scope="package")
def podman(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Podman]:
    lacking = podmans.missing()
    if lacking or os.geteuid() != 0:
        go_without(f"strangers' containers need root and {', '.join(lacking) or 'nothing else'}: make system-packages")
    made = Podman(tmp_path_factory.mktemp("podman"))
    try:
        made.start()
        made.make_image("tiny")
        yield made
    finally:
        made.close()


@pytest.fixture(scope="package")
def engine(podman: Podman) -> Iterator[Engine]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engines, "SUBORDINATE", (podman.folder / "subordinate",) * 2)
        yield find_engine(podman.address, is_production=True)


@dataclass
class Outcome:
    """What became of one container: `failure` is None for what went well, `results` its archive."""

    results: Path | None = None
    seconds: float = 0.0
    failure: WorkFailed | None = None
    lines: list[Line] = field(default_factory=list)
    measures: list[Measures] = field(default_factory=list)

    @property
    def printed(self) -> list[str]:
        return [line.message for line in self.lines]


Run = Callable[..., Outcome]


@pytest.fixture
def make_runner(engine: Engine, podman: Podman, request: pytest.FixtureRequest) -> Iterator[Callable[..., ContainerRunner]]:
    """Below podman's folder, whose mounts it sees. Afterwards no container and no mount may be left."""
    folder = podman.folder / "nodes" / request.node.name[:60].replace("/", "-").replace("[", "-")
    folder.mkdir(parents=True)

    def make(rules: Rules = RULES, node: str = folder.name) -> ContainerRunner:
        return ContainerRunner(engine, folder / "containers", node, rules)

    yield make
    assert podman.command("ps", "--all", "--quiet") == ""
    assert str(folder) not in Path("/proc/mounts").read_text()
    shutil.rmtree(folder)


@pytest.fixture
def run(make_runner: Callable[..., ContainerRunner]) -> Run:
    """Runs one command in a small container to its end."""
    runner = make_runner()
    return lambda *command, **more: run_on(runner, *command, **more)


def run_on(runner: ContainerRunner, *command: str, stopped: Callable[[], bool] = lambda: False, limits: Limits | None = None,
           **settings: Any) -> Outcome:
    outcome = Outcome()
    try:
        made = runner.run({**SMALL, "command": list(command), **settings}, limits or Limits(), stopped, outcome.lines.extend,
                          outcome.measures.append)
    except WorkFailed as failed:
        outcome.failure = failed
    else:
        outcome.results, outcome.seconds = made.path, made.seconds
    return outcome
