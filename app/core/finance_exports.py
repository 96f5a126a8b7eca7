"""All payouts of all chains and dialects, as finance books them."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.models.accounts import Account
from app.models.participants import Participant
from app.models.payouts import Payout


@dataclass(frozen=True, slots=True)
class Wanted:
    """`since` and `until` (exclusive) are moments of the transaction, of the order where there is none; None does not narrow."""

    chain: str | None = None
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class FinanceRow:
    """A payout, and what its owner calls himself."""

    payout: Payout
    name: str

    @property
    def place(self) -> int:
        return self.payout.number


def page(session: Session, wanted: Wanted, after: int | None, limit: int) -> list[FinanceRow]:
    """The next rows in the order of their numbers; each page is read in a unit of work of its own."""
    query = select(Payout, func.coalesce(Participant.username, Account.name, ""))
    query = query.join(Account, Account.id == Payout.account_id).outerjoin(Participant, Participant.id == Payout.participant_id)
    moment = func.coalesce(Payout.transaction_time, Payout.created_at)
    if after is not None:
        query = query.where(Payout.number > after)
    if wanted.chain is not None:
        query = query.where(Payout.chain == wanted.chain)
    if wanted.since is not None:
        query = query.where(moment >= wanted.since)
    if wanted.until is not None:
        query = query.where(moment < wanted.until)
    rows = session.execute(query.order_by(Payout.number).limit(limit))
    return [FinanceRow(payout, name) for payout, name in rows]
