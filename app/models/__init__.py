"""The tables, one file per aggregate; importing this package makes them all known to Alembic."""

from app.models import (
    accounts,
    anchors,
    arrivals,
    card_payments,
    credits,
    jobs,
    ledger,
    nodes,
    payments,
    payouts,
    sign_ins,
    tallies,
    uploads,
)

__all__ = [
    "accounts",
    "anchors",
    "arrivals",
    "card_payments",
    "credits",
    "jobs",
    "ledger",
    "nodes",
    "payments",
    "payouts",
    "sign_ins",
    "tallies",
    "uploads",
]
