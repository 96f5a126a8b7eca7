"""One place where work is done: claims, renders frame after frame, and claims ahead so that Blender never waits."""

from __future__ import annotations

import logging
import queue
import random
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gpu_node import trail
from gpu_node.attempts import Attempt
from gpu_node.batches import BatchSize
from gpu_node.client import HubAway, HubRefused
from gpu_node.delivery import Parcel
from gpu_node.failpoints import failpoint
from gpu_node.failures import FailureCode, WorkFailed, WorkStopped
from gpu_node.offer import PROMPTED
from gpu_node.runners.blender.runner import BlenderRunner

if TYPE_CHECKING:
    from gpu_node.agent import Agent

log = logging.getLogger(__name__)

SAME_FOR_THE_JOB = frozenset({
    FailureCode.SCENE_UNREADABLE, FailureCode.SCENE_TOO_NEW, FailureCode.NO_CAMERA, FailureCode.ENGINE_UNSUPPORTED,
    FailureCode.PICTURE_LIMIT, FailureCode.INPUT_UNAVAILABLE, FailureCode.INPUT_CORRUPT, FailureCode.SANDBOX_ERROR,
    FailureCode.TILES_UNSUPPORTED,
})

PICTURES = ("frame", "tile")


@dataclass
class Ring:
    """One doorbell: the hint it brought, and the event that says that the work it began has ended."""

    hint: str | None = None
    done: threading.Event = field(default_factory=threading.Event)


