"""What an account's tasks have used, by the second: what was charged, and what those that run have come to by now."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY, TEXT, TIMESTAMP, UUID
from sqlalchemy.orm import Session

from app.core.statements import Span
from app.values import clock
from app.values.money import Money
from app.values.states import HoldState

SECONDS_PER_HOUR = 3600


@dataclass(frozen=True, slots=True)
class Usage:
    """One task that was begun. While `is_running`, `seconds` and `amount` are what it has come to by now and at most; afterwards
    what was charged: 0 where everything was given back. `price` is per hour, `held` what is set aside now."""

    task_id: uuid.UUID
    name: str
    is_running: bool
    seconds: int
    price: Money
    amount: Money
    held: Money
    started_at: datetime
    charged_at: datetime | None
    invoice_id: uuid.UUID | None


_PAGE = text("""
SELECT j.id, j.name, j.asset, k.max_price_minor, k.billed_seconds, h.amount_minor, h.state, h.ended_at,
    coalesce(h.earned_minor + h.fee_minor, 0) AS charged_minor, l.invoice_id,
    coalesce(live.started_at, j.started_at) AS started_at
FROM jobs j JOIN tasks k ON k.job_id = j.id JOIN task_holds h ON h.job_id = j.id
LEFT JOIN invoice_lines l ON l.hold_id = h.id
LEFT JOIN work_units u ON u.job_id = j.id AND u.attempt_id IS NOT NULL LEFT JOIN attempts live ON live.id = u.attempt_id
WHERE j.account_id = :owner_id AND j.asset = ANY(:assets) AND coalesce(live.started_at, j.started_at) IS NOT NULL
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


def cost(price: Money, seconds: int) -> Money:
    """What so many seconds come to at a price per hour, rounded up."""
    return Money(-(-price.minor * seconds // SECONDS_PER_HOUR), price.asset)


def _usage(row: Any, now: datetime) -> Usage:
    price, held = Money(row.max_price_minor, row.asset), Money(row.amount_minor, row.asset)
    nothing, is_running = Money(0, row.asset), row.state == HoldState.HELD
    seconds = max(0, -int(-(now - row.started_at).total_seconds() // 1)) if is_running else row.billed_seconds or 0
    amount = min(held, cost(price, seconds)) if is_running else Money(int(row.charged_minor), row.asset)
    return Usage(
        task_id=row.id,
        name=row.name,
        is_running=is_running,
        seconds=seconds,
        price=price,
        amount=amount,
        held=held if is_running else nothing,
        started_at=row.started_at,
        charged_at=row.ended_at,
        invoice_id=row.invoice_id,
    )
