"""A real node process on the relay of a real hub: it renders with no broker, and outlives kill -9 of itself and of the hub."""

import io
import json
import os
import signal
import subprocess
import uuid
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from PIL import Image

from tests.e2e.artist import Artist
from tests.e2e.conftest import NODE_PYTHON, ROOT, running_stack
from tests.factories.stacks import wait_until

FRAMES = 8
SETTINGS = {"resolution": {"width": 128, "height": 96}, "samples": 16, "frames": {"start": 1, "end": FRAMES}}
COUNT = "SELECT count(*) FROM work_units WHERE kind = 'frame' AND state = %s AND job_id = %s"
ATTEMPTS = """SELECT u.frame, a.state, count(*) FROM attempts a JOIN work_units u ON u.id = a.unit_id
    WHERE u.kind = 'frame' AND u.job_id = %s GROUP BY 1, 2 ORDER BY 1, 2"""
HELD = """SELECT a.id FROM attempts a JOIN work_units u ON u.id = a.unit_id
    WHERE u.kind = 'frame' AND a.state = 'live' AND u.state = 'rendering' AND u.job_id = %s"""
StartNode = Callable[[], "subprocess.Popen[bytes]"]


@pytest.fixture(scope="module")
def endpoints(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    with running_stack(tmp_path_factory.mktemp("stack"), NODES="0", API_WORKERS="2") as found:
        yield found


@pytest.fixture
def artist(endpoints: dict[str, str]) -> Artist:
    return Artist(endpoints)


@pytest.fixture
def start_node(endpoints: dict[str, str], tmp_path: Path) -> Iterator[StartNode]:
    """`lightyard-node --relay` with one identity, however often it is started; a broker is never named to it."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("BROKER", "REDIS", "DATABASE"))}
    environment = {
        **kept, "PYTHONPATH": str(ROOT), "HUB_URL": endpoints["api_url"], "NODE_HOME": str(tmp_path / "node"),
        "ENROL_KEY": endpoints["operator_api_key"], "ENROL_PROVIDER_ID": provider_id(endpoints), "NODE_PROGRESS_SECONDS": "0.2",
    }
    started: list[subprocess.Popen[bytes]] = []

    def start() -> "subprocess.Popen[bytes]":
        with (tmp_path / f"node-{len(started)}.log").open("wb") as log:
            command = [str(NODE_PYTHON), "-m", "gpu_node", "--relay"]
            started.append(subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log))
        return started[-1]

    yield start
    for process in started:
        if process.poll() is None:
            process.terminate()
            assert process.wait(60) == 0
    for log in sorted(tmp_path.glob("node-*.log")):
        print(log.read_text()[-3000:])


def provider_id(endpoints: dict[str, str]) -> str:
    with psycopg.connect(endpoints["database_url"]) as connection:
        found = connection.execute("SELECT id FROM providers ORDER BY registered_at LIMIT 1").fetchone()
    assert found is not None
    return str(found[0])


class Books:
    """What the hub's database says of a job."""

    def __init__(self, endpoints: dict[str, str], job_id: str) -> None:
        self._url, self._job_id = endpoints["database_url"], uuid.UUID(job_id)

    def frames(self, state: str) -> int:
        with psycopg.connect(self._url) as connection:
            found = connection.execute(COUNT, [state, self._job_id]).fetchone()
        return int(found[0]) if found else 0

    def held(self) -> set[uuid.UUID]:
        with psycopg.connect(self._url) as connection:
            return {row[0] for row in connection.execute(HELD, [self._job_id])}

    def assert_each_frame_counted_once(self) -> None:
        with psycopg.connect(self._url) as connection:
            rows = connection.execute(ATTEMPTS, [self._job_id]).fetchall()
        assert [row[0] for row in rows if row[1] == "completed"] == list(range(1, FRAMES + 1))
        assert {row[2] for row in rows if row[1] == "completed"} == {1}
        assert not [row for row in rows if row[1] == "live"]


def order(artist: Artist, scene: bytes) -> str:
    payment = artist.quote(scene, SETTINGS)
    artist.announce(payment, artist.send_money(payment))
    return str(payment["jobId"])


def assert_delivered(artist: Artist, job_id: str) -> None:
    job = artist.wait(job_id)
    assert job["status"] == "completed", job
    archive = zipfile.ZipFile(io.BytesIO(artist.call("GET", f"/render/{job_id}/result").content))
    assert archive.namelist() == [f"frame_{frame:04d}.png" for frame in range(1, FRAMES + 1)]
    assert Image.open(io.BytesIO(archive.read("frame_0003.png"))).size == (128, 96)


def test_a_job_is_rendered_over_the_relay(artist: Artist, cube: bytes, endpoints: dict[str, str], start_node: StartNode) -> None:
    start_node()
    job_id = order(artist, cube)
    assert_delivered(artist, job_id)
    Books(endpoints, job_id).assert_each_frame_counted_once()


def test_a_node_killed_in_the_middle_comes_back_and_goes_on(
    artist: Artist, cube: bytes, endpoints: dict[str, str], start_node: StartNode
) -> None:
    node = start_node()
    job_id = order(artist, cube)
    books = Books(endpoints, job_id)
    wait_until(lambda: bool(books.held()), "a frame in the node's hands")
    node.kill()
    node.wait(10)
    held = books.held()
    start_node()
    # long before the lease of a minute: it says what it holds, and the rest goes back at once
    wait_until(lambda: not held & books.held(), "the dead node's frames are given back", 40)
    assert_delivered(artist, job_id)
    books.assert_each_frame_counted_once()


def test_a_hub_killed_in_the_middle_is_found_again(
    artist: Artist, cube: bytes, endpoints: dict[str, str], start_node: StartNode
) -> None:
    start_node()
    job_id = order(artist, cube)
    books = Books(endpoints, job_id)
    wait_until(lambda: bool(books.held()) or books.frames("completed") > 0, "a frame in the node's hands")
    for pid in json.loads((Path(endpoints["home"]) / "processes.json").read_text())["api"]:
        os.kill(pid, signal.SIGKILL)
    assert_delivered(artist, job_id)
    books.assert_each_frame_counted_once()
