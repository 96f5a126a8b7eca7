"""What containers print and use, on its way to the hub (PROTOCOL.md, section 10): numbered here, so that sending a batch again is
harmless, and bounded, so that a hub that is away or a container that prints for ever fills nothing.

What does not fit is dropped, the oldest first, and leaves a gap in the numbers, by which the hub knows.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol

from gpu_node import trail
from gpu_node.attempts import Attempt
from gpu_node.client import HubAway, HubClient, HubRefused

log = logging.getLogger(__name__)

MAX_WAITING_LINES, MAX_WAITING_CHARACTERS = 10_000, 4_000_000
MAX_BATCH_LINES, MAX_BATCH_CHARACTERS = 400, 150_000  # a JSON body of at most 1 MiB, however its characters are written
PAUSE_SECONDS, AWAY_SECONDS, PATIENCE_SECONDS = 0.5, 5.0, 20.0
KEPT_SECONDS = 90.0  # the hub takes what is late for two minutes


class Line(Protocol):
    """One line as a runner hands it over; the time is ISO 8601, the level as the hub knows it, in any case."""

    @property
    def timestamp(self) -> str: ...

    @property
    def level(self) -> str: ...

    @property
    def message(self) -> str: ...


@dataclass
class _Waiting:
    """What the hub has not of one attempt."""

    attempt: Attempt
    lines: deque[dict[str, Any]] = field(default_factory=deque)
    characters: int = 0
    figures: tuple[str, dict[str, float]] | None = None
    ends_at: float | None = None

    @property
    def is_empty(self) -> bool:
        return not self.lines and self.figures is None

    def add(self, lines: Iterable[Line]) -> None:
        for line in lines:
            self.attempt.lines_printed += 1
            item = {"timestamp": line.timestamp, "level": line.level.upper(), "message": line.message}
            self.lines.append({"number": self.attempt.lines_printed, **item})
            self.characters += len(line.message)
        while len(self.lines) > MAX_WAITING_LINES or self.characters > MAX_WAITING_CHARACTERS:
            self.characters -= len(self.lines.popleft()["message"])

    def batch(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        left = MAX_BATCH_CHARACTERS
        for line in self.lines:
            left -= len(line["message"])
            if found and (left < 0 or len(found) == MAX_BATCH_LINES):
                break
            found.append(line)
        return found

    def forget_up_to(self, number: int) -> None:
        while self.lines and self.lines[0]["number"] <= number:
            self.characters -= len(self.lines.popleft()["message"])


class TaskLogs(threading.Thread):
    """`write` and `note` return at once; a thread of its own tells the hub. Thread-safe."""

    def __init__(self, client: HubClient) -> None:
        super().__init__(name="task-logs", daemon=True)
        self._client = client
        self._changed = threading.Condition()
        self._waiting: dict[str, _Waiting] = {}
        self._is_closing = False

    def write(self, attempt: Attempt, lines: Iterable[Line]) -> None:
        """What an attempt's container printed, in its order."""
        with self._changed:
            self._of(attempt).add(lines)
            self._changed.notify_all()

    def note(self, attempt: Attempt, figures: Mapping[str, float | None]) -> None:
        """What it uses now. The newest one is told; what nobody can say is left out."""
        known = {name: value for name, value in figures.items() if value is not None}
        if not known:
            return
        with self._changed:
            self._of(attempt).figures = (_now(), known)
            self._changed.notify_all()

    def finish(self, attempt: Attempt, seconds: float) -> bool:
        """The attempt prints nothing more: wait until the hub has it all, so that its owner reads it before it hears of the end.
        False where `seconds` were not enough; what is left is told a little later, if the hub is back by then."""
        deadline = time.monotonic() + seconds
        with self._changed:
            found = self._waiting.get(attempt.attempt_id)
            if found is None:
                return True
            found.ends_at = time.monotonic() + KEPT_SECONDS
            self._changed.notify_all()
            return self._changed.wait_for(lambda: attempt.attempt_id not in self._waiting, deadline - time.monotonic())

    def close(self, seconds: float) -> None:
        """The node ends: what waits is told, as far as that can be done in so long."""
        with self._changed:
            self._is_closing = True
            self._changed.notify_all()
        if self.is_alive():
            self.join(seconds)

    def run(self) -> None:
        while True:
            found = self._next()
            if found is None:
                return
            try:
                is_away = not self._tell(found)
            except Exception:
                # The thread must outlive any surprise; a log that has a gap is better than none.
                log.exception("lines could not be told")
                self._drop(found)
                is_away = False
            with self._changed:
                if is_away and self._is_closing:
                    return
                # A moment's lines go together; a hub that is away is not asked at once again, however urgent it is.
                if is_away:
                    self._changed.wait_for(lambda: self._is_closing, AWAY_SECONDS)
                else:
                    self._changed.wait_for(lambda: self._is_closing or self._is_urgent(), PAUSE_SECONDS)

    def _of(self, attempt: Attempt) -> _Waiting:
        return self._waiting.setdefault(attempt.attempt_id, _Waiting(attempt))

    def _is_urgent(self) -> bool:
        """Somebody waits in `finish`."""
        return any(found.ends_at is not None and not found.is_empty for found in self._waiting.values())

    def _next(self) -> _Waiting | None:
        """Whoever has something to tell, those first whose container has ended; None once all is told and the node ends."""
        with self._changed:
            while True:
                self._forget_ended()
                ready = [found for found in self._waiting.values() if not found.is_empty]
                if ready:
                    return min(ready, key=lambda found: found.ends_at is None)
                if self._is_closing:
                    return None
                self._changed.wait()

    def _forget_ended(self) -> None:
        now = time.monotonic()
        ended = [(key, found, found.ends_at) for key, found in self._waiting.items() if found.ends_at is not None]
        over = [key for key, found, ends_at in ended if found.is_empty or ends_at < now]
        for key in over:
            del self._waiting[key]
        if over:
            self._changed.notify_all()

    def _tell(self, found: _Waiting) -> bool:
        """One batch. False where the hub was away: the same is told again."""
        with self._changed:
            lines, figures = found.batch(), found.figures
        body: dict[str, Any] = {**found.attempt.reference, "lines": lines}
        if figures is not None:
            body |= {"sampled_at": figures[0], "metrics": figures[1]}
        try:
            with trail.at(found.attempt):
                answer = self._client.call("/logs", body, PATIENCE_SECONDS)
        except HubAway as away:
            log.warning("the hub is away: lines wait", extra={"reason": str(away), "count": len(found.lines)})
            return False
        except HubRefused as refused:
            log.error("the hub did not take lines", extra={"reason": str(refused), "count": len(lines)})
            answer = {"live": True, "next": lines[-1]["number"] + 1 if lines else 0}
        self._note_answer(found, lines, figures, answer)
        return True

    def _note_answer(self, found: _Waiting, lines: list[dict[str, Any]], figures: Any, answer: dict[str, Any]) -> None:
        following = int(answer.get("next") or 0)
        with self._changed:
            found.forget_up_to(following - 1)
            if found.figures is figures:
                found.figures = None
            if not answer.get("live") and lines and following <= lines[0]["number"]:
                self._drop(found)  # somebody else's by now, and nobody reads what this one printed

    def _drop(self, found: _Waiting) -> None:
        with self._changed:
            found.lines.clear()
            found.characters, found.figures = 0, None
            self._changed.notify_all()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
