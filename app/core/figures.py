"""What operators watch, as numbers: cheap enough to be read at every scrape (each by an index over what is open)."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session


@dataclass(frozen=True, slots=True)
class Figure:
    """One sample: `name` without prefix, its labels, its value."""

    name: str
    value: float
    labels: dict[str, str] = field(default_factory=dict)


PAYOUT_OPEN = "origin = 'engine' AND state IN ('created', 'signed', 'sent', 'expired')"
QUERIES: dict[str, tuple[str, tuple[str, ...]]] = {
    "units": (
        """SELECT capability, state, count(*) FROM work_units
        WHERE state = 'queued' OR state IN ('assigned', 'rendering', 'uploaded') GROUP BY capability, state""",
        ("capability", "state"),
    ),
    "oldest_unit_age_seconds": (
        """SELECT capability, extract(epoch FROM now() - min(queued_at)) FROM work_units
        WHERE state = 'queued' GROUP BY capability""",
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
    "payout_age_seconds": (
        f"SELECT chain, extract(epoch FROM now() - min(created_at)) FROM payouts"
        f" WHERE {PAYOUT_OPEN} AND look_again_at IS NULL GROUP BY chain",
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
            yield Figure(name, float(row[-1]), dict(zip(labels, row[:-1], strict=True)))


def read_fleet(session: Session, silence_seconds: int) -> Iterator[Figure]:
    """Nodes in the words of `nodes.status`; a status that no node has is 0."""
    found = {row[0]: row[1] for row in session.execute(_FLEET, {"silence": silence_seconds})}
    for status in FLEET:
        yield Figure("fleet_nodes_total", found.get(status, 0), {"status": status})
