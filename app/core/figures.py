"""What operators watch, as numbers: cheap enough to be read at every scrape (each by an index over what is open)."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from app.values.money import DECIMALS


@dataclass(frozen=True, slots=True)
class Figure:
    """One sample: `name` without prefix, its labels, its value."""

    name: str
    value: float
    labels: dict[str, str] = field(default_factory=dict)


AMOUNTS = frozenset({"payout_amount"})  # told in the asset's own unit
PAYOUT_OPEN = "origin = 'engine' AND state IN ('created', 'signed', 'sent', 'expired')"
QUERIES: dict[str, tuple[str, tuple[str, ...]]] = {
    "units": (
        """SELECT capability, state, count(*) FROM work_units
        WHERE state = 'queued' AND NOT is_parked OR state IN ('assigned', 'rendering', 'uploaded') GROUP BY capability, state""",
        ("capability", "state"),
    ),
    "oldest_unit_age_seconds": (
        """SELECT capability, extract(epoch FROM now() - min(queued_at)) FROM work_units
        WHERE state = 'queued' AND NOT is_parked GROUP BY capability""",
        ("capability",),
    ),
    "nodes": (
        """SELECT CASE WHEN last_heartbeat_at IS NULL THEN 'registered' WHEN is_draining THEN 'draining'
        WHEN last_heartbeat_at < now() - make_interval(secs => :silence) OR unhealthy_until > now() THEN 'unhealthy'
        ELSE 'healthy' END AS status, count(*) FROM nodes GROUP BY 1""",
        ("status",),
    ),
    "payments_pending": ("SELECT count(*) FROM chain_transactions WHERE state = 'pending'", ()),
    "payment_pending_age_seconds": (
        """SELECT coalesce(extract(epoch FROM now() - min(created_at)), 0) FROM chain_transactions
        WHERE state = 'pending'""",
        (),
    ),
    "arrivals_undecided": ("SELECT count(*) FROM chain_arrivals WHERE state IN ('found', 'proven')", ()),
    "arrivals_unclaimed": (
        "SELECT coalesce(code, ''), count(*) FROM chain_arrivals WHERE state = 'unclaimed' GROUP BY code",
        ("code",),
    ),
    "chain_unread_seconds": (
        """SELECT chain, extract(epoch FROM now() - min(read_at)) FROM chain_cursors
        WHERE asked_at > now() - interval '30 minutes' GROUP BY chain""",
        ("chain",),
    ),
    "chain_unconfirmed_age_seconds": (
        """SELECT known.chain, coalesce(extract(epoch FROM now() - min(undecided.created_at)), 0)
        FROM (VALUES ('solana'), ('ton'), ('evm')) AS known (chain) LEFT JOIN (
            SELECT chain, created_at FROM chain_transactions WHERE state = 'pending'
            UNION ALL SELECT chain, created_at FROM payout_signings WHERE outcome IS NULL
            UNION ALL SELECT 'evm', created_at FROM anchor_batches
                WHERE state <> 'final' AND state IN ('signed', 'sent', 'confirmed')) AS undecided ON undecided.chain = known.chain
        GROUP BY known.chain""",
        ("chain",),
    ),
    "outbox_messages": ("SELECT count(*) FROM outbox_messages", ()),
    "outbox_age_seconds": ("SELECT coalesce(extract(epoch FROM now() - min(created_at)), 0) FROM outbox_messages", ()),
    "card_problems": ("SELECT count(*) FROM card_events WHERE outcome = 'problem' AND ended_at IS NULL", ()),
    "worker_polls_overdue_seconds": (
        "SELECT greatest(0, coalesce(extract(epoch FROM now() - min(due_at)), 0)) FROM cocoon_worker_states",
        (),
    ),
    "refunds_owed_minor": ("SELECT asset, sum(amount_minor) FROM refunds WHERE status = 'owed' GROUP BY asset", ("asset",)),
    "anchors": ("SELECT state, count(*) FROM anchor_batches WHERE state <> 'final' GROUP BY state", ("state",)),
    "anchor_age_seconds": (
        """SELECT coalesce(extract(epoch FROM now() - min(created_at)), 0) FROM anchor_batches
        WHERE state <> 'final' AND state IN ('signed', 'sent', 'confirmed')""",
        (),
    ),
    "payouts": (f"SELECT chain, state, count(*) FROM payouts WHERE {PAYOUT_OPEN} GROUP BY chain, state", ("chain", "state")),
    "payout_amount": (
        f"SELECT chain, asset, sum(amount_minor) FROM payouts WHERE {PAYOUT_OPEN} GROUP BY chain, asset",
        ("chain", "asset"),
    ),
    "payout_age_seconds": (
        f"SELECT chain, extract(epoch FROM now() - min(created_at)) FROM payouts"
        f" WHERE {PAYOUT_OPEN} AND look_again_at IS NULL AND held_reason IS NULL GROUP BY chain",
        ("chain",),
    ),
    "payouts_held": (
        f"SELECT chain, count(held_reason) FROM payouts WHERE {PAYOUT_OPEN} GROUP BY chain",
        ("chain",),
    ),
    "payout_signing_age_seconds": (
        "SELECT chain, extract(epoch FROM now() - min(created_at)) FROM payout_signings WHERE outcome IS NULL GROUP BY chain",
        ("chain",),
    ),
    "payout_differences": (
        "SELECT chain, kind, count(*) FROM payout_differences WHERE acknowledged_at IS NULL GROUP BY chain, kind",
        ("chain", "kind"),
    ),
    "payout_wallets_halted": ("SELECT chain, count(halted_at) FROM payout_wallets GROUP BY chain", ("chain",)),
    "payout_wallet_read_age_seconds": (
        "SELECT chain, extract(epoch FROM now() - max(read_at)) FROM payout_wallets WHERE read_at IS NOT NULL GROUP BY chain",
        ("chain",),
    ),
    "payout_records_unconfirmed": (
        """SELECT count(*) FROM payouts WHERE origin = 'recorded' AND state <> 'confirmed' AND state <> 'cancelled'
        AND created_at < now() - interval '1 hour'""",
        (),
    ),
}

# Of the server itself, as whoever signed in there sees it: the role that the hub works under sees less.
SERVER: dict[str, tuple[str, tuple[str, ...]]] = {
    "database_connections": (
        """SELECT known.state, count(found.pid)
        FROM (VALUES ('active'), ('idle'), ('idle_in_transaction'), ('other')) AS known (state) LEFT JOIN (
            SELECT pid, CASE WHEN state IN ('active', 'idle') THEN state
            WHEN state LIKE 'idle in transaction%' THEN 'idle_in_transaction' ELSE 'other' END AS state
            FROM pg_stat_activity WHERE datname = current_database()) AS found ON found.state = known.state
        GROUP BY known.state""",
        ("state",),
    ),
    "database_connections_limit": ("SELECT current_setting('max_connections')::int", ()),
    "database_oldest_transaction_seconds": (
        # Neither autovacuum nor a backup, which are at it for hours where there is much.
        """SELECT coalesce(max(extract(epoch FROM clock_timestamp() - xact_start)), 0) FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
            AND application_name <> 'pg_dump'""",
        (),
    ),
    "database_transactions": (
        """SELECT outcome, CASE outcome WHEN 'commit' THEN xact_commit ELSE xact_rollback END
        FROM pg_stat_database, (VALUES ('commit'), ('rollback')) AS known (outcome) WHERE datname = current_database()""",
        ("outcome",),
    ),
    "database_deadlocks": ("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()", ()),
}

FLEET = ("REGISTERED", "HEALTHY", "UNHEALTHY")
_FLEET = text("""
SELECT CASE WHEN last_heartbeat_at IS NULL THEN 'REGISTERED'
    WHEN last_heartbeat_at < now() - make_interval(secs => :silence) OR unhealthy_until > now() THEN 'UNHEALTHY'
    ELSE 'HEALTHY' END AS status, count(*) FROM nodes GROUP BY 1
