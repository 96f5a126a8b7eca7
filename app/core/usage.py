"""What an account's tasks have used, by the second: what was charged, and what those that run have come to by now."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY, TEXT, TIMESTAMP, UUID
from sqlalchemy.orm import Session

from app.core.statements import Span
from app.values import clock, task_prices
from app.values.money import Money
from app.values.states import HoldState


@dataclass(frozen=True, slots=True)
class Usage:
    """One task that was begun. While it `is_open`, `seconds` and `amount` are what it has come to by now and at most, 0 while it
    waits to be run again; afterwards what was charged: 0 where everything was given back. `price` is per hour, as it was
    taken for, `held` what is set aside now."""

    task_id: uuid.UUID
    name: str
    is_open: bool
    is_running: bool
    seconds: int
    price: Money
    amount: Money
    held: Money
    started_at: datetime
    charged_at: datetime | None
    invoice_id: uuid.UUID | None


_PAGE = text("""
SELECT j.id, j.name, j.asset, coalesce(k.price_minor, k.max_price_minor) AS price_minor, k.timeout_seconds, k.billed_seconds,
    h.amount_minor, h.state, h.ended_at,
    coalesce(h.earned_minor + h.fee_minor, 0) AS charged_minor, l.invoice_id, j.started_at,
    CASE WHEN u.state IN ('assigned', 'rendering', 'uploaded') THEN k.running_at END AS running_since
FROM jobs j JOIN tasks k ON k.job_id = j.id JOIN task_holds h ON h.job_id = j.id
LEFT JOIN invoice_lines l ON l.hold_id = h.id
LEFT JOIN work_units u ON u.job_id = j.id AND u.kind = 'container'
WHERE j.account_id = :owner_id AND j.asset = ANY(:assets) AND j.started_at IS NOT NULL
    AND (CAST(:until AS timestamptz) IS NULL OR j.created_at < :until)
    AND (CAST(:since AS timestamptz) IS NULL OR h.ended_at IS NULL OR h.ended_at >= :since)
ORDER BY j.created_at DESC, j.id LIMIT :limit OFFSET :offset""").bindparams(
    bindparam("owner_id", type_=UUID(as_uuid=True)),
    bindparam("assets", type_=ARRAY(TEXT())),
    bindparam("since", type_=TIMESTAMP(timezone=True)),
    bindparam("until", type_=TIMESTAMP(timezone=True)),
)


def page(session: Session, owner_id: uuid.UUID, assets: Sequence[str], span: Span, limit: int, offset: int) -> list[Usage]:
    """The account's tasks that were begun and run or were over within the span, the newest first."""
    wanted = {"owner_id": owner_id, "assets": list(assets), "since": span.since, "until": span.until}
    now = clock.now()
    return [_usage(row, now) for row in session.execute(_PAGE, {**wanted, "limit": limit, "offset": offset})]


def _usage(row: Any, now: datetime) -> Usage:
    price, held, is_open = Money(row.price_minor, row.asset), Money(row.amount_minor, row.asset), row.state == HoldState.HELD
    if is_open:
        ran = timedelta() if row.running_since is None else now - row.running_since
        seconds = min(task_prices.whole_seconds(ran.total_seconds()), row.timeout_seconds)
        amount = min(held, task_prices.cost(price, seconds))
    else:
        seconds, amount = row.billed_seconds or 0, Money(int(row.charged_minor), row.asset)
    return Usage(
        task_id=row.id,
        name=row.name,
        is_open=is_open,
        is_running=is_open and row.running_since is not None,
        seconds=seconds,
        price=price,
        amount=amount,
        held=held if is_open else Money(0, row.asset),
        started_at=row.started_at,
        charged_at=row.ended_at,
        invoice_id=row.invoice_id,
    )
