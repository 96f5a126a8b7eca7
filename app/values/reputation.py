"""How ends of work become a reputation. A newcomer has 0, and nobody less: a new identity is never better than the old one."""

import math
from enum import StrEnum


class Outcome(StrEnum):
    """How a provider's work for a client ended. TIMEOUT: it ran into the limit that the client had set; LATE: it was not begun in
    time; LOST: the provider fell silent with it; CANCELLED: the client did not want it any more; EXITED: its container ended by
    itself with another status than 0; DISPUTED: a decision found the result bad."""

    COMPLETED = "completed"
    TIMEOUT = "timeout"
    LATE = "late"
    LOST = "lost"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXITED = "exited"
    DISPUTED = "disputed"


# (good, bad, proven bad) of each. What a client says of a provider is bounded (CLIENT_MOST); what a decision has found is not.
WEIGHTS: dict[Outcome, tuple[float, float, float]] = {
    Outcome.COMPLETED: (1.0, 0.0, 0.0),
    Outcome.TIMEOUT: (0.25, 0.25, 0.0),  # a slow machine, or a client that let it run for as long as it paid for
    Outcome.LATE: (0.0, 0.5, 0.0),
    Outcome.LOST: (0.0, 0.5, 0.0),
    Outcome.FAILED: (0.0, 1.0, 0.0),
    Outcome.CANCELLED: (0.0, 0.0, 0.0),
    Outcome.EXITED: (0.0, 0.0, 0.0),  # nobody's name can be spoilt, or made, by a command that fails
    Outcome.DISPUTED: (0.0, 0.0, 10.0),
}
HALF_LIFE_DAYS = 180
CLIENT_MOST = 10.0  # one client's tasks weigh no more than this, in the proportion of good and bad that they have
DAYS_TO_HALF = 7  # days with good work after which half of it counts: time is what nobody can buy
_Z = 1.6449  # the share of good work is above the bound in 95 of 100 cases


def lower_bound(good: float, bad: float) -> float:
    """The share of good work, as low as these figures allow (Wilson's bound, one-sided, 95 %); 0 where there are none."""
    whole = good + bad
    if good <= 0.0 or whole <= 0.0:
        return 0.0
    square = _Z * _Z
    spread = _Z * math.sqrt(good * bad / whole + square / 4)
    return max(0.0, good + square / 2 - spread) / (whole + square)


def score(good: float, bad: float, days: int) -> float:
    """A reputation, 0 to 1: the bound, less for who has not been at work on many days."""
    return lower_bound(good, bad) * days / (days + DAYS_TO_HALF)