""")


def ping(session: Session) -> None:
    """One round trip to the database."""
    session.execute(text("SELECT 1"))


def read(session: Session, silence_seconds: int) -> Iterator[Figure]:
    """Every figure that the database knows."""
    for name, (sql, labels) in QUERIES.items():
        values: dict[str, Any] = {"silence": silence_seconds} if ":silence" in sql else {}
        for row in session.execute(text(sql), values):
            told = dict(zip(labels, row[:-1], strict=True))
            yield Figure(name, amount(row[-1], told["asset"]) if name in AMOUNTS else float(row[-1]), told)


def read_server(session: Session) -> Iterator[Figure]:
    """What PostgreSQL says of itself; for a unit of work of its own, which is the login's own role from here on."""
    session.execute(text("SET LOCAL ROLE NONE"))
    for name, (sql, labels) in SERVER.items():
        for row in session.execute(text(sql)):
            yield Figure(name, float(row[-1]), dict(zip(labels, row[:-1], strict=True)))


def amount(minor: int, asset: str) -> float:
    """What people call an amount: for dashboards, and for nothing that decides about money."""
    return float(Decimal(minor).scaleb(-DECIMALS[asset]))


def read_fleet(session: Session, silence_seconds: int) -> Iterator[Figure]:
    """Nodes in the words of `nodes.status`; a status that no node has is 0."""
    found = {row[0]: row[1] for row in session.execute(_FLEET, {"silence": silence_seconds})}
    for status in FLEET:
        yield Figure("fleet_nodes_total", found.get(status, 0), {"status": status})
