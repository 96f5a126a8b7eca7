"""A job's three states, and why it ended, in RoboCompute's seven words: one total function."""

from itertools import product

from app.values.states import JobState, PaymentState, UnitState

PENDING, ACCEPTED, RUNNING, COMPLETED, FAILED, CANCELLED, TIMEOUT = WORDS = (
    "pending", "accepted", "running", "completed", "failed", "cancelled", "timeout",
)  # fmt: skip
OVER = (COMPLETED, FAILED, CANCELLED, TIMEOUT)  # nothing follows any of these
TIMED_OUT = "TIMEOUT"
"""The reason code of a task that ran for as long as its owner allowed."""

States = tuple[PaymentState, UnitState, JobState, bool]
"""Of a task: payment, its one unit, its job, and whether it is its own time that ended it."""

_ENDS = {JobState.COMPLETED: COMPLETED, JobState.FAILED: FAILED, JobState.CANCELLED: CANCELLED}
_UNDER_WAY = {
    UnitState.QUEUED: PENDING,
    UnitState.ASSIGNED: ACCEPTED,
    UnitState.RENDERING: RUNNING,
    UnitState.UPLOADED: RUNNING,
    UnitState.COMPLETED: RUNNING,  # its job is completed in the same transaction
    UnitState.FAILED: PENDING,  # and here failed
    UnitState.CANCELLED: PENDING,
}


def word(payment: PaymentState, unit: UnitState, job: JobState, is_timeout: bool) -> str:
    """What is not paid waits, whatever else is said of it; time that is up fails a job and completes none."""
    if job in _ENDS:
        return TIMEOUT if is_timeout and job == JobState.FAILED else _ENDS[job]
    return PENDING if payment in (PaymentState.NONE, PaymentState.PENDING) else _UNDER_WAY[unit]


def states_of(wanted: str) -> list[States]:
    """Every combination that reads so."""
    return [states for states in product(PaymentState, UnitState, JobState, (False, True)) if word(*states) == wanted]


def percent(job: JobState, progress: float) -> int:
    """How far it is, of a hundred; all the way only when it is completed."""
    return 100 if job == JobState.COMPLETED else min(99, round(progress * 100))  # 29 of 100 is 28.999… as a fraction
