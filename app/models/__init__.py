"""The tables, one file per aggregate; importing this package makes them all known to Alembic."""

from app.models import (
    accounts,
    anchors,
    card_payments,
    credits,
    jobs,
    ledger,
    nodes,
    participants,
    payments,
    payout_proposals,
    payouts,
    sign_ins,
    tallies,
    uploads,
    wallet_challenges,
    workers,
)

__all__ = [
    "accounts",
    "anchors",
    "card_payments",
    "credits",
    "jobs",
    "ledger",
    "nodes",
    "participants",
    "payout_proposals",
    "payments",
    "payouts",
    "sign_ins",
    "tallies",
    "uploads",
    "wallet_challenges",
    "workers",
]
