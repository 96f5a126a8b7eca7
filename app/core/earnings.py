"""What a provider earned: its tasks, dispatched jobs and renders, by time and by resource, and what clients paid it directly."""

import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from app.values.money import Money

INTERVALS = ("day", "month")
ASSETS = ("USDC", "USDT")


@dataclass(frozen=True, slots=True)
class Span:
    """From a moment on, up to and with another; None is open."""

    since: datetime | None = None
    until: datetime | None = None


@dataclass(slots=True)
class Sum:
    """What was earned of each asset, and by how many tasks; a job that went on counts when it began to earn."""

    minor: dict[str, int] = field(default_factory=lambda: dict.fromkeys(ASSETS, 0))
    tasks: int = 0

    def add(self, row: Any) -> None:
        self.minor[row.asset] = self.minor.get(row.asset, 0) + int(row.minor)
        self.tasks += int(row.tasks)

    def amount(self, asset: str) -> Money:
        return Money(self.minor.get(asset, 0), asset)

    @property
    def others(self) -> list[Money]:
        """What is neither of ASSETS."""
        return [self.amount(asset) for asset in sorted(self.minor) if asset not in ASSETS and self.minor[asset]]


@dataclass(frozen=True, slots=True)
class Direct:
    """What clients paid the provider themselves, and what of it is owed back; never payable by us."""

    jobs: int
    received: Money
    refunded: Money


@dataclass(frozen=True, slots=True)
class Earnings:
    """`by_period` by the period's first day, `by_resource` by (resource, type); `slashed` was taken again by decided disputes."""

    total: Sum
    by_period: dict[str, Sum]
    by_resource: dict[tuple[uuid.UUID | None, str], Sum]
    slashed: dict[str, Money]
    direct: list[Direct]


_IN_SPAN = """(CAST(:since AS timestamptz) IS NULL OR {moment} >= :since)
    AND (CAST(:until AS timestamptz) IS NULL OR {moment} <= :until)"""
# A provider's part of the work is told by the task, or, where it was dispatched, by the node that did it. A render is paid for by
# the attempt; one that is paid when it is done by the account, of which a provider with a node at it has earned it.
_EARNED = text(f"""
SELECT h.asset, date_trunc(:interval, h.ended_at, 'UTC') AS period, t.resource_id, t.type,
    count(*) AS tasks, coalesce(sum(h.earned_minor), 0) AS minor
FROM tasks t JOIN task_holds h ON h.job_id = t.job_id
WHERE t.provider_id = :provider_id AND h.state = 'captured' AND {_IN_SPAN.format(moment="h.ended_at")}
GROUP BY 1, 2, 3, 4
UNION ALL
SELECT c.earned_asset, date_trunc(:interval, c.ended_at, 'UTC'), CAST(NULL AS uuid), j.kind, count(*), sum(c.earned_minor)
FROM credit_holds c JOIN jobs j ON j.id = c.job_id JOIN work_units u ON u.job_id = c.job_id AND u.ordinal = 0
JOIN attempts a ON a.id = u.attempt_id JOIN nodes n ON n.id = a.node_id
WHERE c.operator_id = :account_id AND n.provider_id = :provider_id AND c.state = 'captured' AND c.earned_asset IS NOT NULL
    AND {_IN_SPAN.format(moment="c.ended_at")}
GROUP BY 1, 2, 3, 4
UNION ALL
SELECT r.asset, date_trunc(:interval, r.created_at, 'UTC'), CAST(NULL AS uuid), r.kind, count(*) FILTER (WHERE r.nth = 1),
    sum(r.amount_minor)
FROM (SELECT t.asset, e.created_at, j.kind, t.amount_minor, row_number() OVER (PARTITION BY j.id ORDER BY e.sequence) AS nth
    FROM ledger_accounts l JOIN entries e ON e.account_id = l.id AND e.direction = 'CREDIT'
    JOIN transfers t ON t.id = e.transfer_id AND t.reference LIKE 'render:earning:%' JOIN jobs j ON j.id = t.job_id
    LEFT JOIN attempts a ON a.id = CASE WHEN length(t.reference) = 51 THEN CAST(right(t.reference, 36) AS uuid) END
    LEFT JOIN nodes n ON n.id = a.node_id
    WHERE l.kind = 'balance' AND l.owner_id = :account_id AND {_IN_SPAN.format(moment="e.created_at")}
        AND (n.provider_id = :provider_id OR a.id IS NULL AND EXISTS (
            SELECT FROM work_units u JOIN attempts b ON b.id = u.attempt_id JOIN nodes m ON m.id = b.node_id
            WHERE u.job_id = j.id AND m.account_id = :account_id AND m.provider_id = :provider_id))) r
GROUP BY 1, 2, 3, 4
""")  # noqa: S608  the parts are ours
_SLASHED = text(f"""
SELECT asset, sum(cost_minor + coalesce(penalty_minor, 0)) AS minor FROM disputes
WHERE provider_id = :provider_id AND state = 'slashed' AND {_IN_SPAN.format(moment="decided_at")} GROUP BY asset
""")  # noqa: S608
_DIRECT = text(f"""
WITH paid AS (
    SELECT t.job_id, t.asset, sum(t.amount_minor) AS minor
    FROM ledger_accounts l JOIN entries e ON e.account_id = l.id AND e.direction = 'CREDIT'
    JOIN transfers t ON t.id = e.transfer_id JOIN jobs j ON j.id = t.job_id
    WHERE l.kind = 'external' AND l.owner_id = :account_id AND j.provider_id = :provider_id
        AND {_IN_SPAN.format(moment="e.created_at")}
    GROUP BY 1, 2)
SELECT paid.asset, count(*) AS jobs, sum(paid.minor) AS minor, coalesce(sum(
    (SELECT sum(r.amount_minor) FROM refunds r WHERE r.job_id = paid.job_id AND r.asset = paid.asset)), 0) AS refunded
FROM paid GROUP BY 1 ORDER BY 1
""")  # noqa: S608


def of_provider(session: Session, provider_id: uuid.UUID, account_id: uuid.UUID, span: Span, interval: str) -> Earnings:
    """What a provider of this account earned in a span of time, by periods of INTERVALS in UTC; earned is what it was paid, after
    the platform's fee, when the work was accepted."""
    values = {
        "provider_id": provider_id,
        "account_id": account_id,
        "since": span.since,
        "until": span.until,
        "interval": interval,
    }
    rows = session.execute(_EARNED, values).all()
    slashed = session.execute(_SLASHED, values).all()
    direct = session.execute(_DIRECT, values).all()
    return Earnings(
        _summed(rows, lambda _: None).get(None, Sum()),
        dict(sorted(_summed(rows, lambda row: row.period.date().isoformat()).items())),
        _summed(rows, lambda row: (row.resource_id, row.type)),
        {row.asset: Money(int(row.minor), row.asset) for row in slashed},
        [Direct(row.jobs, Money(int(row.minor), row.asset), Money(int(row.refunded), row.asset)) for row in direct],
    )


def _summed(rows: Iterable[Any], key: Any) -> dict[Any, Sum]:
    found: dict[Any, Sum] = {}
    for row in rows:
        found.setdefault(key(row), Sum()).add(row)
    return found
