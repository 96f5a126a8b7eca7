"""An agent of RNP-019 in a measurement: an account with credits, an API key, and a scene that was looked at."""

import json
import time
import uuid
from typing import Any

from app.core import accounts, ledger
from app.core.ledger import Party
from app.models.jobs import Scene
from app.values.money import parse
from bench import seeding
from bench.fake_node import HEIGHT, WIDTH
from bench.stack import BenchError, BenchStack
from bench.wire import Connection

SCOPES = ["jobs:read", "jobs:write"]
ENDS = ("completed", "failed", "cancelled")


class Agent:
    """Calls the public API on one kept connection."""

    def __init__(self, stack: BenchStack, credits: str = "1000") -> None:
        self._connection = Connection(stack.api_url)
        scene_id = seeding.store_scene(stack.database, stack.settings())
        with stack.database.unit_of_work() as session:
            self.account_id = accounts.ensure_identity(session, "solana", uuid.uuid4().hex)
            key = accounts.create_key(session, self.account_id, "bench", SCOPES)
            amount = parse(credits, "RCREDIT")
            ledger.post(session, Party("chain"), Party("balance", self.account_id), amount, f"bench:{uuid.uuid4()}")
            scene = session.get_one(Scene, scene_id)
            scene.account_id, scene.report = self.account_id, {}
        self.scene_id, self._headers = scene_id, f"Authorization: Bearer {key}\r\n"

    def order(self, frames: int) -> str:
        """A job of tiny pictures, begun at once; returns its id."""
        settings = {"width": WIDTH, "height": HEIGHT, "samples": 1}
        body = {"scene_id": str(self.scene_id), "frames": f"1-{frames}", "settings": settings}
        status, job = self._connection.post_json("/rnp/v1/jobs", body, self._headers)
        if status != 201:
            raise BenchError(f"an order was answered {status}: {job}")
        return str(job["id"])

    def job(self, job_id: str) -> dict[str, Any]:
        status, answer = self._connection.request("GET", f"/rnp/v1/jobs/{job_id}", b"", self._headers)
        if status != 200:
            raise BenchError(f"a job's status was answered {status}: {answer[:300]!r}")
        return dict(json.loads(answer))

    def render(self, frames: int, patience_seconds: float) -> tuple[float, str]:
        """Seconds from the order until its status says completed, and the job's id."""
        started = time.perf_counter()
        job_id = self.order(frames)
        while True:
            job, seconds = self.job(job_id), time.perf_counter() - started
            if job["status"] == "completed":
                return seconds, job_id
            if job["status"] in ENDS or seconds > patience_seconds:
                raise BenchError(f"the job is {job['status']} after {seconds:.0f} s: {job.get('reason')}")
            time.sleep(0.05)  # polled: the stream of events is not what is measured
