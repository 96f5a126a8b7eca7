"""What a participant's workers and payouts come to."""

import uuid
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from decimal import Decimal

from sqlalchemy import any_, func, literal, select
from sqlalchemy.orm import Session

from app.models.accounts import Account
from app.models.participants import Participant
from app.models.payouts import Payout
from app.models.workers import CocoonWorker
from app.values.money import DECIMALS

ASSET = "TON"
Counts = dict[int, tuple[int, int]]
"""Of each participant: how many workers, and how many of them are active."""


@dataclass(frozen=True, slots=True)
class Figures:
    """A participant with its figures. `total_revenue` is what it was paid, or will be: nothing that was called off;
    in TON, and no Money, since a sum may be more than an amount can be."""

    participant: Participant
    is_operator: bool
    total_workers: int
    active_workers: int
    total_revenue: Decimal
    total_payouts: int


def of(session: Session, rows: Sequence[Participant]) -> list[Figures]:
    """The rows with their figures, in the same order; three queries, however many there are."""
    ids = [row.id for row in rows]
    operators = _operators(session, {row.account_id for row in rows})
    paid, workers = _payouts(session, ids), _workers(session, ids)
    return [
        Figures(row, row.account_id in operators, *workers.get(row.id, (0, 0)), *paid.get(row.id, (Decimal(0), 0)))
        for row in rows
    ]


def _operators(session: Session, account_ids: Collection[uuid.UUID]) -> set[uuid.UUID]:
    query = select(Account.id).where(Account.id.in_(account_ids), literal("operator") == any_(Account.roles))
    return set(session.scalars(query))


def _payouts(session: Session, ids: Sequence[int]) -> dict[int, tuple[Decimal, int]]:
    query = (
        select(Payout.participant_id, func.sum(Payout.amount_minor), func.count())
        .where(Payout.participant_id.in_(ids), Payout.asset == ASSET, Payout.state != "cancelled")
        .group_by(Payout.participant_id)
    )
    return {int(found or 0): (Decimal(minor).scaleb(-DECIMALS[ASSET]), count) for found, minor, count in session.execute(query)}


def _workers(session: Session, ids: Sequence[int]) -> Counts:
    """Of those that have any."""
    query = (
        select(CocoonWorker.participant_id, func.count(), func.count().filter(CocoonWorker.is_active))
        .where(CocoonWorker.participant_id.in_(ids))
        .group_by(CocoonWorker.participant_id)
    )
    return {found: (total, active) for found, total, active in session.execute(query)}
