"""What a stream of a task's updates knows, whoever reads its socket: where it stands, and what an end of the socket means.

In:  {action: subscribe, task_id, after?}: everything of a higher sequence than `after`, then what happens
Out: {task_id, status, progress, …, sequence}, until a status that is the last; where some before it were not kept, `skipped`
     says how many · {error: {code, message, details}} · and what is neither
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field

import httpx
from websockets.exceptions import ConnectionClosed, InvalidStatus

from robocompute import answers, documents
from robocompute.calls import segment
from robocompute.documents import Document
from robocompute.exceptions import (
    AuthenticationError,
    NetworkError,
    PermissionDeniedError,
    RateLimitError,
    RoboComputeError,
    ServerError,
    TaskNotFoundError,
)
from robocompute.exchanges import Caller
from robocompute.retries import PASSING, RetryPolicy
from robocompute.signing import Signer

OVER = frozenset({"completed", "failed", "cancelled", "timeout"})
"""The statuses after which nothing happens to a task."""
RECONNECTING = RetryPolicy(attempts=12, first_seconds=0.25, longest_seconds=60.0)
REFUSALS: dict[int, tuple[type[RoboComputeError], str]] = {
    4001: (AuthenticationError, "UNAUTHENTICATED"),
    4003: (PermissionDeniedError, "FORBIDDEN"),
    4004: (TaskNotFoundError, "TASK_NOT_FOUND"),
}
"""Close codes that another try would get again."""
OPEN_SECONDS, PING_SECONDS = 15.0, 20.0


class Gap(Exception):
    """An update is missing before the one that came: the stream is to be opened again from where it stood. (What is then still
    missing, the API has not kept.)"""


@dataclass(slots=True)
class Subscription:
    """`sequence` is of the last update that was passed on; each is passed on once, and in order."""

    task_id: str
    policy: RetryPolicy = field(default_factory=lambda: RECONNECTING)
    sequence: int | None = None
    is_over: bool = False
    _is_fresh: bool = True
    _is_clock_set: bool = False
    _tries: int = 0

    def address(self, caller: Caller) -> str:
        base = caller.base_url.replace("http", "ws", 1)
        return f"{base}/tasks/{segment(self.task_id, 'task_id')}/stream"

    def headers(self, caller: Caller) -> dict[str, str]:
        """Signed anew for each opening."""
        return caller.sign("GET", httpx.URL(self.address(caller)))

    def request(self) -> str:
        """What to say first on a socket that was just opened."""
        self._is_fresh = True
        asked: dict[str, object] = {"action": "subscribe", "task_id": self.task_id}
        return json.dumps(asked if self.sequence is None else asked | {"after": self.sequence})

    def hear(self, text: str | bytes) -> Document | None:
        """The update to pass on; None for one that was passed on before, for what is none. Raises Gap, or the error that came."""
        said = _read(text)
        self._tries = 0
        if "status" not in said:
            if "error" in said:
                raise answers.error_of(None, {}, text if isinstance(text, bytes) else text.encode())
            return None
        sequence = said.get("sequence")
        if isinstance(sequence, int):
            if self.sequence is not None and sequence <= self.sequence:
                return None
            is_explained = self._is_fresh or "skipped" in said
            if self.sequence is not None and sequence > self.sequence + 1 and not is_explained:
                raise Gap
            self.sequence, self._is_fresh = sequence, False
        self.is_over = said["status"] in OVER
        return said

    def pause_seconds(self, error: BaseException | None, signer: Signer) -> float:
        """How long to wait before the socket is opened again. Raises what another try can't mend, and what it did not."""
        if isinstance(error, Gap):
            return 0.0
        refusal, asked_seconds = _refusal(error, self.task_id), None
        if refusal is not None and not self._is_clock_set and signer.set_clock(refusal.details.get("server_time")):
            self._is_clock_set = True
            return 0.0
        if isinstance(refusal, RateLimitError):
            asked_seconds = refusal.retry_after
        elif refusal is not None:
            raise refusal from error
        self._tries += 1
        pause = self.policy.pause_seconds(self._tries, asked_seconds)
        if pause is None and refusal is not None:
            raise refusal from error
        if pause is None:
            told = f"{type(error).__name__}: {error}" if error else "it ends before the task does"
            raise NetworkError(f"the stream of task {self.task_id} can't be kept open ({told})") from error
        return pause


def _read(text: str | bytes) -> Document:
    try:
        return documents.read(text)
    except ValueError as error:
        raise ServerError(f"the stream says what is no JSON object ({error})", "UNREADABLE_ANSWER") from error


def _refusal(error: BaseException | None, task_id: str) -> RoboComputeError | None:
    """The error of a handshake or a close that says no, and not that it has trouble for the moment."""
    if isinstance(error, InvalidStatus):
        answer = error.response
        if answer.status_code not in PASSING:
            return answers.error_of(answer.status_code, answer.headers, bytes(answer.body or b""))
    if isinstance(error, ConnectionClosed) and error.rcvd is not None and error.rcvd.code in REFUSALS:
        kind, code = REFUSALS[error.rcvd.code]
        return kind(error.rcvd.reason or "the stream was refused", code, {"task_id": task_id})
    return None
