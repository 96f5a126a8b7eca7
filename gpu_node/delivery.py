"""Finished work on its way to the hub, in a thread of its own so that the next frame renders meanwhile.

Uploaded first, announced after; several announcements go in one call when they are ready together. A hub that is
away is waited for: a finished frame is dropped only when its attempt is dead or the waiting is used up.
"""

from __future__ import annotations

import logging
import queue
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gpu_node import trail
from gpu_node.attempts import Attempt, HeldAttempts
from gpu_node.client import HubAway, HubClient, HubRefused
from gpu_node.failpoints import failpoint
from gpu_node.failures import FailureCode, WorkFailed
from gpu_node.runners.blender.runner import Picture
from gpu_node.runners.outputs import Output
from gpu_node.scenes import sha256_hex

log = logging.getLogger(__name__)

MAX_TOGETHER = 16
MAX_TRIES = 3
MAX_WARNINGS = 100


@dataclass(eq=False)
class Parcel:
    """One ended attempt: a picture, a run's output, a report or a failure."""

    attempt: Attempt
    picture: Picture | None = None
    output: Output | None = None
    report: dict[str, Any] | None = None
    failure: WorkFailed | None = None
    seconds: float = 0.0
    tries: int = 0
    result: dict[str, Any] = field(default_factory=dict)

    @property
    def file(self) -> Path | None:
        """What is uploaded."""
        made = self.picture or self.output
        return made.path if made is not None else None


class Delivery(threading.Thread):
    """Hands parcels over in the order they come. `close` waits for what is under way."""

    def __init__(self, client: HubClient, held: HeldAttempts, patience_seconds: float) -> None:
        super().__init__(name="delivery", daemon=True)
        self._client = client
        self._held = held
        self._patience_seconds = patience_seconds
        self._parcels: queue.Queue[Parcel | None] = queue.Queue()
        self.delivered = 0

    def put(self, parcel: Parcel) -> None:
        self._parcels.put(parcel)

    def close(self, seconds: float) -> bool:
        """Delivers what is waiting; False when `seconds` were not enough."""
        self._parcels.put(None)
        self.join(seconds)
        return not self.is_alive()

    def run(self) -> None:
        ending = False
        while not ending:
            parcels = [self._parcels.get()]
            while len(parcels) < MAX_TOGETHER and not self._parcels.empty():
                parcels.append(self._parcels.get())
            ending = None in parcels
            ready = [parcel for parcel in parcels if parcel is not None]
            try:
                self._deliver(ready)
            except Exception:
                # The thread must outlive any surprise; the leases of these attempts run out and the units go back.
                log.exception("delivery failed")
                self._drop(ready)

    def _deliver(self, parcels: list[Parcel]) -> None:
        for parcel in parcels:
            if parcel.file is not None and not parcel.attempt.dead.is_set():
                with trail.at(parcel.attempt), trail.step(parcel.attempt, "upload"):
                    self._upload(parcel, parcel.file)
        live = [parcel for parcel in parcels if not parcel.attempt.dead.is_set()]
        failed = [parcel for parcel in live if parcel.failure is not None]
        with trail.at(*(parcel.attempt for parcel in failed)):
            self._report_failures(failed)
        made = [parcel for parcel in live if parcel.failure is None]
        with trail.at(*(parcel.attempt for parcel in made)):
            self._announce(made)
        self._drop([parcel for parcel in parcels if parcel.attempt.dead.is_set()])

    def _upload(self, parcel: Parcel, path: Path) -> None:
        """Fills `parcel.result`, or `parcel.failure` when the hub won't have the bytes."""
        known = {**parcel.attempt.reference, "sha256": sha256_hex(path), "size_bytes": path.stat().st_size}
        parcel.result = known | _facts_of(parcel)
        try:
            if parcel.attempt.upload is None:
                raise HubRefused(0, "NO_UPLOAD", "the claim gave no place to upload to", {})
            self._client.upload(parcel.attempt.upload, path, self._patience_seconds)
            failpoint("node.uploaded")
        except HubRefused as refused:
            code = FailureCode.OUTPUT_LIMIT if refused.status == 413 else FailureCode.UPLOAD_FAILED
            parcel.failure = WorkFailed(code, f"the hub did not take the result: {refused}")
        except HubAway as away:
            parcel.failure = WorkFailed(FailureCode.UPLOAD_FAILED, str(away))

    def _announce(self, parcels: list[Parcel]) -> None:
        if not parcels:
            return
        items = [{**(parcel.result if parcel.file else _report_of(parcel)), "steps": trail.steps_of(parcel.attempt)}
                 for parcel in parcels]
        try:
            answers = self._client.call("/results", {"results": items}, self._patience_seconds)["results"]
        except HubRefused as refused:
            answers = refused.details.get("results") or []
            log.warning("results refused", extra={"reason": str(refused)})
        except HubAway as away:
            log.error("results could not be announced", extra={"reason": str(away)})
            answers = []
        by_id = {answer.get("attempt_id"): answer for answer in answers}
        for parcel in parcels:
            self._settle(parcel, by_id.get(parcel.attempt.attempt_id))
        failpoint("node.announced")

    def _settle(self, parcel: Parcel, answer: dict[str, Any] | None) -> None:
        """Forgets an accepted or finally refused parcel; sends one that is worth it again."""
        if answer is not None and answer["accepted"]:
            self.delivered += 1
            log.info("delivered", extra=trail.ids_of(parcel.attempt))
            return self._drop([parcel])
        error = (answer or {}).get("error") or {"code": "NO_ANSWER", "message": "", "retryable": False}
        parcel.tries += 1
        if error.get("retryable") and parcel.tries < MAX_TRIES:
            self._parcels.put(parcel)
            return None
        log.warning("result not accepted", extra={**trail.ids_of(parcel.attempt), "error": error})
        return self._drop([parcel])

    def _report_failures(self, parcels: list[Parcel]) -> None:
        if not parcels:
            return
        items = [
            {**parcel.attempt.reference, "code": parcel.failure.code.value, "message": parcel.failure.message[:1000],
             "log_tail": parcel.failure.log_tail[-4000:], **_exit_of(parcel.failure)}
            for parcel in parcels if parcel.failure is not None
        ]
        try:
            self._client.call("/failures", {"failures": items}, self._patience_seconds)
        except (HubRefused, HubAway) as trouble:
            log.warning("failures could not be reported", extra={"reason": str(trouble)})
        self._drop(parcels)

    def _drop(self, parcels: list[Parcel]) -> None:
        for parcel in parcels:
            self._held.remove(parcel.attempt)
            if parcel.file is not None:
                parcel.file.unlink(missing_ok=True)


def _exit_of(failure: WorkFailed) -> dict[str, Any]:
    return {} if failure.exit_code is None else {"exit_code": failure.exit_code, "seconds": round(failure.seconds, 3)}


def _facts_of(parcel: Parcel) -> dict[str, Any]:
    """What is said of a file beside its hash and size."""
    if parcel.output is not None:
        return {"seconds": round(parcel.output.seconds, 3), "content_type": parcel.output.content_type}
    picture = parcel.picture
    assert picture is not None
    return {
        "seconds": round(picture.seconds, 3), "device": picture.device, "fell_back": picture.fell_back,
        "peak_memory_bytes": picture.peak_memory_bytes, "warnings": picture.warnings[:MAX_WARNINGS],
        "settings": picture.settings,
    }


def _report_of(parcel: Parcel) -> dict[str, Any]:
    return {**parcel.attempt.reference, "seconds": round(parcel.seconds, 3), "report": parcel.report}
