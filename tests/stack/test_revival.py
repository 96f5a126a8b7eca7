"""kill -9 of any child: it comes back, and the next render goes through."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from devnet.evm import program
from tests.factories.stacks import RunningStack, fresh_home, wait_until

EVM = () if program.command(0, Path()) is None else ("evm",)
ROLES = ("api", "worker", "beat", "signer", "node", "devnet", "postgres", "valkey", *EVM)


@pytest.fixture(scope="module")
def stack() -> Iterator[RunningStack]:
    with fresh_home() as home:
        running = RunningStack(home, NODES="1").wait_ready()
        yield running
        assert running.end() == 0


def assert_back(stack: RunningStack, killed: dict[str, int]) -> None:
    for role, old in killed.items():
        wait_until(lambda: stack.pid(role) not in (None, old), f"a new {role}")  # noqa: B023  called before the next turn
    wait_until(stack.is_healthy, "an API, a database and a chain that answer")


def test_processes_json_names_each_role_once(stack: RunningStack) -> None:
    assert {role: len(pids) for role, pids in stack.processes.items()} == dict.fromkeys(ROLES, 1)


@pytest.mark.parametrize("role", ROLES)
def test_a_killed_child_comes_back_and_a_render_goes_through(stack: RunningStack, cube: bytes, role: str) -> None:
    old = stack.pid(role)
    assert old is not None
    os.kill(old, signal.SIGKILL)
    assert_back(stack, {role: old})
    assert stack.render(cube) == "completed"
    assert f"{role}{'-0' if role == 'node' else ''} was killed by SIGKILL; starting it again" in stack.log.read_text()


def test_all_children_killed_at_once_come_back(stack: RunningStack, cube: bytes) -> None:
    killed = {role: pids[0] for role, pids in stack.processes.items()}
    for pid in killed.values():
        os.kill(pid, signal.SIGKILL)
    assert_back(stack, killed)
    assert stack.render(cube) == "completed"
