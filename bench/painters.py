"""Real nodes that paint instead of rendering (`bench.painting_node`), started and ended as a stack does its own."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from bench import seeding
from bench.stack import ROOT, BenchError, BenchStack

JOIN_SECONDS = 60.0


@contextmanager
def painter(stack: BenchStack, name: str, **environment: str) -> Iterator[None]:
    """One node's worker; each name has its own home, so that the same name is the same node again."""
    home = stack.home / f"painting-{name}"
    given = {
        **os.environ,
        "HUB_URL": stack.api_url,
        "BROKER_URL": stack.endpoints["redis_url"],
        "NODE_HOME": str(home),
        "NODE_NAME": name,
        "ENROL_KEY": stack.endpoints["operator_api_key"],
        "ENROL_PROVIDER_ID": seeding.local_provider_id(stack.database),
        **environment,
    }
    command = [sys.executable, "-m", "celery", "-A", "bench.painting_node", "worker", "-Q", "render", "-n", f"{name}@%h"]
    log_file = stack.home / f"painting-{name}.log"
    with log_file.open("ab") as log:
        process = subprocess.Popen(command, cwd=ROOT, env=given, stdout=log, stderr=log)
    try:
        yield
    except BenchError as error:
        raise BenchError(f"{error}\n{_tail(log_file)}") from error
    finally:
        process.terminate()
        process.wait(60)


def _tail(path: Path) -> str:
    return path.read_text(errors="replace")[-1500:]


def wait_for_nodes(stack: BenchStack, count: int, since: datetime) -> None:
    """Until so many nodes have joined the hub after `since`, and a moment for their consumers."""
    deadline = time.monotonic() + JOIN_SECONDS
    while seeding.live_nodes(stack.database, since) < count:
        if time.monotonic() > deadline:
            raise BenchError(f"{count} nodes did not join in {JOIN_SECONDS:g} s")
        time.sleep(0.1)  # a worker that boots tells nobody: look again
    time.sleep(2)  # it has joined the hub; its consumer is on the queue a moment later
