"""What this node holds at the hub: attempts, each with its fence and lease, from the claim to the accepted result."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from gpu_node.session import Limits


@dataclass(frozen=True)
class Job:
    """What all attempts of a job share; it came with the claim. A run has a payload, a picture has inputs."""

    job_id: str
    kind: str
    settings: dict[str, Any]
    inputs: tuple[dict[str, Any], ...]
    limits: Limits
    payload: dict[str, Any] | None = None
    request_id: str | None = None
    traceparent: str | None = None


@dataclass(eq=False)
class Attempt:
    """One try at one unit. `dead` is set when the hub says that it is not ours any more; `lines_printed` is its container's, and
    so are `ran_from` and `ran_until`: what comes before, the image's pull above all, and after costs its client nothing."""

    attempt_id: str
    fence: int
    unit_id: str
    job: Job
    kind: str
    frame: int | None
    lease_seconds: float
    upload: dict[str, Any] | None
    progress: float = 0.0
    started_at: float | None = None
    steps: list[tuple[str, float, float]] = field(default_factory=list)
    lines_printed: int = 0
    ran_from: float | None = None
    ran_until: float | None = None
    dead: threading.Event = field(default_factory=threading.Event)

    @property
    def reference(self) -> dict[str, Any]:
        return {"attempt_id": self.attempt_id, "fence": self.fence}

    def note_running(self, is_running: bool) -> None:
        """Its container has begun, or is over."""
        if is_running:
            self.ran_from = time.monotonic()
        else:
            self.ran_until = time.monotonic()

    def seconds(self, now: float) -> float:
        """For how long it has run; 0 before. At least a millisecond once it has begun, which says so."""
        began, until = (self.ran_from, self.ran_until or now) if self.kind == "container" else (self.started_at, now)
        return 0.0 if began is None else max(0.001, round(until - began, 3))


class HeldAttempts:
    """All attempts whose leases must be kept. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._attempts: dict[str, Attempt] = {}

    def add(self, attempts: Iterable[Attempt]) -> None:
        with self._lock:
            self._attempts.update((attempt.attempt_id, attempt) for attempt in attempts)

    def remove(self, attempt: Attempt) -> None:
        with self._lock:
            self._attempts.pop(attempt.attempt_id, None)

    def all(self) -> list[Attempt]:
        with self._lock:
            return list(self._attempts.values())

    def mark_dead(self, attempt_ids: Iterable[str]) -> None:
        """Stops the work on these and forgets them."""
        with self._lock:
            for attempt_id in attempt_ids:
                attempt = self._attempts.pop(attempt_id, None)
                if attempt is not None:
                    attempt.dead.set()


def read_claim(answer: dict[str, Any]) -> list[Attempt]:
    """The attempts of a claim's answer, in the hub's order. Raises KeyError or TypeError for what is no claim."""
    jobs = {job_id: _read_job(job) for job_id, job in answer["jobs"].items()}
    return [
        Attempt(
            attempt_id=item["attempt_id"], fence=item["fence"], unit_id=item["unit_id"], job=jobs[item["job_id"]],
            kind=item["kind"], frame=item["frame"], lease_seconds=float(item["lease_seconds"]), upload=item["upload"],
        )
        for item in answer["attempts"]
    ]


def _read_job(job: dict[str, Any]) -> Job:
    known = {name: value for name, value in (job.get("limits") or {}).items()
             if value is not None and name in Limits.__dataclass_fields__}
    return Job(job["job_id"], job["kind"], dict(job.get("settings") or {}), tuple(job["inputs"]), Limits(**known),
               job.get("payload"), job.get("request_id"), job.get("traceparent"))
