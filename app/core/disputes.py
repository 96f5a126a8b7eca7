"""Disputes over tasks: the buyer (or an operator) says that a result is bad, the provider answers, an operator decides.

Slashed, the task's whole cost goes back to the buyer: from the provider's stake, then its balance; the rest is its debt, which
its next earnings pay. The platform keeps its fee, so the provider loses more than it earned.
"""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import structlog
from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from app import outbox
from app.core import ledger, reputation, settlement, tasks
from app.core.ledger import Party
from app.db import after_commit
from app.errors import Conflict, InvalidInput, NotFound, Refused
from app.models.disputes import Dispute
from app.models.jobs import Job, WorkUnit
from app.models.payments import Refund
from app.models.tasks import Task, TaskHold
from app.values import clock
from app.values.money import Money
from app.values.reputation import Outcome
from app.values.states import DisputeState, HoldState, advance

log = structlog.get_logger()
GONE = "gone"  # in a hash's place: the store has the result no more
# What must be the same of two tasks for their results to be compared.
SAME = ("docker_image", "command", "environment", "has_network")


@dataclass(frozen=True, slots=True)
class Complaint:
    """What is said against a result; `grounds` is one of models.disputes.GROUNDS."""

    grounds: str
    reason: str
    expected_sha256: str | None = None
    rerun_task_id: uuid.UUID | None = None


@dataclass(frozen=True, slots=True)
class _Done:
    """A task that was paid for, and what is known of its result."""

    job: Job
    task: Task
    hold: TaskHold
    sha256: str | None


def open_dispute(
    session: Session, task_id: uuid.UUID, complaint: Complaint, within_hours: int, opened_by: uuid.UUID, is_operator: bool = False
) -> Dispute:
    """Open the dispute of a task that was completed and paid for within the last so many hours.

    The buyer may, and an operator for it. NotFound TASK_NOT_FOUND for anybody else's task, as for none; Refused for one that cost
    nothing yet, or too long ago; Conflict DISPUTE_EXISTS, with its id, where there is one.
    """
    done = _done(session, task_id, None if is_operator else opened_by)
    _assert_disputable(done, within_hours)
    if complaint.rerun_task_id is not None:
        _assert_comparable(done, _rerun(session, complaint.rerun_task_id, None if is_operator else opened_by))
    assert done.job.account_id is not None and done.hold.provider_account_id is not None
    row = {
        "id": uuid.uuid4(),
        "job_id": task_id,
        "account_id": done.job.account_id,
        "provider_id": done.task.provider_id,
        "provider_account_id": done.hold.provider_account_id,
        "opened_by": opened_by,
        "asset": done.hold.asset,
        "cost_minor": (done.hold.earned_minor or 0) + (done.hold.fee_minor or 0),
        "grounds": complaint.grounds,
        "reason": complaint.reason,
        "expected_sha256": complaint.expected_sha256,
        "rerun_job_id": complaint.rerun_task_id,
        "state": DisputeState.OPEN,
        "created_at": clock.now(),
    }
    statement = insert(Dispute).values(row).on_conflict_do_nothing(index_elements=["job_id"]).returning(Dispute)
    made = session.scalars(statement).one_or_none()
    if made is None:
        known = session.scalars(select(Dispute.id).where(Dispute.job_id == task_id)).one()
        raise Conflict("this task has its dispute", code="DISPUTE_EXISTS", details={"dispute_id": str(known)})
    outbox.write(session, "disputes.check", str(made.id))
    _tell(session, "dispute.opened", made)
    return made


def _done(session: Session, task_id: uuid.UUID, buyer: uuid.UUID | None) -> _Done:
    """The task, of this buyer where one is named."""
    query = (
        select(Job, Task, TaskHold, WorkUnit.result_sha256)
        .join(Task, Task.job_id == Job.id)
        .join(TaskHold, TaskHold.job_id == Job.id)
        .outerjoin(WorkUnit, (WorkUnit.job_id == Job.id) & (WorkUnit.kind == tasks.UNIT_KIND))
        .where(Job.id == task_id)
    )
    if buyer is not None:
        query = query.where(Job.account_id == buyer)
    found = session.execute(query).one_or_none()
    if found is None:
        raise tasks.not_found(task_id)
    return _Done(*found)


