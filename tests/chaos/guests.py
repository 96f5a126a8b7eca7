"""Nodes that join a hub from outside its stack, one by the relay and one by asking, and are brought back when they die."""

import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psycopg

from app.stack import leftovers
from app.stack.stack import NODE_PYTHON, ROOT
from app.stack.supervisor import NODES, Role, Supervisor

WAYS = {"relay": "--relay", "poll": "--poll"}


@contextmanager
def joined_nodes(endpoints: Mapping[str, str], home: Path) -> Iterator[Path]:
    """Both nodes run in the folder that this yields, which has its processes.json, until the block is over."""
    home.mkdir()
    with psycopg.connect(endpoints["database_url"]) as connection:
        (provider_id,) = connection.execute("SELECT id::text FROM providers").fetchone() or ("",)
    supervisor = Supervisor(home, say=lambda line: None)
    told = {
        "HUB_URL": endpoints["api_url"],
        "ENROL_KEY": endpoints["operator_api_key"],
        "ENROL_PROVIDER_ID": provider_id,
        "NODE_CAPABILITIES": "render,compute",
        "NODE_POLL_SECONDS": "1",
        "PYTHONPATH": str(ROOT),
        leftovers.MARK: str(home),
    }
    started = threading.Event()

    def watch() -> None:
        """All in one thread: a child dies with the thread that started it."""
        for way, option in WAYS.items():
            environment = {**os.environ, **told, "NODE_HOME": str(home / way), "NODE_NAME": way}
            supervisor.start(Role(f"node-{way}", [str(NODE_PYTHON), "-m", "gpu_node", "run", option], environment, NODES))
        started.set()
        supervisor.watch()
        supervisor.stop()

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        assert started.wait(30)
        yield home
    finally:
        supervisor.is_stopping = True
        thread.join(60)
        leftovers.take_down(leftovers.of_home(home))
