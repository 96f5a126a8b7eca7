"""What participants' workers earned becomes, period by period, a payout that an operator approves.

The Cocoon network pays the pool's own wallets. That income is not on the ledger before it is somebody's: an approval brings it
on, from the platform's party `pool` (what the network owes, or has paid, to the pool) to the participant's balance and to
the fees, and takes the balance out again as a payout. All of it happens in the transaction of the approval, or nothing.
"""

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import exists, func, or_, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from app.core import ledger, participants, payout_addresses, payouts, worker_earnings
from app.core.ledger import Party
from app.core.participants import Among
from app.core.payouts import Facts, PayoutRules
from app.core.worker_earnings import WorkerEarning
from app.errors import Conflict, NotFound
from app.models.participants import Participant
from app.models.payout_proposals import PayoutProposal
from app.models.payouts import Payout
from app.models.workers import CocoonWorker
from app.values import clock
from app.values.money import DOWN, Money, from_decimal
from app.values.payouts import TON
from app.values.purposes import Purpose

ASSET = "TON"
PROPOSED, APPROVED, REJECTED = "proposed", "approved", "rejected"
STATES = (PROPOSED, APPROVED, REJECTED)
REFERENCE = "cocoon:proposal:"
LATE = timedelta(hours=1)  # what a worker said at a period's end is in its history by then
MONDAY = datetime(1970, 1, 5, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Terms:
    """How long a period is, what share a participant has that has none of its own, and below what nothing is proposed yet."""

    period: timedelta
    share_percent: Decimal
    least: Money


def period_start(moment: datetime, period: timedelta) -> datetime:
    """The start of the period that a moment lies in; periods are counted from a Monday's midnight in UTC."""
    return moment - (moment - MONDAY) % period


def waiting(session: Session, period: timedelta) -> list[tuple[int, datetime]]:
    """Active participants with workers for whom a period is over, each with the start of what was not proposed yet."""
    end = period_start(clock.now() - LATE, period)
    last = func.max(PayoutProposal.period_end)
    query = (
        select(Participant.id, Participant.created_at, last)
        .outerjoin(PayoutProposal, PayoutProposal.participant_id == Participant.id)
        .where(Participant.is_active, exists().where(CocoonWorker.participant_id == Participant.id))
        .group_by(Participant.id)
        .having(or_(last.is_(None), last < end))
    )
    starts = [(found, proposed or period_start(made, period)) for found, made, proposed in session.execute(query)]
    return [(found, start) for found, start in starts if start < end]


def propose(session: Session, participant_id: int, start: datetime, terms: Terms) -> int | None:
    """Propose what a participant's workers earned from `start` to the end of the last whole period; the proposal's id.

    None, and nothing written, where that is less than the least: it is proposed with what comes after. None, too, when somebody
    else just proposed from `start` on: of any number at once, one does it.
    """
    end = period_start(clock.now() - LATE, terms.period)
    share = participants.get(session, participant_id).share_percent
    percent = terms.share_percent if share is None else share
    found = worker_earnings.by_worker(session, participant_id, start, end)
    earned = worker_earnings.bounded(sum(item.weighed.minor for item in found))
    amount = from_decimal(earned.decimal * percent / 100, ASSET, DOWN)
    if amount.minor <= 0 or amount < terms.least:
        return None
    sharing = worker_earnings.sharing(session, [item.worker_id for item in found])
    row = {
        "participant_id": participant_id,
        "period_start": start,
        "period_end": end,
        "earned_minor": earned.minor,
        "share_percent": percent,
        "amount_minor": amount.minor,
        "total_requests": min(sum(item.requests for item in found), worker_earnings.COUNT_MOST),
        "total_compute_time_seconds": min(sum(item.seconds for item in found), worker_earnings.COUNT_MOST),
        "workers": [_kept(item, sharing.get(item.worker_id, [])) for item in found],
        "state": PROPOSED,
        "created_at": clock.now(),
    }
    return session.scalar(insert(PayoutProposal).values(row).on_conflict_do_nothing().returning(PayoutProposal.id))


def _kept(item: WorkerEarning, shares_with: list[int]) -> dict[str, Any]:
    return {
        "worker_id": item.worker_id,
        "worker_name": item.worker_name,
        "earned_minor": item.earned.minor,
        "coefficient": item.coefficient,
        "shares_contract_with": shares_with,
    }


def page(
    session: Session, among: Among, limit: int, offset: int, participant_id: int | None = None, state: str | None = None
) -> list[tuple[PayoutProposal, int | None]]:
    """Proposals, the newest first, each with its payout's number once it has one."""
    query = select(PayoutProposal, Payout.number).outerjoin(Payout, Payout.id == PayoutProposal.payout_id)
    if among is not None:
        query = query.where(PayoutProposal.participant_id.in_(among))
    if participant_id is not None:
        query = query.where(PayoutProposal.participant_id == participant_id)
    if state is not None:
        query = query.where(PayoutProposal.state == state)
    rows = session.execute(query.order_by(PayoutProposal.id.desc()).limit(limit).offset(offset))
    return [(row, number) for row, number in rows]


def approve(session: Session, proposal_id: int, approver: uuid.UUID, rules: PayoutRules) -> tuple[PayoutProposal, int]:
    """Bring the earnings onto the ledger and order the payout; the proposal, and the payout's number.

    Approved again it is the same payout: the proposal's row decides, and every reference is its own. Refused, and nothing done,
    where the engine would not pay (no address, a cool-off, less than the minimum). Conflict for one that was rejected.
    """
    row = _locked(session, proposal_id)
    if row.state == APPROVED:
        return row, session.scalars(select(Payout.number).where(Payout.id == row.payout_id)).one()
    if row.state == REJECTED:
        raise Conflict(f"This proposal was rejected: {row.rejected_because}", code="PROPOSAL_REJECTED")
    payout = _pay(session, row, participants.get(session, row.participant_id), rules)
    row.state, row.payout_id, row.approved_by, row.approved_at = APPROVED, payout.id, approver, clock.now()
    session.flush()
    return row, payout.number


def reject(session: Session, proposal_id: int, operator: uuid.UUID, reason: str) -> PayoutProposal:
    """Decide that a proposal is not paid; what its period holds is not proposed again. Rejected again it stays as it is.

    Conflict for one that was approved: its payout is on its way.
    """
    row = _locked(session, proposal_id)
    if row.state == APPROVED:
        raise Conflict("This proposal was approved: its payout is on its way", code="PROPOSAL_APPROVED")
    if row.state == PROPOSED:
        row.state, row.rejected_by, row.rejected_at, row.rejected_because = REJECTED, operator, clock.now(), reason
        session.flush()
    return row


def _locked(session: Session, proposal_id: int) -> PayoutProposal:
    query = select(PayoutProposal).where(PayoutProposal.id == proposal_id).with_for_update()
    row = session.scalars(query.execution_options(populate_existing=True)).one_or_none()
    if row is None:
        raise NotFound("Proposal not found", code="PROPOSAL_UNKNOWN")
    return row


def _pay(session: Session, row: PayoutProposal, participant: Participant, rules: PayoutRules) -> Payout:
    amount, account = Money(row.amount_minor, ASSET), participant.account_id
    rest = Money(row.earned_minor, ASSET) - amount
    reference = f"{REFERENCE}{row.id}"
    told = f"Cocoon earnings of {row.period_start:%Y-%m-%d} to {row.period_end:%Y-%m-%d}"
    pool, balance = Party("pool"), Party("balance", account)
    ledger.post(session, pool, balance, amount, f"{reference}:earned", purpose=Purpose.EARNING, description=told)
    if rest.minor:
        ledger.post(session, pool, Party("fees"), rest, f"{reference}:fee")
    facts = Facts(
        participant_id=participant.id,
        period_start=row.period_start,
        period_end=row.period_end,
        total_requests=row.total_requests,
        total_compute_time_seconds=row.total_compute_time_seconds,
    )
    signed_for = payout_addresses.usable(session, account, TON)
    return payouts.request(
        session, account, amount, reference, rules, signed_for.address if signed_for else participant.wallet, facts
    )
