"""What the ends of tasks say of those who had them: noted for their reputation, once for each attempt.

A failure that may be the task's own fault counts only once somebody else has done the task: nobody's name can be spoilt by an
image that does not exist.
"""

import uuid

from sqlalchemy import text
from sqlalchemy.orm import Session

from app.core import reputation
from app.values.money import Money
from app.values.reputation import Outcome

# Of a container: what its image, its command or its appetite brings about on any host.
TASKS_OWN_FAULTS = {
    "EXECUTION_ERROR", "IMAGE_NOT_FOUND", "IMAGE_TOO_LARGE", "OUT_OF_MEMORY", "OUTPUT_LIMIT", "PAYLOAD_INVALID", "TIME_LIMIT",
}  # fmt: skip
_WHOSE = text("""
SELECT coalesce(a.provider_id, n.provider_id) AS provider_id, j.account_id AS client_id
FROM attempts a JOIN work_units u ON u.id = a.unit_id JOIN jobs j ON j.id = u.job_id LEFT JOIN nodes n ON n.id = a.node_id
WHERE a.id = :attempt_id
""")
_FAILED_BEFORE = text("""
SELECT a.id FROM attempts a JOIN work_units u ON u.id = a.unit_id
WHERE u.job_id = :job_id AND u.kind = 'container' AND a.state = 'failed' ORDER BY a.id
""")


def note(session: Session, attempt_id: uuid.UUID, outcome: Outcome, earned: Money | None = None, seconds: int = 0) -> None:
    """An attempt at a task has ended so. Nothing where it was no provider's: a node of nobody has no reputation."""
    row = session.execute(_WHOSE, {"attempt_id": attempt_id}).one()
    if row.provider_id is not None and row.client_id is not None:
        reputation.note(session, row.provider_id, row.client_id, outcome, attempt_id, earned, seconds)


def note_failure(session: Session, attempt_id: uuid.UUID, code: str) -> None:
    """Somebody could not do a task."""
    if code not in TASKS_OWN_FAULTS:
        note(session, attempt_id, Outcome.FAILED)


def note_completed(session: Session, job_id: uuid.UUID, attempt_id: uuid.UUID, earned: Money, seconds: int) -> None:
    """Somebody has done a task; whoever failed at it before has no excuse left."""
    note(session, attempt_id, Outcome.COMPLETED, earned, seconds)
    for row in session.execute(_FAILED_BEFORE, {"job_id": job_id}).all():
        note(session, row.id, Outcome.FAILED)
