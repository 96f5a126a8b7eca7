"""Who may follow a task over its stream, and how what it is told is written."""

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from app.api import allowances, security
from app.api.moments import written
from app.api.robocompute import document
from app.core import tasks
from app.db import Session
from app.models.task_logs import TaskChange, TaskLogLine
from app.values import task_states
from app.values.states import JobState, PaymentState, UnitState

SCOPE = "tasks:read"


@dataclass(frozen=True, slots=True)
class Pass:
    """Whose socket it is, which task it may follow, what its handshake's answer says beside, and how to ask again later whether
    its credential still holds."""

    account_id: uuid.UUID
    job_id: uuid.UUID
    headers: Mapping[str, str]
    renew: Callable[[Session], None]


def admit(session: Session, task_id: str) -> Pass:
    """The owner of the task, by the request's credential. Errors as `security.caller`; NotFound for another's task."""
    token = security.credential()
    found = security.identify(session, token, SCOPE) if token else security.caller(session, SCOPE)
    job_id = tasks.get_own(session, found.account_id, tasks.read_id(task_id)).job.id

    def renew(later: Session) -> None:
        # A wallet's signature was for the handshake; what can end since then is the key or the sign-in.
        security.identify(later, str(token), SCOPE, is_wallet_signed=True)

    return Pass(found.account_id, job_id, allowances.headers(), renew)


class Words:
    """Updates, lines and errors as RoboCompute writes them."""

    error = staticmethod(document.error_body)

    @staticmethod
    def update(change: TaskChange) -> dict[str, Any]:
        return {
            "task_id": str(change.job_id),
            "sequence": change.sequence,
            "status": status(change),
            "progress": task_states.percent(JobState(change.job_state), change.progress),
            "reason": change.reason_code,
            "timestamp": written(change.noted_at),
        }

    @staticmethod
    def is_over(change: TaskChange) -> bool:
        return status(change) in task_states.OVER

    @staticmethod
    def line(line: TaskLogLine) -> dict[str, Any]:
        return {
            "sequence": line.sequence,
            "timestamp": written(line.logged_at),
            "level": line.level,
            "message": line.message,
        }


def status(change: TaskChange) -> str:
    """The dialect's word for a task's states."""
    states = PaymentState(change.payment_state), UnitState(change.unit_state), JobState(change.job_state)
    return task_states.word(*states, change.reason_code == task_states.TIMED_OUT)
