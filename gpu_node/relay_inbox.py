"""What came over the relay and waits: units that were pushed and not taken yet, and answers to what was asked."""

from __future__ import annotations

import itertools
import threading
import time
from collections import OrderedDict
from collections.abc import Iterable
from typing import Any

REMEMBERED = 4096


class Unanswered(Exception):
    """The link broke before the hub answered, or it did not answer in time."""


class Inbox:
    """Pushed units in the order in which they came, and the names under which each is spoken of. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._work: dict[str, dict[str, Any]] = {}
        self._names: OrderedDict[str, dict[str, Any]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._work)

    def put(self, work: dict[str, Any], result_ref: str | None) -> None:
        """A unit that comes twice is one."""
        attempt = work["attempt"]
        names = {"job_id": attempt["job_id"], "attempt": attempt["attempt_id"], "result_ref": result_ref}
        with self._lock:
            if attempt["attempt_id"] in self._names:
                return
            self._names[attempt["attempt_id"]] = names
            while len(self._names) > REMEMBERED:
                self._names.popitem(last=False)
            self._work[attempt["attempt_id"]] = work

    def take(self, limit: int, job_id: str | None = None) -> list[dict[str, Any]]:
        """Up to `limit` units, those of `job_id` first."""
        with self._lock:
            ordered = sorted(self._work.items(), key=lambda item: item[1]["job"]["job_id"] != job_id)
            return [self._work.pop(attempt_id) for attempt_id, _ in ordered[:limit]]

    def attempt_ids(self) -> list[str]:
        with self._lock:
            return list(self._work)

    def forget(self, attempt_ids: Iterable[str]) -> None:
        """Those that are dead."""
        with self._lock:
            for attempt_id in attempt_ids:
                self._work.pop(attempt_id, None)

    def names_of(self, attempt_id: str) -> dict[str, Any]:
        """{job_id, attempt, result_ref} of a unit that was pushed to this process."""
        with self._lock:
            found = self._names.get(attempt_id)
        return dict(found) if found else {"job_id": None, "attempt": attempt_id, "result_ref": None}


class Replies:
    """Answers by the number of the request. Thread-safe."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._numbers = itertools.count(1)
        self._found: dict[int, dict[str, Any] | None] = {}
        self._broken: set[int] = set()

    def expect(self) -> int:
        with self._changed:
            number = next(self._numbers)
            self._found[number] = None
            return number

    def put(self, number: Any, answer: dict[str, Any]) -> None:
        """An answer; one that nobody waits for any more is dropped."""
        with self._changed:
            if number in self._found:
                self._found[number] = answer
                self._changed.notify_all()

    def fail(self) -> None:
        """The link broke: nothing that is still waited for will come."""
        with self._changed:
            self._broken |= {number for number, answer in self._found.items() if answer is None}
            self._changed.notify_all()

    def wait(self, numbers: list[int], seconds: float) -> list[dict[str, Any]]:
        """The answers to all of these. Raises Unanswered."""
        deadline = time.monotonic() + seconds
        with self._changed:
            while True:
                found = [self._found[number] for number in numbers]
                complete = [answer for answer in found if answer is not None]
                if len(complete) == len(numbers):
                    return complete
                if self._broken.intersection(numbers):
                    raise Unanswered("the link broke before the hub answered")
                left = deadline - time.monotonic()
                if left <= 0:
                    raise Unanswered("the hub did not answer in time")
                self._changed.wait(left)

    def drop(self, numbers: Iterable[int]) -> None:
        with self._changed:
            for number in numbers:
                self._found.pop(number, None)
                self._broken.discard(number)
