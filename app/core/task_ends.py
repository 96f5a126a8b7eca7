"""How a container's own end ends its task: what was asked for is done, so nobody else tries it, and the seconds that it ran are
paid for. Else a command with a typo in it would wait for provider after provider, and who prints a result and then exits with 1
would compute for nothing.
"""

import uuid
from dataclasses import dataclass

from sqlalchemy.orm import Session

from app.core import task_billing
from app.models.jobs import WorkUnit
from app.models.tasks import Task
from app.values import task_states
from app.values.states import UnitState, advance

TIME_LIMIT = "TIME_LIMIT"  # as a node says that it ended a task at its own limit
EXECUTION_ERROR = "EXECUTION_ERROR"
OWN_LIMITS = ("OUT_OF_MEMORY", "OUTPUT_LIMIT")  # what a task asked for, and used more of


@dataclass(frozen=True, slots=True)
class Exit:
    """A container has ended by itself, or at its own limit of memory or disk: with this status, not 0. `seconds` is for how long
    it ran, by the node that ran it; of a provider's software only the hub's clock counts."""

    code: int
    seconds: float = 0.0


def exit_of(code: int | None, seconds: float = 0.0) -> Exit | None:
    """None where a failure was told without a status, or with 0: then it is not the container that ended it."""
    return Exit(code, seconds) if code else None


@dataclass(frozen=True, slots=True)
class End:
    """A task that is over; `reason` is its job's reason code."""

    reason: str
    message: str


def of_failure(
    session: Session, unit: WorkUnit, attempt_id: uuid.UUID, code: str, message: str, exited: Exit | None
) -> End | None:
    """Whether the failure of this attempt, live and locked, ends its task for good; what it is to be paid by is noted then. None:
    somebody else may try."""
    if exited is not None:
        task = session.get_one(Task, unit.job_id)
        task.exit_code = exited.code
        _note_run(session, unit, attempt_id, exited.seconds)
        return End(code if code in OWN_LIMITS else EXECUTION_ERROR, message or f"it ended with status {exited.code}")
    if code == TIME_LIMIT and task_billing.is_time_up(session, unit.job_id):
        _note_run(session, unit, attempt_id, session.get_one(Task, unit.job_id).timeout_seconds)
        return End(task_states.TIMED_OUT, "it ran for as long as its owner allowed")
    return None


def _note_run(session: Session, unit: WorkUnit, attempt_id: uuid.UUID, seconds: float) -> None:
    """A node that tells of a container's end tells that it ran, too, even where the end is the first that it tells."""
    if seconds > 0:
        task_billing.note_seconds(session, attempt_id, seconds)
        if unit.state == UnitState.ASSIGNED:
            unit.state = advance(UnitState.ASSIGNED, UnitState.RENDERING)
    session.flush()