def _assert_disputable(done: _Done, within_hours: int) -> None:
    hold = done.hold
    if hold.state != HoldState.CAPTURED or hold.ended_at is None:
        raise Refused("only a task that is over and was paid for can be disputed", code="TASK_NOT_COMPLETED")
    if clock.now() > hold.ended_at + timedelta(hours=within_hours):
        raise Refused(f"a task can be disputed for {within_hours} hours after its end", code="DISPUTE_TOO_LATE")
    if hold.provider_account_id == done.job.account_id:
        raise Refused("buyer and provider of this task are one account", code="DISPUTE_OWN_TASK")


def _rerun(session: Session, task_id: uuid.UUID, buyer: uuid.UUID | None) -> _Done:
    try:
        return _done(session, task_id, buyer)
    except NotFound:
        raise InvalidInput(f"rerun_task_id: there is no task {task_id}", code="RERUN_NOT_FOUND") from None


def _assert_comparable(done: _Done, rerun: _Done) -> None:
    different = [name for name in SAME if getattr(done.task, name) != getattr(rerun.task, name)]
    if rerun.job.id == done.job.id or different:
        what = f"other {', '.join(different)}" if different else "the task itself"
        raise Refused(f"rerun_task_id: that is {what}: run the same task again", code="RERUN_DIFFERS")
    if rerun.hold.state != HoldState.CAPTURED or rerun.sha256 is None:
        raise Refused("rerun_task_id: that task has no result", code="RERUN_NOT_COMPLETED")
    if rerun.hold.provider_account_id == done.hold.provider_account_id:
        raise Refused("rerun_task_id: have it run by another provider", code="RERUN_SAME_PROVIDER")
    if rerun.hold.provider_account_id == done.job.account_id:
        raise Refused("rerun_task_id: a provider of your own proves nothing; have it run by another", code="RERUN_OWN_PROVIDER")


def answer(session: Session, dispute_id: uuid.UUID, provider_id: uuid.UUID, said: str) -> Dispute:
    """What the provider says to it; the last word counts, until it is decided. NotFound for anybody else's dispute."""
    row = locked(session, dispute_id, provider_id)
    if row.state != DisputeState.OPEN:
        raise Conflict("this dispute is decided", code="DISPUTE_DECIDED")
    row.answer, row.answered_at = said, clock.now()
    return row


def note_stored(session: Session, dispute_id: uuid.UUID, sha256: str) -> Dispute:
    """What the hub found when it read the stored result again: its hash, or GONE."""
    row = locked(session, dispute_id)
    row.stored_sha256, row.stored_checked_at = sha256, clock.now()
    return row


def reject(session: Session, dispute_id: uuid.UUID, by: str, reason: str) -> Dispute:
    """Decide for the provider: its stake is free again. Conflict DISPUTE_DECIDED where it was decided."""
    row = _decided(session, dispute_id, DisputeState.REJECTED, by, reason)
    _tell(session, "dispute.rejected", row)
    return row


def slash(session: Session, dispute_id: uuid.UUID, by: str, reason: str, penalty_minor: int = 0) -> Dispute:
    """Decide for the buyer, once: the task's cost comes back to it, from the stake first. A penalty goes to the platform, from
    what is left of the stake alone. Conflict DISPUTE_DECIDED where it was decided."""
    row = _decided(session, dispute_id, DisputeState.SLASHED, by, reason)
    provider, buyer = row.provider_account_id, row.account_id
    settlement.lock(session, {provider: (*settlement.STAKE_FIRST, "debt"), buyer: ("balance", "owed")}, row.asset)
    cost, reference = Money(row.cost_minor, row.asset), f"slash:{row.id}"
    whole = Refund(job_id=row.job_id, debtor_id=provider, creditor_id=buyer, reason="slashed")
    description = "Refund of a task with a bad result"
    taken = settlement.refund(session, whole, cost, reference, settlement.STAKE_FIRST, description)
    row.refunded_minor, row.owed_minor = taken.minor, (cost - taken).minor
    row.penalty_minor = _fine(session, row, Money(penalty_minor, row.asset)).minor
    if row.provider_id is not None:  # a node of nobody has no reputation
        reputation.note(session, row.provider_id, row.account_id, Outcome.DISPUTED, row.id)
    _tell(session, "dispute.slashed", row)
    return row


