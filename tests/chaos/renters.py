"""Renters who dispatch with an idempotency key and ask until they know, while things die."""

import random
import time
import uuid
from typing import Any

import httpx
import psycopg

from app.core import accounts, credits
from app.core.idempotency import HOLD_SECONDS
from app.db import Database
from app.values.money import parse
from app.values.purposes import Purpose
from tests.e2e.artist import PatientClient

GRANTED = "1000"
ORDER_SECONDS = 2 * HOLD_SECONDS  # a key whose holder was killed is free after one
PRICES = {"echo": 0, "cpu_benchmark": 1}


class Renter(PatientClient):
    """A registered user with 1000 credits, whose files are sent; made before anything is killed."""

    def __init__(self, endpoints: dict[str, str], database: Database) -> None:
        super().__init__(endpoints, patience_seconds=120)
        self.email = f"{uuid.uuid4().hex}@example.com"
        body = {"email": self.email, "name": "Renter", "password": "correct horse battery"}
        made = self._ask("POST", "/auth/register", 201, json=body)
        self.http.headers["Authorization"] = f"Bearer {made['tokens']['access_token']}"
        with database.unit_of_work() as session:
            found = accounts.credentials(session, "email", self.email)
            assert found is not None
            self.account_id = found.account_id
            credits.grant(session, self.account_id, parse(GRANTED, "CREDIT"), f"chaos:{self.email}", Purpose.ADJUSTMENT)
        self._refs = {"echo": self._upload(b"hello"), "cpu_benchmark": self._upload(b'{"seconds": 0.2}')}
        self.jobs: dict[str, str] = {}
        self.errors: list[str] = []

    def _ask(self, method: str, path: str, wanted: int = 200, **body: Any) -> dict[str, Any]:
        answer = self.call(method, f"/api/v1{path}", **body)
        assert answer.status_code == wanted, (path, answer.status_code, answer.text)
        return dict(answer.json())

    def _upload(self, data: bytes) -> str:
        body = {"filename": "a.json", "size_bytes": len(data), "content_type": "application/octet-stream"}
        order = self._ask("POST", "/uploads", 201, json=body)
        httpx.put(order["upload_url"], content=data, headers=order.get("headers")).raise_for_status()
        return str(order["payload_ref"])

    def rent(self, until: float, chance: random.Random) -> None:
        """Dispatch one job after the other until the time is over; each is waited for."""
        while time.monotonic() < until:
            try:
                kind = chance.choice(list(PRICES))
                job = self._dispatch(kind)
                self.jobs[job] = kind
                self._wait(job)
            except Exception as error:  # noqa: BLE001  a thread has nobody else to tell
                self.errors.append(repr(error))
                return

    def _dispatch(self, kind: str) -> str:
        """One order, however often it is asked for: its key says that it is the same."""
        headers = {"Idempotency-Key": str(uuid.uuid4())}
        body = {"job_type": kind, "payload_ref": self._refs[kind]}
        deadline = time.monotonic() + ORDER_SECONDS
        while True:
            answer = self.call("POST", "/api/v1/jobs/dispatch", json=body, headers=headers)
            if answer.status_code == 200:
                return str(answer.json()["job_id"])
            # no healthy node just now, or the first asking is not over yet
            assert answer.status_code in (400, 409, 500) and time.monotonic() < deadline, (answer.status_code, answer.text)
            time.sleep(0.5)  # the client's back-off

    def _wait(self, job: str) -> None:
        deadline = time.monotonic() + 300
        while self._ask("GET", f"/jobs/{job}")["status"] not in ("COMPLETED", "FAILED"):
            assert time.monotonic() < deadline, f"{job} is not over"
            time.sleep(0.3)  # clients poll

    def problems(self, connection: psycopg.Connection) -> dict[str, list[str]]:
        """Jobs that are not completed; that nobody ordered, or that were done or paid more than once."""
        rows = connection.execute(
            "SELECT j.id::text, j.state, (SELECT count(*) FROM attempts a JOIN work_units u ON u.id = a.unit_id"
            " WHERE u.job_id = j.id AND a.state = 'completed'), (SELECT count(*) FROM credit_holds h WHERE h.job_id = j.id"
            " AND h.state = 'captured') FROM jobs j WHERE j.account_id = %s",
            [self.account_id],
        ).fetchall()
        known = {row[0]: row[1:] for row in rows}
        lost = [f"{job}: {known.get(job)}" for job in self.jobs if known.get(job, ("",))[0] != "completed" or known[job][1] < 1]
        doubled = [f"{job}: {facts}" for job, facts in known.items() if job not in self.jobs or max(facts[1:]) > 1]
        return {"lost": lost, "doubled": doubled}

    def spent(self) -> int:
        return sum(PRICES[kind] for kind in self.jobs.values())
