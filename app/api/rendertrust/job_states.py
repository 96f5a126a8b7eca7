"""A job's three states in RenderTrust's five words: one total function."""

from itertools import product

from app.core.owned import States
from app.values.states import JobState, PaymentState, UnitState

QUEUED, DISPATCHED, RUNNING, COMPLETED, FAILED = WORDS = ("QUEUED", "DISPATCHED", "RUNNING", "COMPLETED", "FAILED")
OVER = {JobState.COMPLETED: COMPLETED, JobState.FAILED: FAILED, JobState.CANCELLED: FAILED}
UNDER_WAY = {
    UnitState.QUEUED: QUEUED,
    UnitState.ASSIGNED: DISPATCHED,
    UnitState.RENDERING: RUNNING,
    UnitState.UPLOADED: RUNNING,
    UnitState.COMPLETED: RUNNING,  # not the last of its job
    UnitState.FAILED: RUNNING,
    UnitState.CANCELLED: RUNNING,
}
UNPAID = (PaymentState.NONE, PaymentState.PENDING)


def word(payment: PaymentState, unit: UnitState, job: JobState) -> str:
    """`unit` is the job's furthest one; what is not paid waits, whatever else is said of it."""
    if job in OVER:
        return OVER[job]
    return QUEUED if payment in UNPAID else UNDER_WAY[unit]


def states_of(wanted: str) -> list[States]:
    """Every combination of states that reads so."""
    return [states for states in product(PaymentState, UnitState, JobState) if word(*states) == wanted]