def _fine(session: Session, row: Dispute, penalty: Money) -> Money:
    taken = Money(0, row.asset)
    for kind, has in ledger.available(session, row.provider_account_id, ("stake", "unstaking"), row.asset).items():
        part = min(has, penalty - taken)
        if part.minor > 0:
            source, reference = Party(kind, row.provider_account_id), f"slash:{row.id}:penalty:{kind}"
            ledger.post(session, source, Party("fees"), part, reference, row.job_id, description="Penalty")
            taken += part
    return taken


def _decided(session: Session, dispute_id: uuid.UUID, state: DisputeState, by: str, reason: str) -> Dispute:
    row = locked(session, dispute_id)
    if row.state != DisputeState.OPEN:
        raise Conflict(f"this dispute was decided: {row.state}", code="DISPUTE_DECIDED", details={"status": row.state})
    row.state = advance(DisputeState(row.state), state)
    row.decided_at, row.decided_by, row.decision_reason = clock.now(), by, reason
    return row


def locked(session: Session, dispute_id: uuid.UUID, provider_id: uuid.UUID | None = None) -> Dispute:
    """The dispute, its row locked until the unit of work ends; NotFound where it is not this provider's, if one is named."""
    query = select(Dispute).where(Dispute.id == dispute_id).with_for_update().execution_options(populate_existing=True)
    row = session.scalars(query).one_or_none()
    if row is None or provider_id not in (None, row.provider_id):
        raise NotFound("there is no such dispute", code="DISPUTE_NOT_FOUND", details={"dispute_id": str(dispute_id)})
    return row


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which disputes are meant; None does not narrow."""

    account_id: uuid.UUID | None = None
    provider_id: uuid.UUID | None = None
    provider_account_id: uuid.UUID | None = None
    asset: str | None = None
    state: str | None = None


def page(session: Session, wanted: Wanted, limit: int, offset: int = 0) -> list[Dispute]:
    """Disputes, the newest first."""
    query = select(Dispute)
    for name in Wanted.__slots__:
        value = getattr(wanted, name)
        if value is not None:
            query = query.where(getattr(Dispute, name) == value)
    return list(session.scalars(query.order_by(Dispute.created_at.desc(), Dispute.id).limit(limit).offset(offset)))


def of_task(session: Session, task_id: uuid.UUID, buyer: uuid.UUID | None) -> Dispute:
    """A task's dispute, of this buyer where one is named; NotFound TASK_NOT_FOUND, or DISPUTE_NOT_FOUND where it has none."""
    _done(session, task_id, buyer)
    row = session.scalars(select(Dispute).where(Dispute.job_id == task_id)).one_or_none()
    if row is None:
        raise NotFound("this task has no dispute", code="DISPUTE_NOT_FOUND", details={"task_id": str(task_id)})
    return row


def findings(session: Session, row: Dispute) -> dict[str, Any]:
    """What the hub itself can say of it: hashes, and whether they are equal; None where there is nothing to compare.

    `matches_expected`: the result's hash is what the buyer expected; `matches_stored`: the stored bytes have that hash;
    `matches_rerun`: the same task, run again, gave the same.
    """
    claimed = _result_sha256(session, row.job_id)
    rerun = None if row.rerun_job_id is None else _result_sha256(session, row.rerun_job_id)
    return {
        "result_sha256": claimed,
        "rerun_sha256": rerun,
        "matches_expected": _equal(claimed, row.expected_sha256),
        "matches_stored": _equal(claimed, row.stored_sha256),
        "matches_rerun": _equal(claimed, rerun),
    }


def result_key(session: Session, dispute_id: uuid.UUID) -> str | None:
    """Where the disputed result lies in the store; None where there is none."""
    query = select(WorkUnit.result_key).join(Dispute, Dispute.job_id == WorkUnit.job_id)
    return session.scalar(query.where(Dispute.id == dispute_id, WorkUnit.kind == tasks.UNIT_KIND))


def _result_sha256(session: Session, job_id: uuid.UUID) -> str | None:
    return session.scalar(select(WorkUnit.result_sha256).where(WorkUnit.job_id == job_id, WorkUnit.kind == tasks.UNIT_KIND))


def _equal(one: str | None, other: str | None) -> bool | None:
    return None if one is None or other is None else one == other


def _tell(session: Session, event: str, row: Dispute) -> None:
    facts: Mapping[str, str] = {"dispute_id": str(row.id), "task_id": str(row.job_id), "grounds": row.grounds}
    after_commit(session, lambda: log.info(event, **facts))
