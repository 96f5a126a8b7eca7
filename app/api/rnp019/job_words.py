"""A job's three states in RNP-019's seven words: one total function."""

from itertools import product

from app.core.owned import States
from app.values.states import JobState, PaymentState, UnitState

PENDING_PAYMENT, QUEUED, RENDERING, PAUSED, COMPLETED, FAILED, CANCELLED = WORDS = (
    "pending_payment", "queued", "rendering", "paused", "completed", "failed", "cancelled"
)  # fmt: skip
OVER = {JobState.COMPLETED: COMPLETED, JobState.FAILED: FAILED, JobState.CANCELLED: CANCELLED}
BEGUN = frozenset(UnitState) - {UnitState.QUEUED, UnitState.ASSIGNED}


def word(payment: PaymentState, lead: UnitState, job: JobState) -> str:
    """`lead` is the job's furthest unit. What is not paid waits for that, whatever else is said of it."""
    if job in OVER:
        return OVER[job]
    if payment in (PaymentState.NONE, PaymentState.PENDING):
        return PENDING_PAYMENT
    if job == JobState.PAUSED:
        return PAUSED
    return RENDERING if lead in BEGUN else QUEUED


def states_of(wanted: str) -> list[States]:
    """Every combination of states that reads so."""
    return [states for states in product(PaymentState, UnitState, JobState) if word(*states) == wanted]
