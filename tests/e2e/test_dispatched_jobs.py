"""RenderTrust's jobs through real processes: gunicorn, Celery, Valkey, PostgreSQL, Blender, and one real node.

The model's server is a stand-in (tests/factories/model_server.py): no model runs here.
"""

import io
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from tests.e2e.conftest import running_stack
from tests.e2e.test_real_render import blend
from tests.factories import command_lines
from tests.factories.model_server import ModelServer, model_server
from tests.factories.stacks import FRESH

SMALL = """
scene = bpy.context.scene
scene.render.engine, scene.cycles.samples = 'CYCLES', 2
scene.render.resolution_x, scene.render.resolution_y, scene.render.resolution_percentage = 64, 48, 100
"""
REQUEST = {"messages": [{"role": "user", "content": "hello"}]}


@pytest.fixture(scope="module")
def model() -> Iterator[ModelServer]:
    with model_server() as server:
        yield server


@pytest.fixture(scope="module")
def endpoints(tmp_path_factory: pytest.TempPathFactory, model: ModelServer) -> Iterator[dict[str, str]]:
    settings = {"NODES": "1", "NODE_CAPABILITIES": "render,compute,inference", "NODE_INFERENCE_URL": model.url,
                "NODE_INFERENCE_MODEL": "tiny"}
    with running_stack(tmp_path_factory.mktemp("stack"), **settings) as found:
        yield found


class Renter:
    """A registered user with 100 credits."""

    def __init__(self, endpoints: dict[str, str], email: str) -> None:
        self.endpoints = endpoints
        self.http = httpx.Client(limits=FRESH, base_url=f"{endpoints['api_url']}/api/v1", timeout=30)
        body = {"email": email, "name": "Jane", "password": "correct horse battery"}
        made = self.http.post("/auth/register", json=body)
        assert made.status_code == 201, made.text
        self.http.headers["Authorization"] = f"Bearer {made.json()['tokens']['access_token']}"
        run("credits", "grant", email, "100", home=endpoints["home"])

    def upload(self, data: bytes, name: str) -> str:
        body = {"filename": name, "size_bytes": len(data), "content_type": "application/octet-stream"}
        order = self.http.post("/uploads", json=body).json()
        assert httpx.put(order["upload_url"], content=data, headers=order.get("headers")).status_code == 201
        return str(order["payload_ref"])

    def dispatch(self, kind: str, ref: str) -> dict[str, Any]:
        """Dispatch, once a node is there; the job when it is over."""
        deadline = time.monotonic() + 90
        while (answer := self.http.post("/jobs/dispatch", json={"job_type": kind, "payload_ref": ref})).status_code == 400:
            assert time.monotonic() < deadline, answer.text
            time.sleep(0.2)  # the node is joining
        assert answer.status_code == 200, answer.text
        while (job := self.http.get(f"/jobs/{answer.json()['job_id']}").json())["status"] not in ("COMPLETED", "FAILED"):
            assert time.monotonic() < deadline + 60, job
            time.sleep(0.2)  # clients poll
        return dict(job)

    def result(self, job: dict[str, Any]) -> bytes:
        assert job["status"] == "COMPLETED", job
        found = self.http.get(f"/jobs/{job['id']}/result").json()
        return httpx.get(found["download_url"]).raise_for_status().content

    @property
    def balance(self) -> str:
        return str(self.http.get("/credits/balance").json()["balance"])


def run(*arguments: str, home: str) -> str:
    """One command of the command line."""
    done = command_lines.run(*arguments, environment={"LIGHTYARD_HOME": home, "PATH": "/usr/bin:/bin"})
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_real_node_runs_every_kind_of_job(endpoints: dict[str, str], model: ModelServer, tmp_path: Path) -> None:
    renter = Renter(endpoints, "renter@example.com")
    echo = renter.dispatch("echo", renter.upload(b"hello \0 there", "a.bin"))
    assert renter.result(echo) == b"hello \0 there" and renter.balance == "100.0000"
    foreign = renter.dispatch("echo", "s3://theirs/key")
    assert renter.result(foreign) == b"s3://theirs/key"
    measured = json.loads(renter.result(renter.dispatch("cpu_benchmark", renter.upload(b'{"seconds": 0.5}', "b.json"))))
    assert measured["sha256_bytes_per_second"] > 1000 and renter.balance == "99.0000"
    said = json.loads(renter.result(renter.dispatch("inference", renter.upload(json.dumps(REQUEST).encode(), "c.json"))))
    assert said["choices"][0]["message"]["content"] == "You said: hello" and renter.balance == "94.0000"
    scene = renter.upload(blend(tmp_path / "a.blend", SMALL), "a.blend")
    picture = Image.open(io.BytesIO(renter.result(renter.dispatch("render", scene))))
    assert (picture.format, picture.size) == ("PNG", (64, 48)) and renter.balance == "84.0000"
    assert json.loads(run("invariants", "--json", home=endpoints["home"])) == {"differences": []}


def test_a_model_server_that_fails_leaves_a_dead_letter_that_can_be_replayed(
    endpoints: dict[str, str], model: ModelServer
) -> None:
    renter = Renter(endpoints, "other@example.com")
    payload = renter.upload(json.dumps(REQUEST).encode(), "c.json")
    model.behaviour = "refuse"
    job = renter.dispatch("inference", payload)
    assert (job["status"], job["retry_count"]) == ("FAILED", 3) and "max_tokens" in job["error_message"]
    assert renter.balance == "100.0000"
    [letter] = json.loads(run("dead-letters", "list", "--json", home=endpoints["home"]))
    assert (letter["job_id"], letter["reason_code"]) == (job["id"], "INFERENCE_REFUSED")
    model.behaviour = "fine"
    run("dead-letters", "replay", letter["id"], home=endpoints["home"])
    deadline = time.monotonic() + 60
    while renter.http.get(f"/jobs/{job['id']}").json()["status"] != "COMPLETED":
        assert time.monotonic() < deadline
        time.sleep(0.2)  # clients poll
    assert renter.balance == "95.0000"
