"""The state machines: of jobs, scenes, holds, anchors, payouts, stakes, disputes. Each has its TRANSITIONS; a test tries all."""

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


class SceneState(StrEnum):
    """Of an account's scene: INSPECTING once its bytes are sound, REJECTED when they are not, or Blender can't open it."""

    UPLOADING = "uploading"
    INSPECTING = "inspecting"
    READY = "ready"
    REJECTED = "rejected"


class AnchorState(StrEnum):
    """Of a tree's root: SIGNED means that the transaction's bytes are stored, SENT that a node has answered to them,
    CONFIRMED that it is in a block, FINAL that the block is as deep as ANCHOR_CONFIRMATIONS asks."""

    BUILT = "built"
    SIGNED = "signed"
    SENT = "sent"
    CONFIRMED = "confirmed"
    FINAL = "final"


class PayoutState(StrEnum):
    """Of a payout: SIGNED means that a transaction with it is stored, SENT that a node has answered to it. EXPIRED: that
    transaction has provably not paid it, so another may be signed."""

    CREATED = "created"
    SIGNED = "signed"
    SENT = "sent"
    CONFIRMED = "confirmed"
    EXPIRED = "expired"
    CANCELLED = "cancelled"


class SigningOutcome(StrEnum):
    """Of a signed transaction, once decided: LANDED paid (all or some), FAILED is on the chain and paid nothing, EXPIRED never
    got there and never will."""

    LANDED = "landed"
    FAILED = "failed"
    EXPIRED = "expired"


class HoldState(StrEnum):
    HELD = "held"
    CAPTURED = "captured"
    RELEASED = "released"


class UnstakingState(StrEnum):
    """Of a part of a stake on its way back: PENDING until its delay is over and no dispute needs it."""

    PENDING = "pending"
    RELEASED = "released"


class DisputeState(StrEnum):
    """Of a buyer's word against a provider's: SLASHED and REJECTED are decisions, each once."""

    OPEN = "open"
    SLASHED = "slashed"
    REJECTED = "rejected"


P, U, J, A = PaymentState, UnitState, JobState, AttemptState
N, X = AnchorState, PayoutState
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
        J.PAUSED: {J.OPEN, J.COMPLETED, J.FAILED, J.CANCELLED},  # completed: what nodes had at the pause was all that was left
        J.COMPLETED: set(),
        J.FAILED: {J.OPEN},
        J.CANCELLED: set(),
    },
    A: {
        A.LIVE: {A.COMPLETED, A.FAILED, A.LOST, A.RELEASED, A.CANCELLED},
        **{state: set() for state in A if state != A.LIVE},
    },
    SceneState: {
        SceneState.UPLOADING: {SceneState.INSPECTING, SceneState.REJECTED},
        SceneState.INSPECTING: {SceneState.READY, SceneState.REJECTED},
        SceneState.READY: set(),
        SceneState.REJECTED: set(),
    },
    AnchorState: {
        N.BUILT: {N.SIGNED},
        N.SIGNED: {N.SENT, N.BUILT},  # back: its chain is another one now
        N.SENT: {N.SIGNED, N.CONFIRMED, N.BUILT},  # back: a replacement was signed; another transaction has used the nonce
        N.CONFIRMED: {N.FINAL, N.SENT},  # back: the block is gone
        N.FINAL: {N.SENT},  # back: the chain has forgotten what was deep enough, as a local one does
    },
    PayoutState: {
        # straight to CONFIRMED: recorded ones, and what the chain shows to a restored backup
        X.CREATED: {X.SIGNED, X.CANCELLED, X.CONFIRMED},
        X.SIGNED: {X.SENT, X.CONFIRMED, X.EXPIRED},
        X.SENT: {X.CONFIRMED, X.EXPIRED},
        X.EXPIRED: {X.SIGNED, X.CANCELLED, X.CONFIRMED},
        X.CONFIRMED: set(),
        X.CANCELLED: set(),
    },
    HoldState: {
        HoldState.HELD: {HoldState.CAPTURED, HoldState.RELEASED},
        HoldState.CAPTURED: set(),
        HoldState.RELEASED: set(),
    },
    UnstakingState: {UnstakingState.PENDING: {UnstakingState.RELEASED}, UnstakingState.RELEASED: set()},
    DisputeState: {
        DisputeState.OPEN: {DisputeState.SLASHED, DisputeState.REJECTED},
        DisputeState.SLASHED: set(),
        DisputeState.REJECTED: set(),
    },
}


def advance(current: S, wanted: S) -> S:
    """Return `wanted` if the table allows the step from `current`; the one way a state changes in Python."""
    if wanted not in TRANSITIONS[type(current)][current]:
        raise Conflict(f"a {type(current).__name__} cannot go from {current} to {wanted}", code="ILLEGAL_TRANSITION")
    return wanted
