"""When a call is tried again, and after how long."""

from __future__ import annotations

import random
from dataclasses import dataclass

import httpx

# Answers of servers, and of proxies before them, that have trouble for the moment; 409 only where it says how long to wait.
PASSING = frozenset({408, 425, 500, 502, 503, 504})


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """At most `attempts` tries of a call. Pauses double from `first_seconds` up to `longest_seconds`, each shortened at random by
    up to a half, so that many clients don't come back at once. What the API asks for by Retry-After is kept to where it is no
    longer than `longest_seconds`; a longer one is the caller's to wait for (`RateLimitError.retry_after`)."""

    attempts: int = 4
    first_seconds: float = 0.25
    longest_seconds: float = 8.0

    def pause_seconds(self, attempt: int, asked_seconds: float | None = None) -> float | None:
        """Before the try after number `attempt` (from 1); None when that was the last."""
        if attempt >= self.attempts:
            return None
        if asked_seconds is not None:
            return asked_seconds if asked_seconds <= self.longest_seconds else None
        return min(self.longest_seconds, self.first_seconds * 2 ** (attempt - 1)) * random.uniform(0.5, 1)

    def after(self, attempt: int, response: httpx.Response, asked_seconds: float | None) -> float | None:
        """The pause before this call's next try; None when the response is its answer."""
        if response.status_code in PASSING:
            return self.pause_seconds(attempt, asked_seconds)
        if response.status_code in (409, 429) and asked_seconds is not None:
            return self.pause_seconds(attempt, asked_seconds)
        return None


NEVER = RetryPolicy(attempts=1)
