"""The state machines of a job, and of the credits held for it. Each has one TRANSITIONS table; a test tries every pair."""

from enum import StrEnum
from typing import TypeVar

from app.errors import Conflict

S = TypeVar("S", bound=StrEnum)


class PaymentState(StrEnum):
    NONE = "none"
    PENDING = "pending"
    CONFIRMED = "confirmed"
    REFUNDED = "refunded"


class UnitState(StrEnum):
    QUEUED = "queued"
    ASSIGNED = "assigned"
    RENDERING = "rendering"
    UPLOADED = "uploaded"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


class JobState(StrEnum):
    OPEN = "open"
    PAUSED = "paused"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


class AttemptState(StrEnum):
    LIVE = "live"
    COMPLETED = "completed"
    FAILED = "failed"
    LOST = "lost"
    RELEASED = "released"
    CANCELLED = "cancelled"


class HoldState(StrEnum):
    HELD = "held"
    CAPTURED = "captured"
    RELEASED = "released"


P, U, J, A = PaymentState, UnitState, JobState, AttemptState
_UNIT_ENDS = {U.FAILED, U.CANCELLED}
HELD = (U.ASSIGNED, U.RENDERING, U.UPLOADED)  # a node has the unit, until its lease ends

# A refunded job is confirmed again only by the new hold of a replay; a failed one is open again only then.
TRANSITIONS: dict[type[StrEnum], dict[StrEnum, set[StrEnum]]] = {
    P: {P.NONE: {P.PENDING, P.CONFIRMED}, P.PENDING: {P.CONFIRMED, P.NONE}, P.CONFIRMED: {P.REFUNDED}, P.REFUNDED: {P.CONFIRMED}},
    U: {
        U.QUEUED: {U.ASSIGNED, *_UNIT_ENDS},
        U.ASSIGNED: {U.RENDERING, U.UPLOADED, U.QUEUED, *_UNIT_ENDS},
        U.RENDERING: {U.UPLOADED, U.QUEUED, *_UNIT_ENDS},
        U.UPLOADED: {U.COMPLETED, U.QUEUED, *_UNIT_ENDS},
        U.COMPLETED: set(),
        U.FAILED: {U.QUEUED},
        U.CANCELLED: set(),
    },
    J: {
        J.OPEN: {J.PAUSED, J.COMPLETED, J.FAILED, J.CANCELLED},
        J.PAUSED: {J.OPEN, J.FAILED, J.CANCELLED},
        J.COMPLETED: set(),
        J.FAILED: {J.OPEN},
        J.CANCELLED: set(),
    },
    A: {
        A.LIVE: {A.COMPLETED, A.FAILED, A.LOST, A.RELEASED, A.CANCELLED},
        **{state: set() for state in A if state != A.LIVE},
    },
    HoldState: {
        HoldState.HELD: {HoldState.CAPTURED, HoldState.RELEASED},
        HoldState.CAPTURED: set(),
        HoldState.RELEASED: set(),
    },
}


def advance(current: S, wanted: S) -> S:
    """Return `wanted` if the table allows the step from `current`; the one way a state changes in Python."""
    if wanted not in TRANSITIONS[type(current)][current]:
        raise Conflict(f"a {type(current).__name__} cannot go from {current} to {wanted}", code="ILLEGAL_TRANSITION")
    return wanted