class Slot(threading.Thread):
    """Serves rings until the agent drains. All children are started from this thread, and it outlives them."""

    def __init__(self, agent: Agent, rings: queue.Queue[Ring], runner: BlenderRunner) -> None:
        super().__init__(name="slot", daemon=True)
        self._agent = agent
        self._rings = rings
        self.runner = runner
        settings = agent.settings
        self._batch = BatchSize(settings.batch_limit, settings.batch_seconds)
        self._claims_ahead = ThreadPoolExecutor(1, thread_name_prefix="claim-ahead")
        self._used_at = time.monotonic()

    def run(self) -> None:
        wait_seconds = 0.0
        while not self._agent.draining.is_set():
            ring = self._next_ring(wait_seconds)
            try:
                self._work(ring.hint)
                ring.done.set()
                self._settle_down()
            except Exception:
                # Whatever it was, a node that stops claiming helps nobody; the attempts it held run out at the hub.
                log.exception("a slot met an unexpected error")
                self.runner.close()
            finally:
                ring.done.set()
            wait_seconds = self._agent.settings.poll_seconds * random.uniform(0.75, 1.25)
        self._claims_ahead.shutdown(wait=True)
        self.runner.close_all()

    def _next_ring(self, wait_seconds: float) -> Ring:
        """A doorbell, or after a while an idle look of our own: losing a doorbell costs only that while."""
        try:
            return self._rings.get(timeout=wait_seconds) if wait_seconds else self._rings.get_nowait()
        except queue.Empty:
            return Ring()

    def _settle_down(self) -> None:
        """While there is nothing to do: an old scene is closed, and a child is made ready for the next one."""
        if time.monotonic() - self._used_at > self._agent.settings.warm_seconds:
            self.runner.close()
        if self._agent.settings.spare_child and not self._agent.draining.is_set():
            self.runner.prepare_spare()

    def _work(self, hint: str | None) -> None:
        """Claims and works until nothing fits."""
        batch = self._claim(hint, self.runner.job_id)
        while batch:
            batch = self._work_batch(batch)
        self._used_at = time.monotonic() if self.runner.job_id else self._used_at

    def _work_batch(self, batch: list[Attempt]) -> list[Attempt]:
        """Works through a batch; the next one is claimed while its last units render. Returns that next one."""
        ahead: Future[list[Attempt]] | None = None
        for position, attempt in enumerate(batch):
            # A container may run for hours, and what is claimed is kept from others.
            if ahead is None and position >= len(batch) // 2 and attempt.kind != "container":
                ahead = self._claims_ahead.submit(self._claim_ahead, attempt.job.job_id)
            failure = self._do(attempt)
            if failure is not None and failure.code in SAME_FOR_THE_JOB and attempt.kind in PICTURES:
                self._fail_rest(batch[position + 1:], attempt, failure)
                break
        return ahead.result() if ahead is not None else []

    def _claim(self, hint: str | None, job_id: str | None) -> list[Attempt]:
        if self._agent.draining.is_set():
            return []
        try:
            attempts = self._agent.claim(self._batch.choose(), hint, job_id)
        except (HubRefused, HubAway) as trouble:
            log.warning("could not claim", extra={"reason": str(trouble)})
            return []
        if attempts:
            failpoint("node.claimed")
        return attempts

    def _claim_ahead(self, job_id: str) -> list[Attempt]:
        """The next batch, its scenes fetched, while frames render. What can't be fetched is met again by the unit itself."""
        attempts = self._claim(None, job_id)
        for job in {attempt.job.job_id: attempt.job for attempt in attempts if attempt.job.inputs}.values():
            try:
                self._agent.scenes.fetch(job)
            except (WorkFailed, HubAway) as trouble:
                log.info("a scene could not be fetched ahead", extra={"job_id": job.job_id, "reason": str(trouble)})
        return attempts

    def _do(self, attempt: Attempt) -> WorkFailed | None:
        """One unit, from the scene to the parcel. Returns the failure that was reported, if any."""
        if attempt.dead.is_set() or self._agent.draining.is_set():
            return None
        attempt.started_at = time.monotonic()
        self._agent.changed.set()
        with trail.at(attempt):
            return self._try(attempt)

    def _try(self, attempt: Attempt) -> WorkFailed | None:
        log.info("begun", extra={"kind": attempt.kind, "frame": attempt.frame})
        try:
            parcel = self._make(attempt)
        except WorkStopped:
            return None
        except HubAway as away:
            return self._report(attempt, WorkFailed(FailureCode.INPUT_UNAVAILABLE, str(away)))
        except WorkFailed as failed:
            return self._report(attempt, failed)
        except Exception as error:
            # The lease would be kept for ever if nobody told the hub; the child may be at fault, so it goes.
            log.exception("a unit met an unexpected error")
            self.runner.close()
            return self._report(attempt, WorkFailed(FailureCode.CRASHED, f"the node met {type(error).__name__}: {error}"))
        log.info("made", extra={"seconds": round(time.monotonic() - (attempt.started_at or 0.0), 3)})
        failpoint("node.frame_rendered")
        self._agent.delivery.put(parcel)
        return None

    def _report(self, attempt: Attempt, failure: WorkFailed) -> WorkFailed:
        log.warning("a unit failed", extra={"code": failure.code.value, "reason": failure.message})
        self._agent.delivery.put(Parcel(attempt, failure=failure))
        return failure

    def _make(self, attempt: Attempt) -> Parcel:
        def stopped() -> bool:
            return attempt.dead.is_set() or self._agent.out_of_grace()

        def on_progress(share: float) -> None:
            attempt.progress = max(attempt.progress, min(0.99, share))
            self._agent.changed.set()

        job = attempt.job
        if attempt.kind == "run":
            with trail.step(attempt, "run"):
                return Parcel(attempt, output=self._agent.runs.run(job, stopped))
        if job.kind in PROMPTED and attempt.kind != "inspection":
            with trail.step(attempt, "run"):
                made = self._agent.runs.make(job, attempt.frame, stopped)
            self._batch.measure(job.job_id, made.seconds)
            return Parcel(attempt, output=made)
        if attempt.kind == "container":
            with trail.step(attempt, "run"):
                return Parcel(attempt, output=self._agent.run_container(attempt, stopped))
        if attempt.kind == "join":
            return Parcel(attempt, output=self._agent.films.join(attempt, self.runner, stopped, on_progress))
        started = time.monotonic()
        with trail.step(attempt, "download"):
            scene = self._agent.scenes.fetch(job)
        if attempt.kind == "inspection":
            with trail.step(attempt, "inspect"):
                report = self.runner.inspect(scene, job.limits, stopped)
            return Parcel(attempt, report=report, seconds=time.monotonic() - started)
        if attempt.kind not in PICTURES or attempt.frame is None or (attempt.kind == "tile") != (attempt.tile is not None):
            raise WorkFailed(FailureCode.ENGINE_UNSUPPORTED, f"this node does no work of kind {attempt.kind!r}")
        was_loaded = self.runner.job_id == job.job_id
        with trail.step(attempt, "render"):
            picture = self.runner.render(scene, job.settings, job.limits, attempt.frame, stopped, on_progress, attempt.tile)
        attempt.progress = 1.0
        self._used_at = time.monotonic()
        if was_loaded:
            self._batch.measure(job.job_id, time.monotonic() - started)
        else:
            self._batch.measure(job.job_id, picture.frame_seconds)
        return Parcel(attempt, picture=picture)

    def _fail_rest(self, rest: list[Attempt], first: Attempt, failure: WorkFailed) -> None:
        """What made one unit of a job fail before its frame began makes the others fail the same way."""
        for attempt in rest:
            if attempt.job.job_id == first.job.job_id and attempt.kind == first.kind:
                self._agent.delivery.put(Parcel(attempt, failure=failure))
            else:
                self._do(attempt)
