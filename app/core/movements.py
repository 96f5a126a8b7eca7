"""Every movement on an account's balances as its owner reads it, and what they add up to. Nothing here posts or locks."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY, TEXT, TIMESTAMP, UUID
from sqlalchemy.orm import Session

from app.core.statements import Span
from app.values.money import Money


@dataclass(frozen=True, slots=True)
class Movement:
    """One entry on a balance. `amount` is signed: what left is negative. `counterpart` is the kind of ledger account at the other
    end, and `is_own` whether that is the same owner's. `task_id` names a compute task, `job_id` any job. `number` is the entry's
    gap-free integer, None until the books give it."""

    id: uuid.UUID
    number: int | None
    is_credit: bool
    amount: Money
    balance_after: Money
    counterpart: str
    is_own: bool
    job_id: uuid.UUID | None
    task_id: uuid.UUID | None
    name: str | None
    description: str | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Sum:
    """What movements of one sort add up to, signed."""

    is_credit: bool
    counterpart: str
    is_own: bool
    amount: Money


@dataclass(frozen=True, slots=True)
class Totals:
    """Of one asset: `opening` and all of `sums` add up to `closing`. `spent` is what tasks were charged in that time."""

    opening: Money
    closing: Money
    sums: tuple[Sum, ...]
    spent: Money
    tasks_charged: int


_SIGNED = "CASE e.direction WHEN 'DEBIT' THEN -e.amount_minor ELSE e.amount_minor END"
_ENTRIES = """
FROM ledger_accounts a JOIN entries e ON e.account_id = a.id JOIN transfers t ON t.id = e.transfer_id
JOIN ledger_accounts other ON other.id = CASE e.direction WHEN 'CREDIT' THEN t.source_id ELSE t.destination_id END"""
_OWN = "a.owner_id = :owner_id AND a.kind = 'balance' AND a.asset = ANY(:assets)"
_WITHIN = """(CAST(:since AS timestamptz) IS NULL OR {column} >= :since)
    AND (CAST(:until AS timestamptz) IS NULL OR {column} < :until)"""
_TYPES = (
    bindparam("owner_id", type_=UUID(as_uuid=True)),
    bindparam("assets", type_=ARRAY(TEXT())),
    bindparam("since", type_=TIMESTAMP(timezone=True)),
    bindparam("until", type_=TIMESTAMP(timezone=True)),
)
_PAGE = text(f"""
SELECT e.id, n.number, e.direction = 'CREDIT' AS is_credit, {_SIGNED} AS minor, a.asset, e.balance_after_minor, other.kind,
    other.owner_id IS NOT DISTINCT FROM a.owner_id AS is_own, t.job_id, k.job_id AS task_id, j.name, t.description, e.created_at
{_ENTRIES}
LEFT JOIN entry_numbers n ON n.entry_id = e.id LEFT JOIN jobs j ON j.id = t.job_id LEFT JOIN tasks k ON k.job_id = t.job_id
WHERE {_OWN} AND {_WITHIN.format(column="e.created_at")}
ORDER BY e.sequence DESC LIMIT :limit OFFSET :offset""").bindparams(*_TYPES)
_SUMS = text(f"""
SELECT a.asset, e.direction = 'CREDIT' AS is_credit, other.kind, other.owner_id IS NOT DISTINCT FROM a.owner_id AS is_own,
    coalesce(sum({_SIGNED}) FILTER (WHERE e.created_at < :since), 0) AS before,
    coalesce(sum({_SIGNED}) FILTER (WHERE {_WITHIN.format(column="e.created_at")}), 0) AS within
{_ENTRIES} WHERE {_OWN} GROUP BY 1, 2, 3, 4""").bindparams(*_TYPES)
_CHARGED = text(f"""
SELECT a.asset, count(*) AS tasks, sum(a.earned_minor + a.fee_minor) AS minor FROM task_holds a
WHERE a.account_id = :owner_id AND a.asset = ANY(:assets) AND a.state = 'captured' AND {_WITHIN.format(column="a.ended_at")}
GROUP BY a.asset""").bindparams(*_TYPES)


def page(
    session: Session, owner_id: uuid.UUID, assets: Sequence[str], span: Span, limit: int, offset: int
) -> list[Movement]:
    """The movements on an account's balances in these assets, the newest first."""
    wanted = {**_wanted(owner_id, assets, span), "limit": limit, "offset": offset}
    return [_movement(row) for row in session.execute(_PAGE, wanted)]


def totals(session: Session, owner_id: uuid.UUID, assets: Sequence[str], span: Span) -> dict[str, Totals]:
    """What all movements within the span add up to, by asset; one that was never held is there, too."""
    wanted = _wanted(owner_id, assets, span)
    rows = list(session.execute(_SUMS, wanted))
    charged = {row.asset: row for row in session.execute(_CHARGED, wanted)}
    return {asset: _totals(asset, [row for row in rows if row.asset == asset], charged.get(asset)) for asset in assets}


def _wanted(owner_id: uuid.UUID, assets: Sequence[str], span: Span) -> dict[str, Any]:
    return {"owner_id": owner_id, "assets": list(assets), "since": span.since, "until": span.until}


def _totals(asset: str, rows: Sequence[Any], charged: Any) -> Totals:
    opening = sum(int(row.before) for row in rows)
    sums = tuple(Sum(row.is_credit, row.kind, row.is_own, Money(int(row.within), asset)) for row in rows if row.within)
    spent = Money(int(charged.minor), asset) if charged else Money(0, asset)
    closing = opening + sum(item.amount.minor for item in sums)
    return Totals(Money(opening, asset), Money(closing, asset), sums, spent, charged.tasks if charged else 0)


def _movement(row: Any) -> Movement:
    return Movement(
        id=row.id,
        number=row.number,
        is_credit=row.is_credit,
        amount=Money(int(row.minor), row.asset),
        balance_after=Money(int(row.balance_after_minor), row.asset),
        counterpart=row.kind,
        is_own=row.is_own,
        job_id=row.job_id,
        task_id=row.task_id,
        name=row.name or None,
        description=row.description,
        created_at=row.created_at,
    )
